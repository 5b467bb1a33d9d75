"""What an estimator returns: the numbers of one comparison, or the status that says why there are none."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from metrics.statistics.moments import Floats, Moments

OK = "ok"
NO_DATA = "no_data"
NOT_MATURED = "not_matured"
EMPTY_ARM = "empty_arm"
NO_VARIANCE = "no_variance"
ONE_CLUSTER = "one_cluster"
COLLINEAR = "collinear"
LEVERAGE_ONE = "leverage_one"


@dataclass(frozen=True)
class Counts:
    """Rows of the two arms and the households that they come from."""

    n_profiles_control: int
    n_profiles_arm: int
    n_households: int

    @property
    def n_rows(self) -> int:
        return self.n_profiles_control + self.n_profiles_arm


@dataclass(frozen=True)
class Result:
    """One arm against the control. Effects in the metric's unit, relative ones as shares of the raw control mean.

    A status other than ok has no numbers but the counts. Relative numbers are None where the control mean is 0.
    """

    status: str
    counts: Counts
    vcov: str | None = None
    control_mean: float | None = None
    arm_mean: float | None = None
    effect: float | None = None
    std_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    relative_effect: float | None = None
    relative_std_error: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    statistic: float | None = None
    df: float | None = None
    p_value: float | None = None
    variance_reduction: float | None = None
    dropped_covariates: tuple[str, ...] = ()


def counts_of(moments: Moments, arm: int) -> Counts:
    profiles = moments.n_profiles
    return Counts(int(profiles[0]), int(profiles[arm]), moments.households_of(arm))


def population_status(moments: Moments, exposed: Moments, arm: int) -> str:
    """Whether two arms can be compared at all. `exposed` counts the same cell's profiles, matured or not."""
    matured, seen = moments.n_profiles[[0, arm]], exposed.n_profiles[[0, arm]]
    if not seen.any():
        return NO_DATA
    if not matured.any():
        return NOT_MATURED
    if not matured.all():
        # An arm whose profiles are all still in their window is late, not empty.
        return NOT_MATURED if seen.all() else EMPTY_ARM
    return leverage_status(moments, arm)


def leverage_status(moments: Moments, arm: int) -> str:
    """An arm within one household has no variance between households: its cluster leverage is one."""
    if moments.households_of(arm) == 1:
        return ONE_CLUSTER
    if min(moments.household_counts[0, 0], moments.household_counts[arm, arm]) == 1:
        return LEVERAGE_ONE
    return OK


@dataclass(frozen=True)
class Numbers:
    """Point estimates with the covariance (2, 2) of (effect, control mean), its name and its degrees of freedom."""

    control_mean: float
    arm_mean: float
    effect: float
    covariance: Floats
    vcov: str
    df: float


def finished(counts: Counts, numbers: Numbers, level: float) -> Result:
    """Interval at 1 - level, two-sided p and the relative effect by the delta method, all on t(df)."""
    std_error = float(np.sqrt(numbers.covariance[0, 0]))
    quantile = float(stdtrit(numbers.df, 1 - level / 2))
    statistic = numbers.effect / std_error
    relative = _relative(numbers)
    effect_interval = _interval(numbers.effect, std_error, quantile)
    relative_interval = _interval(*relative, quantile) if relative else (None, None)
    return Result(
        status=OK,
        counts=counts,
        vcov=numbers.vcov,
        control_mean=numbers.control_mean,
        arm_mean=numbers.arm_mean,
        effect=numbers.effect,
        std_error=std_error,
        ci_low=effect_interval[0],
        ci_high=effect_interval[1],
        relative_effect=relative[0] if relative else None,
        relative_std_error=relative[1] if relative else None,
        relative_ci_low=relative_interval[0],
        relative_ci_high=relative_interval[1],
        statistic=statistic,
        df=numbers.df,
        p_value=float(2 * stdtr(numbers.df, -abs(statistic))),
    )


def _interval(estimate: float, std_error: float, quantile: float) -> tuple[float, float]:
    return estimate - quantile * std_error, estimate + quantile * std_error


def _relative(numbers: Numbers) -> tuple[float, float] | None:
    """effect / control mean and its standard error: gradient (1, -relative effect) / control mean."""
    if numbers.control_mean == 0:
        return None
    relative = numbers.effect / numbers.control_mean
    gradient = np.array([1.0, -relative]) / numbers.control_mean
    variance = float(gradient @ numbers.covariance @ gradient)
    return relative, float(np.sqrt(max(variance, 0.0)))
