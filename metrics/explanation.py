"""Where one estimate comes from: its formula with its numbers, recomputed from the stored moments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.configuration.catalogue import Metric
from metrics.configuration.experiment import Experiment
from metrics.rows import Estimate
from metrics.statistics.estimators import (
    Comparison,
    cuped,
    cuped_theta,
    difference_in_means,
    picked,
    ratio,
)
from metrics.statistics.layout import capped_name
from metrics.statistics.moments import Moments


@dataclass(frozen=True)
class Adjustment:
    """What one covariate takes off the difference: theta × (mean in the arm − mean in the control)."""

    covariate: str
    theta: float
    control_mean: float
    arm_mean: float

    @property
    def amount(self) -> float:
        return self.theta * (self.arm_mean - self.control_mean)


@dataclass(frozen=True)
class ArmMoments:
    """Σ1, Σy and Σy² of one column over the profiles of an arm, unadjusted."""

    n_profiles: int
    total: float
    total_of_squares: float
    sd: float

    @property
    def mean(self) -> float:
        return self.total / self.n_profiles


@dataclass(frozen=True)
class Formula:
    """`name` in symbols. Of a ratio `sums` holds numerator and denominator by arm, and there are no adjustments.

    `moments`: by outcome column and arm. `effect` and `std_error` are what moments and formula give: those of the
    estimate, but for rounding.
    """

    name: str
    control_value: float
    arm_value: float
    adjustments: tuple[Adjustment, ...]
    sums: Mapping[str, tuple[float, float]]
    effect: float
    std_error: float | None
    moments: Mapping[str, Mapping[str, ArmMoments]]


def formula_of(row: Estimate, moments: Moments, metric: Metric, experiment: Experiment) -> Formula | None:
    """Of an estimate of everybody by the deciding estimator; None where the status is not ok, for quantiles and
    regressions.
    """
    if row.status != "ok" or metric.kind == "quantile":
        return None
    arms = moments.arms.index(row.control_arm), moments.arms.index(row.arm)
    comparison = Comparison(arms[1], experiment.vcov, experiment.alpha)
    known = {name: _moments_by_arm(moments, name, arms) for name in metric.outcome_columns}
    if metric.kind == "ratio":
        return _of_ratio(row, moments, metric, comparison, known)
    control, arm = (_mean(moments, metric.name, each) for each in arms)
    if row.estimator not in ("cuped", "difference_in_means"):
        return None
    if row.estimator == "difference_in_means":
        error = difference_in_means(moments, metric.name, comparison).std_error
        return Formula("mean(arm) − mean(control)", control, arm, (), {}, arm - control, error, known)
    covariates = covariates_in(moments, metric, experiment)
    theta = cuped_theta(moments, metric.name, covariates)
    adjustments = tuple(
        Adjustment(name, float(value), *(_mean(moments, name, each) for each in arms))
        for name, value in zip(theta.covariates, theta.values, strict=True)
    )
    return Formula(
        name="mean(arm) − mean(control) − Σ theta × (covariate's mean(arm) − mean(control))",
        control_value=control,
        arm_value=arm,
        adjustments=adjustments,
        sums={},
        effect=arm - control - sum(each.amount for each in adjustments),
        std_error=cuped(moments, metric.name, covariates, comparison).std_error,
        moments=known,
    )


def covariates_in(moments: Moments, metric: Metric, experiment: Experiment) -> Sequence[str]:
    """The columns that adjust a metric: its own, capped, where it is winsorized; of a text its dummies."""
    found: list[str] = []
    for source in experiment.covariates_of(metric):
        names = (capped_name(source, metric.name), source)
        plain = next((name for name in names if name in moments.columns), None)
        found += [plain] if plain else [name for name in moments.columns if name.startswith(f"{source}=")]
    return found


def _of_ratio(
    row: Estimate,
    moments: Moments,
    metric: Metric,
    comparison: Comparison,
    known: Mapping[str, Mapping[str, ArmMoments]],
) -> Formula:
    numerator, denominator = metric.outcome_columns
    sums = {arm: (top.total, known[denominator][arm].total) for arm, top in known[numerator].items()}
    control, arm = (top / bottom for top, bottom in sums.values())
    name = f"Σ {metric.numerator}(arm) / Σ {metric.denominator}(arm) − the same of {row.control_arm}"
    error = ratio(moments, numerator, denominator, comparison).std_error
    return Formula(name, control, arm, (), sums, arm - control, error, known)


def _moments_by_arm(moments: Moments, column: str, arms: tuple[int, int]) -> dict[str, ArmMoments]:
    functional = picked(moments, column)
    found = {}
    for each in arms:
        products = moments.row_products[each]
        n, total = round(products[0, 0]), float(products[0] @ functional)
        centred = functional.copy()  # so that the digits of a large mean do not cost those of the spread
        centred[0] -= total / n
        about_mean = max(float(centred @ products @ centred), 0.0)
        found[moments.arms[each]] = ArmMoments(
            n, total, float(functional @ products @ functional), math.sqrt(about_mean / max(n - 1, 1))
        )
    return found


def _sum(moments: Moments, column: str, arm: int) -> float:
    return float(moments.row_products[arm, 0] @ picked(moments, column))


def _mean(moments: Moments, column: str, arm: int) -> float:
    return _sum(moments, column, arm) / float(moments.row_products[arm, 0, 0])
