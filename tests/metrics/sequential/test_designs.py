import math
from pathlib import Path

import numpy as np
import pytest

from metrics.errors import InputError
from metrics.sequential.boundaries import boundaries, region
from metrics.sequential.designs import (
    characteristics,
    equally_spaced,
    fixed_drift,
    inflation,
    integrate,
    obrien_fleming_constant,
    pocock_constant,
)
from metrics.sequential.integration import exit_above, survivors_before
from tests.metrics.statistics.support import cases, reference


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_pocock_constants(shared: Path, alpha: float) -> None:
    name = f"pocock_constants_{alpha}"
    found = [pocock_constant(alpha, looks) for looks in cases(shared)[name]["inputs"]["K"]]
    assert found == pytest.approx(reference(shared, name)["critical_integrated"], abs=1e-9)


def test_obrien_fleming_constant(shared: Path) -> None:
    constant = obrien_fleming_constant(0.05, 4)
    found = [constant * math.sqrt(4 / k) for k in range(1, 5)]
    assert found == pytest.approx(reference(shared, "of_constants")["critical"], abs=1e-9)


def test_one_look_needs_no_constant() -> None:
    assert pocock_constant(0.05, 1) == obrien_fleming_constant(0.05, 1) == pytest.approx(1.959963984540054)


@pytest.mark.parametrize("case", ["K4_b0.2", "K4_b0.1", "K5_b0.2", "K5_b0.1"])
def test_pocock_inflation(shared: Path, case: str) -> None:
    inputs = cases(shared)[f"pocock_inflation_{case}"]["inputs"]
    expected = reference(shared, f"pocock_inflation_{case}")
    looks, alpha = inputs["K"], inputs["alpha_two_sided"]
    constant = pocock_constant(alpha, looks)
    found = characteristics(equally_spaced(looks), [constant] * looks, alpha, inputs["power"])
    assert found.inflation == pytest.approx(expected["inflation_integrated"], abs=1e-10)
    assert found.power_by_look == pytest.approx(expected["power_by_look"], abs=1e-9)
    for name in ("shift", "asn_h0", "asn_half", "asn_h1"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=1e-8)


def test_power_counts_the_right_side_only(shared: Path) -> None:
    expected = reference(shared, "pocock_inflation_K4_b0.2")
    plan = integrate(equally_spaced(4), [pocock_constant(0.05, 4)] * 4)
    both = expected["inflation_integrated_both_sides"]
    crossing = plan.crossing(fixed_drift(0.05, 0.8) * math.sqrt(both))
    assert sum(crossing.above) < 0.8 - 1e-5
    assert sum(crossing.above + crossing.below) == pytest.approx(0.8, abs=1e-9)


def test_inflation_of_a_spending_function() -> None:
    """By its definition: at the inflated drift the test has the power, whatever the spacing."""
    assert inflation([1.0], "pocock") == pytest.approx(1.0)
    assert inflation(equally_spaced(4), "obrien_fleming") < 1.03 < inflation(equally_spaced(4), "pocock")
    information = [0.1, 0.2, 1.0]
    for sides in (1, 2):
        looks = boundaries(information, 0.04, sides, "hsd:1")
        drift = fixed_drift(0.04, 0.9, sides) * math.sqrt(inflation(information, "hsd:1", 0.04, 0.9, sides))
        plan = integrate(information, [look.z_boundary for look in looks], sides)
        assert sum(plan.crossing(drift).above) == pytest.approx(0.9, abs=1e-10)


@pytest.mark.parametrize("theta", [-4.0, -1.0, 0.5, 2.8, 6.0])
def test_a_drift_is_a_shift_of_the_boundaries(theta: float) -> None:
    """The likelihood ratio on masses without drift, against an integration with shifted boundaries."""
    information, limits = [0.2, 0.5, 0.9, 1.0], [2.6, 2.4, 2.2, 2.3]
    shifted = [limit - theta * math.sqrt(at) for at, limit in zip(information, limits, strict=True)]
    regions = [region(at, limit, 1) for at, limit in zip(information, shifted, strict=True)]
    before = survivors_before(regions[:-1], 1.0)
    expected = [exit_above(*look) for look in zip(before, information, shifted, strict=True)]
    found = integrate(information, limits, 1).crossing(theta)
    assert found.above == pytest.approx(expected, abs=1e-12)
    assert found.below == (0.0,) * 4


def test_crossing_agrees_with_simulation() -> None:
    random, paths = np.random.default_rng(5), 200_000
    information = np.array([0.2, 0.5, 1.0])
    steps = random.standard_normal((paths, 3)) * np.sqrt(np.diff(information, prepend=0))
    z = np.cumsum(steps, axis=1) / np.sqrt(information) + 2.0 * np.sqrt(information)
    crossing = integrate([0.2, 0.5, 1.0], [2.5, 2.3, 2.1]).crossing(2.0)
    expected = sum(crossing.above + crossing.below)
    assert (np.abs(z) >= [2.5, 2.3, 2.1]).any(axis=1).mean() == pytest.approx(expected, abs=0.004)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"information 0\.9; plan it at 1"):
        characteristics([0.5, 0.9], [2.0, 2.0])
    with pytest.raises(InputError, match="looks is 0"):
        pocock_constant(0.05, 0)
    with pytest.raises(InputError, match=r"power is 0\.02"):
        fixed_drift(0.05, 0.02)
    with pytest.raises(InputError, match="no look can reject"):
        integrate([0.5, 1.0], [None, None])
