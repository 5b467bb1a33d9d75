import math
from pathlib import Path

import pytest
from scipy.stats import t

from metrics.errors import InputError
from metrics.statistics.multiplicity import adjust, bonferroni_interval
from tests.metrics.statistics.support import cases, reference

METHODS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "hochberg",
    "hommel": "hommel",
    "bh": "BH",
    "by": "BY",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", ["ties", "ones_zeros", "single", "unsorted", "two"])
def test_agrees_with_r(shared: Path, case: str, method: str) -> None:
    expected = reference(shared, f"padjust_{case}")[METHODS[method]]
    p_values = cases(shared)[f"padjust_{case}"]["inputs"]["p"]
    assert adjust(method, p_values) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_holm_by_hand() -> None:
    assert adjust("holm", [0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert adjust("holm", []) == []


def test_bonferroni_intervals_leave_out_0_where_the_adjusted_p_value_is_below_alpha() -> None:
    effects, df = [0.5, 2.4, 2.9, -3.3], 12.0
    adjusted = adjust("bonferroni", [2 * float(t.sf(abs(effect), df)) for effect in effects])
    intervals = [bonferroni_interval(effect, 1.0, df, 0.05, 4) for effect in effects]
    assert [low > 0 or high < 0 for low, high in intervals] == [p < 0.05 for p in adjusted]
    assert bonferroni_interval(1.0, 2.0, math.inf, 0.05, 1) == pytest.approx((-2.919928, 4.919928))


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InputError, match="method is 'sidak'"):
        adjust("sidak", [0.5])
    with pytest.raises(InputError, match=r"1\.5"):
        adjust("holm", [1.5])
    with pytest.raises(InputError, match="family size is 0"):
        bonferroni_interval(1.0, 1.0, 9, 0.05, 0)
    with pytest.raises(InputError, match="alpha is 0"):
        bonferroni_interval(1.0, 1.0, 9, 0, 3)
