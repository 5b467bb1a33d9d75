import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.errors import InputError
from metrics.sequential.confidence_sequences import asymptotic_interval, best_rho, mixture_tests
from tests.metrics.statistics.support import cases, reference


def differences(shared: Path, ends: list[int]) -> Iterator[tuple[float, float]]:
    """Treatment minus control and its standard error over the first rows of series.csv."""
    rows = pd.read_csv(shared / "reference" / "series.csv")
    for end in ends:
        seen = rows.head(end)
        treatment, control = (
            seen.loc[seen["arm"] == arm, "y"].to_numpy(dtype=float) for arm in ("treatment", "control")
        )
        variance = treatment.var(ddof=1) / len(treatment) + control.var(ddof=1) / len(control)
        yield float(treatment.mean() - control.mean()), math.sqrt(variance)


def test_mean(shared: Path) -> None:
    y = pd.read_csv(shared / "reference" / "series.csv")["y"]
    inputs, expected = cases(shared)["asymptotic_cs_mean"]["inputs"], reference(shared, "asymptotic_cs_mean")
    rho = best_rho(inputs["t_star"], inputs["alpha"])
    assert rho == pytest.approx(expected["rho"], rel=1e-12)
    for look in expected["sequence"]:
        seen = y.head(look["t"])
        std_error = float(seen.std(ddof=0)) / math.sqrt(look["t"])
        found = asymptotic_interval(float(seen.mean()), std_error, look["t"], rho, inputs["alpha"])
        assert (found.low, found.high) == pytest.approx((look["low"], look["high"]), rel=1e-9)


def test_difference(shared: Path) -> None:
    inputs = cases(shared)["asymptotic_cs_difference"]["inputs"]
    expected = reference(shared, "asymptotic_cs_difference")
    rho = best_rho(inputs["t_star"], inputs["alpha"])
    for look, result in zip(expected["sequence"], differences(shared, inputs["t"]), strict=True):
        found = asymptotic_interval(*result, look["t"], rho, inputs["alpha"])
        assert (found.low, found.high) == pytest.approx((look["low"], look["high"]), rel=1e-9)


def test_mixture(shared: Path) -> None:
    inputs, expected = cases(shared)["msprt"]["inputs"], reference(shared, "msprt")
    estimates, std_errors = zip(*differences(shared, inputs["t"]), strict=True)
    found = mixture_tests(estimates, std_errors, inputs["tau2"], inputs["alpha"])
    for test, look in zip(found, expected["sequence"], strict=True):
        assert math.exp(test.log_likelihood_ratio) == pytest.approx(look["likelihood_ratio"], rel=1e-9)
        assert test.p_always_valid == pytest.approx(look["p_always_valid"], rel=1e-9)
        assert (test.ci_low, test.ci_high) == pytest.approx((look["ci_low"], look["ci_high"]), rel=1e-9)


def test_the_p_value_never_rises_and_does_not_overflow() -> None:
    found = mixture_tests([100.0, 0.0], [0.1, 0.1], 1.0)
    assert [test.p_always_valid for test in found] == [0.0, 0.0]
    assert found[1].log_likelihood_ratio < 0


def test_sequences_rarely_miss_at_any_of_many_looks() -> None:
    random = np.random.default_rng(3)
    ends = np.arange(50, 1001, 10)
    sums = np.cumsum(random.standard_normal((1000, 1000)), axis=1)[:, ends - 1]
    rho = best_rho(500)
    radius = [asymptotic_interval(0.0, 1 / math.sqrt(t), t, rho).high for t in ends.tolist()]
    assert (np.abs(sums / ends) > radius).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize(
    "std_error, alpha, tau_squared", [(0.0, 0.05, 1.0), (1.0, 1.0, 1.0), (1.0, 0.05, 0.0)]
)
def test_impossible_input_is_refused(std_error: float, alpha: float, tau_squared: float) -> None:
    with pytest.raises(InputError, match="expected"):
        mixture_tests([1.0], [std_error], tau_squared, alpha)
    with pytest.raises(InputError, match="expected"):
        asymptotic_interval(1.0, std_error, 10, tau_squared, alpha)
