import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from metrics.errors import InputError
from metrics.sequential.spending import spending_function

NAMES = ("pocock", "obrien_fleming", "linear", "hsd:-4", "hsd:0", "hsd:2.5", "hsd:-900", "hsd:900")


@given(st.sampled_from(NAMES), st.floats(1e-9, 0.999), st.sampled_from([1, 2]), st.floats(1e-6, 0.4))
def test_spending_rises_from_nothing_to_all_of_alpha(
    name: str, fraction: float, sides: int, alpha: float
) -> None:
    spend = spending_function(name)
    earlier, later = spend(fraction, alpha, sides), spend(min(1.0, fraction * 1.1), alpha, sides)
    assert 0 <= earlier <= later <= alpha * (1 + 1e-14)
    for at_end in (1.0, 1.3):
        assert spend(at_end, alpha, sides) == pytest.approx(alpha, rel=1e-14)


def test_by_hand() -> None:
    assert spending_function("pocock")(0.5, 0.05, 2) == pytest.approx(0.05 * math.log((1 + math.e) / 2))
    assert spending_function("linear")(0.3, 0.05, 2) == pytest.approx(0.015)
    assert spending_function("hsd:0")(0.3, 0.05, 2) == pytest.approx(0.015)
    assert spending_function("hsd:1e-9")(0.3, 0.05, 2) == pytest.approx(0.015)
    ratio = (1 - math.exp(2)) / (1 - math.exp(4))
    assert spending_function("hsd:-4")(0.5, 0.05, 2) == pytest.approx(0.05 * ratio)
    ratio = (1 - math.exp(-1.5)) / (1 - math.exp(-3))
    assert spending_function("hsd:3")(0.5, 0.05, 2) == pytest.approx(0.05 * ratio)


def test_obrien_fleming_has_alpha_by_side() -> None:
    spend = spending_function("obrien_fleming")
    assert spend(0.25, 0.025, 1) == pytest.approx(2 * norm.sf(norm.isf(0.0125) / 0.5), rel=1e-12)
    assert spend(0.25, 0.05, 2) == pytest.approx(4 * norm.sf(norm.isf(0.0125) / 0.5), rel=1e-12)


@pytest.mark.parametrize("name", ["", "Pocock", "hsd", "hsd:", "hsd:x", "hsd:nan", "hsd:inf"])
def test_unknown_spending_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"spending is '{name}'; expected one of pocock, obrien_fleming"):
        spending_function(name)
