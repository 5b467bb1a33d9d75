from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from metrics.errors import InputError
from metrics.sequential.boundaries import boundaries
from metrics.sequential.inference import (
    FinalInference,
    final_inference,
    repeated_p_values,
    stage_wise,
    with_repeated_intervals,
)
from tests.metrics.sequential.test_boundaries import SPENDING, critical, fractions
from tests.metrics.statistics.support import cases

PATHS = ("stop_early", "unequal", "to_the_end")


@pytest.mark.parametrize("name", PATHS)
def test_final_inference_agrees_with_another_integration(shared: Path, name: str) -> None:
    case = cases(shared)[f"path_{name}"]
    inputs, expected = case["inputs"], case["expected"]["integrated"]
    alpha, spending = inputs["alpha_one_sided"], SPENDING[inputs["type"]]
    looks = boundaries(inputs["information_rates"], alpha, 1, spending)
    assert [look.z_boundary for look in looks] == pytest.approx(expected["critical"], abs=1e-9)
    found = final_inference(looks, inputs["z"], inputs["se"], alpha, 1)
    assert found.p_value == pytest.approx(expected["final_p"], abs=1e-12)
    assert found.ci_low == pytest.approx(expected["final_ci_low"], abs=1e-10)
    assert found.ci_high == pytest.approx(expected["final_ci_high"], abs=1e-10)
    assert found.median_unbiased == pytest.approx(expected["median_unbiased"], abs=1e-10)


@pytest.mark.parametrize("name", PATHS)
def test_repeated_inference_agrees(shared: Path, name: str) -> None:
    case = cases(shared)[f"path_{name}"]
    inputs, expected = case["inputs"], case["expected"]
    information, spending = inputs["information_rates"], SPENDING[inputs["type"]]
    looks = boundaries(information, inputs["alpha_one_sided"], 1, spending)
    found = with_repeated_intervals(looks, inputs["z"], inputs["se"])
    taken = found[: len(inputs["z"])]
    assert [look.repeated_ci_low for look in taken] == pytest.approx(expected["repeated_ci_low"], abs=1e-8)
    assert [look.repeated_ci_high for look in taken] == pytest.approx(expected["repeated_ci_high"], abs=1e-8)
    assert all(look.repeated_ci_low is None for look in found[len(taken) :])
    p_values = repeated_p_values(information, inputs["z"], 1, spending)
    for p_value, other in zip(p_values, expected["integrated"]["repeated_p"], strict=True):
        assert p_value == (None if other is None else pytest.approx(other, abs=1e-11))


def test_one_look_is_the_fixed_test() -> None:
    found = final_inference(boundaries([1.0]), [2.5], [0.4])
    assert found.p_value == pytest.approx(2 * norm.sf(2.5))
    assert found.median_unbiased == pytest.approx(1.0)
    assert found.ci_low == pytest.approx(1.0 - 0.4 * norm.isf(0.025))
    assert found.ci_high == pytest.approx(1.0 + 0.4 * norm.isf(0.025))


@given(fractions(4), st.sampled_from([1, 2]))
@settings(max_examples=20, deadline=None)
def test_at_the_boundary_the_p_value_is_what_was_spent(information: list[float], sides: int) -> None:
    """Stage-wise ordering: outcomes at least as extreme are those for which alpha was spent."""
    looks = boundaries(information, 0.05, sides)
    for look, boundary in zip(looks, critical(looks), strict=True):
        statistics = [0.0] * (look.look - 1) + [boundary]
        found = final_inference(looks, statistics, [1.0] * look.look, 0.05, sides)
        assert found.p_value == pytest.approx(look.alpha_spent, abs=1e-11)
    assert found.ci_low == pytest.approx(0.0, abs=1e-8)


@given(fractions(4), st.floats(-6, 6))
@settings(max_examples=20, deadline=None)
def test_two_sided_inference_is_symmetric(information: list[float], statistic: float) -> None:
    looks = boundaries(information)
    zeros, errors = [0.0] * (len(looks) - 1), [0.5] * len(looks)
    up = final_inference(looks, [*zeros, statistic], errors)
    down = final_inference(looks, [*zeros, -statistic], errors)
    assert up.p_value == pytest.approx(down.p_value, abs=1e-11)
    for name, mirrored in (
        ("ci_low", "ci_high"),
        ("ci_high", "ci_low"),
        ("median_unbiased", "median_unbiased"),
    ):
        assert getattr(up, name) == pytest.approx(-getattr(down, mirrored), abs=1e-8)
    assert 0 <= up.p_value <= 1
    assert up.ci_low is not None and up.ci_high is not None and up.median_unbiased is not None
    assert up.ci_low < up.median_unbiased < up.ci_high


@given(st.floats(-9, 9), st.sampled_from([1, 2]))
@settings(max_examples=20, deadline=None)
def test_inference_rises_with_the_statistic(statistic: float, sides: int) -> None:
    looks = boundaries([0.3, 0.6, 1.0], 0.05, sides)
    lower = final_inference(looks, [0.0, statistic], [1.0, 1.0], 0.05, sides)
    higher = final_inference(looks, [0.0, statistic + 0.1], [1.0, 1.0], 0.05, sides)
    for name in ("ci_low", "ci_high", "median_unbiased"):
        # Far above the boundary of look 2 the outcome is as extreme as any that did not stop before.
        assert getattr(lower, name) <= getattr(higher, name) + 1e-9


@pytest.mark.parametrize("statistic", [-1e12, -1e6, -50.0, -12.0, 50.0, 1e12])
def test_extreme_statistics_are_within_reach(statistic: float) -> None:
    """One-sided and far below every boundary, inference is that of a fixed sample."""
    looks = boundaries([0.2, 0.5, 1.0], 0.025, 1, "obrien_fleming")
    found = final_inference(looks, [0.0, 0.0, statistic], [1.0] * 3, 0.025, 1)
    assert found.ci_low is not None and found.ci_high is not None
    if statistic < 0:
        assert found.p_value == pytest.approx(1.0)
        assert found.median_unbiased == pytest.approx(statistic, abs=1e-8)
        assert found.ci_high == pytest.approx(statistic + 1.959963984540054, abs=1e-8, rel=1e-15)
    else:
        assert found.p_value == pytest.approx(looks[1].alpha_spent, rel=1e-9)
        assert 0 < found.ci_low < found.ci_high < 10


@pytest.mark.parametrize("drift", [-2.0, 0.0, 1.5])
def test_the_point_of_view_does_not_matter(drift: float) -> None:
    """With low boundaries, which negative statistics feel."""
    looks = boundaries([0.1, 0.6, 1.0], 0.3, 1)
    expected = stage_wise(looks, -0.5, 1)
    for reference in (-0.5, -2.0, 1.0):
        found = stage_wise(looks, -0.5, 1, reference)
        assert found.p_above(drift) == pytest.approx(expected.p_above(drift), abs=1e-12)


def test_the_ordering_agrees_with_simulation() -> None:
    """Two-sided, stopped at look 2 of 3: above are those who crossed upwards at look 1, or go on and reach it."""
    looks, statistic, drift, paths = boundaries([0.3, 0.6, 1.0]), 1.2, 0.8, 400_000
    random = np.random.default_rng(12)
    steps = random.standard_normal((paths, 2)) * np.sqrt([0.3, 0.3]) + 0.3 * drift / np.sqrt(0.6)
    z = np.cumsum(steps, axis=1) / np.sqrt([0.3, 0.6])
    boundary = critical(looks)[0]
    expected = (z[:, 0] >= boundary) | ((np.abs(z[:, 0]) < boundary) & (z[:, 1] >= statistic))
    order = stage_wise(looks[:2], statistic, 2)
    assert order.p_above(drift) == pytest.approx(expected.mean(), abs=0.0024)
    assert order.p_above(drift) + order.p_below(drift) == pytest.approx(1.0, abs=1e-12)


def test_a_second_reading_stands_in_for_the_first() -> None:
    looks = boundaries([0.3, 0.6, 0.6, 1.0])
    again = final_inference(looks, [1.0, 2.0, 1.8], [1.0] * 3)
    assert looks[2].z_boundary is None
    assert again == final_inference(boundaries([0.3, 0.6]), [1.0, 1.8], [1.0] * 2)


def test_p_value_alone_without_standard_errors() -> None:
    found = final_inference(boundaries([0.5, 1.0]), [1.0])
    assert found == FinalInference(found.p_value, None, None, None)
    assert found.p_value == pytest.approx(2 * norm.sf(1.0))


def test_a_look_without_boundary_has_no_interval() -> None:
    looks = boundaries([0.02, 1.0], 0.05, 2, "obrien_fleming")
    found = with_repeated_intervals(looks, [1.0, 2.0], [1.0, 0.5])
    assert (found[0].repeated_ci_low, found[0].repeated_ci_high) == (None, None)
    boundary = looks[1].z_boundary
    assert boundary is not None
    assert found[1].repeated_ci_low == pytest.approx(1.0 - 0.5 * boundary)


@pytest.mark.parametrize("sides", [1, 2])
def test_a_repeated_p_value_is_the_alpha_whose_boundary_is_met(sides: int) -> None:
    information, statistics = [0.2, 0.5, 0.7], [1.5, 2.0, 2.8]
    for k, p_value in enumerate(repeated_p_values(information, statistics, sides, final=True)):
        assert p_value is not None
        look = boundaries(information[: k + 1], p_value, sides, final=k == 2)[k]
        assert look.z_boundary == pytest.approx(statistics[k], abs=1e-9)


def test_repeated_p_values_end_somewhere() -> None:
    assert repeated_p_values([0.5, 1.0], [-0.1, 0.0], sides=1) == (None, None)
    tiny = repeated_p_values([0.5], [40.0])[0]
    assert tiny is not None and tiny < 2e-14
    assert repeated_p_values([0.5], [-2.0]) == repeated_p_values([0.5], [2.0])


def test_impossible_input_is_refused() -> None:
    looks = boundaries([0.5, 1.0])
    for statistics, errors, words in (
        ([1.0, 2.0, 3.0], [], "3 statistics for 2 looks"),
        ([1.0], [1.0, 1.0], "2 standard errors for 1 statistics"),
        ([float("nan")], [1.0], "statistic nan"),
        ([1e13], [1.0], "at most 1e\\+12"),
        ([1.0], [0.0], "standard error 0.0"),
        ([], [], "no statistic given"),
    ):
        with pytest.raises(InputError, match=words):
            final_inference(looks, statistics, errors)
