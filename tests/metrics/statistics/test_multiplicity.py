from pathlib import Path

import pytest

from metrics.errors import InputError
from metrics.statistics.multiplicity import adjust
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


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InputError, match="method is 'sidak'"):
        adjust("sidak", [0.5])
    with pytest.raises(InputError, match=r"1\.5"):
        adjust("holm", [1.5])
