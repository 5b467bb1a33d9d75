import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from metrics.errors import InputError
from metrics.power import (
    Clusters,
    Design,
    design_effect,
    factors_of,
    max_information,
    mde_of_mean,
    mde_of_proportion,
    power_for,
    power_of_mean,
    ratio_sd,
    units_for_mean,
    units_for_proportions,
    within_strata_sd,
)
from metrics.sequential.designs import equally_spaced, inflation
from tests.metrics.statistics.support import cases, reference

DESIGN = Design()


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


def test_two_means(shared: Path) -> None:
    inputs, expected = cases(shared)["power_two_means"]["inputs"], reference(shared, "power_two_means")
    design = Design(alpha=inputs["alpha"], power=inputs["power"])
    found = units_for_mean(design, inputs["mean"], inputs["sd"], inputs["lift"])
    assert found.n_per_arm == (close(expected["n_exact_z"]), close(expected["n_exact_z"]))
    assert found.mde_absolute == close(expected["delta"])
    assert found.mde_relative == inputs["lift"]


def test_cuped(shared: Path) -> None:
    inputs = cases(shared)["power_cuped"]["inputs"]
    for rho, expected in zip(inputs["rho"], reference(shared, "power_cuped")["n"], strict=True):
        found = units_for_mean(Design(rho=rho), 2.9, 3.2, 0.01)
        assert found.n_per_arm[0] == close(expected)
        assert found.factors.variance_reduction == close(rho**2)


def test_randomized_clusters(shared: Path) -> None:
    inputs, expected = (
        cases(shared)["power_design_effect"]["inputs"],
        reference(shared, "power_design_effect"),
    )
    clusters = Clusters(inputs["icc"], inputs["m"], inputs["cv"])
    assert design_effect(clusters) == close(expected["deff"])
    assert design_effect(replace(clusters, cv=0.0)) == close(expected["deff_equal"])
    found = units_for_mean(Design(clusters=clusters), 2.9, 3.2, 0.01)
    assert found.n_per_arm[1] == close(expected["n"])
    assert found.n_per_arm[1] / inputs["m"] == close(expected["households"])
    with_cuped = units_for_mean(Design(clusters=clusters, rho=0.5), 2.9, 3.2, 0.01)
    assert with_cuped.n_per_arm[0] == close(expected["n_with_cuped_rho_0_5"])


def test_unequal_allocation(shared: Path) -> None:
    inputs = cases(shared)["power_unequal_allocation"]["inputs"]
    expected = reference(shared, "power_unequal_allocation")
    for allocation in ((1.0, inputs["r"]), (4.0, 4 * inputs["r"])):
        found = units_for_mean(Design(allocation=allocation), inputs["mean"], inputs["sd"], inputs["lift"])
        assert found.n_per_arm == (close(expected["n_control"]), close(expected["n_treatment"]))


def test_mde(shared: Path) -> None:
    inputs, expected = cases(shared)["power_mde"]["inputs"], reference(shared, "power_mde")
    design = Design(allocation=(inputs["n_control"], inputs["n_treatment"]))
    found = mde_of_mean(design, inputs["mean"], inputs["sd"], inputs["n_control"])
    assert (found.mde_absolute, found.mde_relative) == (close(expected["mde"]), close(expected["relative"]))
    assert found.n_per_arm == (inputs["n_control"], close(inputs["n_treatment"]))


def test_power(shared: Path) -> None:
    inputs, expected = cases(shared)["power_given_n"]["inputs"], reference(shared, "power_given_n")
    n = inputs["n_per_arm"]
    assert power_of_mean(inputs["delta"], inputs["sd"], n, n, inputs["alpha"]) == close(expected["power_z"])
    assert power_of_mean(0.0, 1.0, 10, 20, 0.05) == close(0.05)


def test_proportions(shared: Path) -> None:
    inputs, expected = cases(shared)["power_proportions"]["inputs"], reference(shared, "power_proportions")
    found = units_for_proportions(DESIGN, inputs["p1"], inputs["p2"])
    assert found.n_per_arm == (close(expected["n_pooled_null"]), close(expected["n_pooled_null"]))
    assert (found.mde_absolute, found.mde_relative) == (close(0.01), close(1 / 60))


@given(st.floats(0.01, 0.9), st.floats(0.001, 0.09), st.floats(0.2, 5.0), st.floats(0.0, 0.9))
@settings(max_examples=40, deadline=None)
def test_units_and_the_effect_that_they_detect_agree(p1: float, rise: float, r: float, rho: float) -> None:
    design = Design(allocation=(1.0, r), rho=rho)
    n = units_for_proportions(design, p1, p1 + rise).n_per_arm[0]
    assert mde_of_proportion(design, p1, n).mde_absolute == pytest.approx(rise, rel=1e-9)
    units = units_for_mean(design, -3.0, 2.0, rise).n_per_arm[0]
    assert mde_of_mean(design, -3.0, 2.0, units).mde_relative == pytest.approx(rise, rel=1e-12)


def test_proportions_of_unequal_arms_by_simulation() -> None:
    """The pooled z test at the planned size has the planned power."""
    n_control, n_treatment = units_for_proportions(Design(allocation=(1.0, 3.0)), 0.2, 0.25).n_per_arm
    random = np.random.default_rng(8)
    a = random.binomial(round(n_control), 0.2, 100_000)
    b = random.binomial(round(n_treatment), 0.25, 100_000)
    pooled = (a + b) / (n_control + n_treatment)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_control + 1 / n_treatment))
    rejected = np.abs(b / n_treatment - a / n_control) / error >= -ndtri(0.025)
    assert rejected.mean() == pytest.approx(0.8, abs=0.006)


def test_several_arms_share_alpha_and_the_smallest_one_decides() -> None:
    two = Design(allocation=(2.0, 1.0, 4.0))
    found = units_for_mean(two, 2.9, 3.2, 0.01).n_per_arm
    alone = units_for_mean(Design(alpha=0.025, allocation=(2.0, 1.0)), 2.9, 3.2, 0.01).n_per_arm
    assert found == (close(alone[0]), close(alone[1]), close(2 * alone[0]))
    proportions = units_for_proportions(two, 0.2, 0.25).n_per_arm
    assert (
        proportions[:2]
        == units_for_proportions(Design(alpha=0.025, allocation=(2.0, 1.0)), 0.2, 0.25).n_per_arm
    )


def test_looks_cost_what_the_spending_function_says() -> None:
    design = Design(looks=4, spending="obrien_fleming", power=0.9)
    expected = inflation(equally_spaced(4), "obrien_fleming", 0.05, 0.9)
    assert factors_of(design).inflation == expected > 1
    plain = units_for_mean(Design(power=0.9), 1.0, 1.0, 0.1).n_per_arm[0]
    assert units_for_mean(design, 1.0, 1.0, 0.1).n_per_arm[0] == close(expected * plain)
    assert max_information(0.1, design) == close(expected * ((ndtri(0.975) + ndtri(0.9)) / 0.1) ** 2)


def test_no_relative_effect_of_a_mean_of_0() -> None:
    assert mde_of_mean(DESIGN, 0.0, 1.0, 100).mde_relative is None
    with pytest.raises(InputError, match="mean is 0"):
        units_for_mean(DESIGN, 0.0, 1.0, 0.01)


def test_ratio_sd_by_linearization() -> None:
    random = np.random.default_rng(1)
    y, x = random.gamma(2, size=500), random.gamma(3, size=500)
    ratio = y.mean() / x.mean()
    expected = np.std((y - ratio * x) / x.mean(), ddof=1)
    covariance = np.cov(y, x)
    found = ratio_sd(y.mean(), x.mean(), covariance[0, 0], covariance[1, 1], covariance[0, 1])
    assert found == close(float(expected))
    assert ratio_sd(2.0, 1.0, 4.0, 1.0, 2.0) == 0.0


def test_strata_leave_what_varies_within_them() -> None:
    assert within_strata_sd([0.25, 0.75], [2.0, 2.0]) == close(2.0)
    assert within_strata_sd([1, 3], [2.0, 4.0]) == close(math.sqrt(13.0))


@pytest.mark.parametrize(
    "design, words",
    [
        (Design(alpha=0.0), "alpha is 0"),
        (Design(power=0.02), r"power is 0\.02"),
        (Design(power=1.0), r"power is 1\.0"),
        (Design(rho=1.0), "rho is 1"),
        (Design(allocation=(1.0,)), "no treatment"),
        (Design(allocation=(1.0, 0.0)), "allocation is 0"),
        (Design(looks=0), "looks is 0"),
        (Design(spending="x"), "spending is 'x'"),
        (Design(clusters=Clusters(1.1, 2.0)), "icc is 1.1"),
        (Design(clusters=Clusters(0.1, 0.5)), "cluster size is 0.5"),
        (Design(clusters=Clusters(0.1, 2.0, -1.0)), "cluster cv is -1"),
    ],
)
def test_impossible_designs_are_refused(design: Design, words: str) -> None:
    with pytest.raises(InputError, match=words):
        factors_of(design)


def test_impossible_numbers_are_refused() -> None:
    for sd in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="sd is"):
            units_for_mean(DESIGN, 1.0, sd, 0.1)
    with pytest.raises(InputError, match="relative MDE is 0"):
        units_for_mean(DESIGN, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="mean is inf"):
        mde_of_mean(DESIGN, math.inf, 1.0, 10)
    with pytest.raises(InputError, match="n is 0"):
        mde_of_mean(DESIGN, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="p1 and p2 are both"):
        units_for_proportions(DESIGN, 0.2, 0.2)
    with pytest.raises(InputError, match="proportion is 1"):
        units_for_proportions(DESIGN, 0.2, 1.0)
    with pytest.raises(InputError, match="too small to detect any rise above p1"):
        mde_of_proportion(DESIGN, 0.99, 5)
    with pytest.raises(InputError, match="denominator is 0"):
        ratio_sd(1.0, 0.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("times", [0.0, 0.4, 1.0, 1.7])
def test_power_for_another_effect_than_the_one_that_is_found(times: float) -> None:
    """Of a single look, which counts rejections on the right side alone, it is that of the z test."""
    n = 40_000.0
    found = mde_of_mean(DESIGN, 2.9, 3.2, n).mde_absolute
    wrong_side = power_of_mean(0.0, 3.2, n, n) / 2 if not times else 0.0
    expected = power_of_mean(times * found, 3.2, n, n) - wrong_side
    assert power_for(times * found, found, 0.05, 0.8) == pytest.approx(expected, abs=2e-3)
    assert power_for(found, found, 0.02, 0.9) == pytest.approx(0.9)
