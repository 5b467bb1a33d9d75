import pytest

from metrics import wording


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("play_starts_7d", "Play starts (7 days)"),
        ("kept_1d", "Kept (1 day)"),
        ("crash_rate", "Crash rate"),
        ("d", "D"),
    ],
)
def test_labels(name: str, words: str) -> None:
    assert wording.label(name) == words


@pytest.mark.parametrize(
    ("scale", "decimals"),
    [(0.1, 2), (0.099, 3), (12.0, 0), (1e-30, 8), (0.0, 3), (None, 3), (float("inf"), 3)],
)
def test_decimals_show_two_digits_of_the_scale(scale: float | None, decimals: int) -> None:
    assert wording.decimals_for(scale) == decimals


def test_numbers_are_signed_where_asked_and_never_minus_zero() -> None:
    assert wording.number(1234.5, 1, signed=True) == "+1,234.5"
    assert wording.number(-0.5, 1) == "−0.5"
    assert wording.number(-0.001, 1, signed=True) == "0.0"
    assert wording.number(None, 1) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.0, "12,300"),
        (0.0123456, "0.0123"),
        (0.5, "0.5"),
        (3.0, "3"),
        (0.0, "0"),
        (None, "–"),
        (999.9, "1,000"),
    ],
)
def test_quantities_have_three_digits(value: float | None, text: str) -> None:
    assert wording.quantity(value) == text


def test_percent_share_and_p() -> None:
    assert wording.percent(0.0123) == "+1.2%"
    assert wording.share(0.513) == "51.3%"
    assert wording.p_value(0.0004) == "<0.001"
    assert wording.p_value(0.0454) == "0.045"


def test_listing() -> None:
    assert wording.listing(["a"]) == "a"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
