from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import norm

from metrics.errors import InputError
from metrics.sequential import integration
from metrics.sequential.boundaries import Look, boundaries, solve_boundaries
from metrics.sequential.designs import integrate
from tests.metrics.statistics.support import cases

SPENDING = {"asP": "pocock", "asOF": "obrien_fleming"}
CASES = [
    *(f"{kind}_{rates}_a{alpha}" for kind in SPENDING for rates in "1234" for alpha in ("0.025", "0.05")),
    *(f"{kind}_{run}run" for kind in SPENDING for run in ("under", "over", "moved")),
    "asP_two_sided_exact",
]


def fractions(size: int = 6) -> st.SearchStrategy[list[float]]:
    """Unequal ascending information fractions up to 1."""
    steps = st.lists(st.floats(0.02, 1.0), min_size=1, max_size=size)
    return steps.map(lambda widths: [float(x) for x in np.cumsum(widths) / np.sum(widths)])


def critical(looks: Sequence[Look]) -> list[float]:
    found = [look.z_boundary for look in looks]
    assert None not in found
    return [limit for limit in found if limit is not None]


def looks_of(case: Any, final: bool) -> tuple[Look, ...]:
    inputs = case["inputs"]
    information = inputs.get("information_rates") or inputs["observed_over_planned_max"]
    sides = 2 if "alpha_two_sided" in inputs else 1
    alpha = inputs.get("alpha_two_sided") or inputs["alpha_one_sided"]
    return boundaries(information, alpha, sides, SPENDING[inputs["type"]], final)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_another_integration_and_rpact(shared: Path, name: str) -> None:
    case = cases(shared)[f"spending_{name}"]
    expected, looks = case["expected"], looks_of(case, final="run" in name)
    assert [look.alpha_spent for look in looks] == pytest.approx(expected["alpha_spent_exact"], rel=1e-12)
    for look, limit, level in zip(
        looks, expected["critical_integrated"], expected.get("stage_levels", [None] * 9), strict=False
    ):
        assert look.z_boundary == (None if limit is None else pytest.approx(limit, abs=1e-9))
        if limit is not None and level is not None:
            assert look.nominal_p == pytest.approx(level, abs=2e-7)


def test_a_single_look_is_the_fixed_test() -> None:
    (look,) = boundaries([1.0], 0.05)
    assert look.z_boundary == pytest.approx(1.959963984540054)
    assert look.nominal_p == pytest.approx(0.05)
    (look,) = boundaries([1.0], 0.05, sides=1)
    assert look.z_boundary == pytest.approx(1.6448536269514722)


@pytest.mark.parametrize("again", [0.5, 0.5 * (1 + 1e-9), 0.4])
def test_no_new_information_spends_nothing_and_cannot_cross(again: float) -> None:
    without, with_it = boundaries([0.3, 0.5, 1.0]), boundaries([0.3, 0.5, again, 1.0])
    assert with_it[2].z_boundary is None
    assert with_it[2].nominal_p is None
    assert with_it[2].alpha_spent == without[1].alpha_spent
    assert with_it[3].z_boundary == without[2].z_boundary


def test_information_seen_before_is_not_new() -> None:
    """0.45 after 0.5 and 0.4 is less than was seen already."""
    assert [look.z_boundary is None for look in boundaries([0.5, 0.4, 0.45, 0.6])] == [
        False, True, True, False
    ]  # fmt: skip


def test_above_the_maximum_all_alpha_is_spent_once() -> None:
    looks = boundaries([0.5, 1.2, 1.4])
    assert [look.alpha_spent for look in looks[1:]] == [0.05, 0.05]
    assert looks[1].z_boundary is not None
    assert looks[2].z_boundary is None


def test_only_a_final_look_below_the_maximum_spends_all() -> None:
    assert boundaries([0.5, 0.9])[1].alpha_spent < 0.0499
    assert boundaries([0.5, 0.9], final=True)[1].alpha_spent == 0.05


def test_a_look_that_cannot_reject_cuts_nothing_off() -> None:
    """O'Brien-Fleming spends 1e-56 at 0.02; the later looks do not know of that look."""
    looks = boundaries([0.02, 0.5, 1.0], 0.025, 1, "obrien_fleming")
    assert looks[0].z_boundary is None
    assert critical(looks[1:]) == critical(boundaries([0.5, 1.0], 0.025, 1, "obrien_fleming"))


def test_increments_too_small_to_reject_add_up() -> None:
    """3e-15 at each of 10 looks: the fourth and the eighth have the 1e-14 that it takes."""
    looks = boundaries([k / 10 for k in range(1, 11)], 3e-14, 1, "linear")
    assert [look.look for look in looks if look.z_boundary is not None] == [4, 8]
    assert [look.alpha_spent for look in looks[:2]] == pytest.approx([3e-15, 6e-15])


@given(fractions(), st.sampled_from([1, 2]), st.floats(0.1, 1e6))
@settings(max_examples=25, deadline=None)
def test_only_ratios_of_information_matter(information: list[float], sides: int, scale: float) -> None:
    increments = [0.05 / len(information)] * len(information)
    scaled = [scale * at for at in information]
    assert solve_boundaries(scaled, increments, sides) == pytest.approx(
        solve_boundaries(information, increments, sides), abs=1e-9
    )


@given(fractions(), st.sampled_from([1, 2]), st.sampled_from(["pocock", "obrien_fleming", "hsd:-3"]))
@settings(max_examples=25, deadline=None)
def test_crossing_under_h0_spends_what_was_to_be_spent(
    information: list[float], sides: int, spending: str
) -> None:
    looks = boundaries(information, 0.05, sides, spending)
    crossing = integrate(information, [look.z_boundary for look in looks], sides).crossing(0.0)
    assert sum(crossing.above + crossing.below) == pytest.approx(0.05, abs=1e-11)
    if sides == 2:
        assert crossing.above == pytest.approx(crossing.below, abs=1e-12)


@given(fractions(), st.sampled_from([1, 2]))
@settings(max_examples=15, deadline=None)
def test_more_alpha_lowers_every_boundary(information: list[float], sides: int) -> None:
    strict, lenient = (critical(boundaries(information, alpha, sides)) for alpha in (0.02, 0.05))
    assert all(low < high for low, high in zip(lenient, strict, strict=True))


@given(fractions())
@settings(max_examples=15, deadline=None)
def test_two_sides_are_nearly_two_one_sided_tests(information: list[float]) -> None:
    """Up to the chance of crossing both sides, which can only raise a one-sided boundary."""
    both, upper = critical(boundaries(information, 0.05, 2)), critical(boundaries(information, 0.025, 1))
    assert both == pytest.approx(upper, abs=1e-3)


@pytest.mark.parametrize("increment", [1e-6, 1e-3, 0.5])
def test_two_looks_agree_with_a_direct_integral(increment: float) -> None:
    """P(Z1 < b1, Z2 >= b2) by adaptive quadrature, also where the second look adds next to nothing."""
    first, second = solve_boundaries([1.0, 1.0 + increment], [0.02, 1e-5], 1)
    r, s = (1 / (1 + increment)) ** 0.5, (increment / (1 + increment)) ** 0.5
    crossing = quad(
        lambda u: norm.pdf(u) * norm.sf((second - r * u) / s),
        -8,
        first,
        points=[first - 12 * s, first - 5 * s, first - s],
        epsabs=1e-14,
        limit=400,
    )[0]
    assert crossing == pytest.approx(1e-5, rel=1e-7)


@pytest.mark.parametrize("information", [[0.1, 0.3, 0.8, 1.0], [0.3, 0.5, 0.5 * (1 + 1e-5), 1.0]])
def test_finer_panels_change_nothing(information: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = critical(boundaries(information))
    monkeypatch.setattr(integration, "_PANEL", 1.0)
    assert critical(boundaries(information)) == pytest.approx(usual, abs=1e-11)


def test_hourly_looks_over_two_weeks() -> None:
    information = [(hour + 1) / 336 for hour in range(336)]
    looks = boundaries(information)
    crossing = integrate(information, critical(looks)).crossing(0.0)
    assert sum(crossing.above + crossing.below) == pytest.approx(0.05, abs=1e-10)


def test_five_daily_pocock_looks_reject_at_alpha_and_a_known_fault_at_twice_that() -> None:
    """Simulated paths. The fault takes the alpha spent so far for each look's own level: type I error 9.7%."""
    random, paths = np.random.default_rng(20260302), 400_000
    steps = np.arange(1, 6)
    z = np.abs(np.cumsum(random.standard_normal((paths, 5)), axis=1) / np.sqrt(steps))
    looks = boundaries([float(k) for k in steps / 5])
    error = (0.05 * 0.95 / paths) ** 0.5
    assert (z >= critical(looks)).any(axis=1).mean() == pytest.approx(0.05, abs=3 * error)
    faulty = [-ndtri(look.alpha_spent / 2) for look in looks]
    assert (z >= faulty).any(axis=1).mean() == pytest.approx(0.097, abs=0.002)


@pytest.mark.parametrize(
    "information, alpha, sides, words",
    [
        ([], 0.05, 2, "no information given"),
        ([0.5, 0.0], 0.05, 2, "information 0.0"),
        ([float("nan")], 0.05, 2, "information nan"),
        ([float("inf")], 0.05, 2, "information inf"),
        ([0.5], 0.0, 2, "alpha is 0.0"),
        ([0.5], 1.0, 2, "alpha is 1.0"),
        ([0.5], 0.5, 1, "below 0.5 with sides 1"),
        ([0.5], 0.05, 3, "sides is 3"),
    ],
)
def test_impossible_input_is_refused(information: list[float], alpha: float, sides: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        boundaries(information, alpha, sides)
