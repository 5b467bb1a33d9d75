"""Estimates of one arm against the control, computed from moments alone (DESIGN §6).

Every estimate here is linear in household totals z once its coefficients are taken as fixed, so an estimator only
has to say its weights on z; the covariance follows in vcov.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics import vcov as v
from metrics.statistics.collinearity import explained_by, independent
from metrics.statistics.moments import Floats, Moments
from metrics.statistics.results import (
    COLLINEAR,
    EMPTY_ARM,
    NO_DATA,
    NO_VARIANCE,
    Counts,
    Numbers,
    Result,
    counts_of,
    finished,
)

# A variance this small against what its terms were before cancelling is rounding error.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """Which arm (position, control is 0) is compared how: the `vcov` setting, and intervals at 1 - level."""

    arm: int
    vcov: str = "auto"
    level: float = 0.05


def difference_in_means(moments: Moments, outcome: str, comparison: Comparison) -> Result:
    """Arm mean less control mean; cr1s with K = 2 and t(G-1), CR2 where clusters are few, HC2 without clusters."""
    return _adjusted_difference(moments, outcome, picked(moments, outcome), comparison)


def cuped(moments: Moments, outcome: str, covariates: Sequence[str], comparison: Comparison) -> Result:
    """Difference in means of Y - theta'(X - mean X), theta pooled over all arms and taken as fixed.

    Deng, Xu, Kohavi, Walker (2013). Constant covariates and linear functions of earlier ones are dropped and listed.
    """
    theta = cuped_theta(moments, outcome, covariates)
    dropped = tuple(name for name in covariates if name not in theta.covariates)
    kept = [moments.column(name) for name in theta.covariates]
    if explained_by(moments.row_products[[0, comparison.arm]], kept):
        return Result(COLLINEAR, counts_of(moments, comparison.arm), dropped_covariates=dropped)
    result = _adjusted_difference(moments, outcome, _cuped_row(moments, outcome, theta), comparison)
    if result.effect is None:
        return replace(result, dropped_covariates=dropped)
    return replace(result, dropped_covariates=dropped, variance_reduction=theta.variance_reduction)


def ratio(moments: Moments, numerator: str, denominator: str, comparison: Comparison) -> Result:
    """Difference of ratios of sums; delta method on household totals, factor G/(G-1), t(G-1)."""
    raw = picked(moments, numerator), picked(moments, denominator)
    return _ratio_of(moments, raw, raw, comparison)


def ratio_cuped(
    moments: Moments, numerator: str, denominator: str, covariates: Sequence[str], comparison: Comparison
) -> Result:
    """The same after numerator and denominator are each CUPED-adjusted, with a pooled theta of their own."""
    thetas = [cuped_theta(moments, name, covariates) for name in (numerator, denominator)]
    dropped = tuple(name for name in covariates if name not in thetas[0].covariates)
    kept = [moments.column(name) for name in thetas[0].covariates]
    if explained_by(moments.row_products[[0, comparison.arm]], kept):
        return Result(COLLINEAR, counts_of(moments, comparison.arm), dropped_covariates=dropped)
    raw = picked(moments, numerator), picked(moments, denominator)
    top, bottom = (
        _cuped_row(moments, name, theta) for name, theta in zip((numerator, denominator), thetas, strict=True)
    )
    return replace(_ratio_of(moments, (top, bottom), raw, comparison), dropped_covariates=dropped)


def _ratio_of(
    moments: Moments, fraction: tuple[Floats, Floats], raw: tuple[Floats, Floats], comparison: Comparison
) -> Result:
    """Difference of the ratios of two row functionals' sums, beside the ratios of the raw ones."""
    counts = counts_of(moments, comparison.arm)
    sums = moments.row_products[[0, comparison.arm], 0]
    raw_totals = totals_of(raw[1], sums)
    if not raw_totals.all() or not totals_of(fraction[1], sums).all():
        # Without a denominator there is nothing to take a share of: the same as no rows.
        return Result(EMPTY_ARM if raw_totals.any() else NO_DATA, counts)
    scores = [_ratio_score(fraction, each) for each in sums]
    raw_control = _ratio_score(raw, sums[0])
    weights = _contrast(moments, comparison.arm, control=scores[0], arm=scores[1], raw_control=raw_control)
    covariance = v.cr0(moments, weights) * v.cr1_factor(counts.n_households)
    if _is_rounding(moments, weights):
        return Result(NO_VARIANCE, counts)
    control_mean, arm_mean = map(float, totals_of(raw[0], sums) / raw_totals)
    ratios = (sums @ fraction[0]) / (sums @ fraction[1])
    numbers = Numbers(
        control_mean, arm_mean, float(ratios[1] - ratios[0]), covariance, "cr1", counts.n_households - 1
    )
    return finished(counts, numbers, comparison.level)


def _ratio_score(fraction: tuple[Floats, Floats], sums: Floats) -> Floats:
    """The row functional (top - R bottom) / total of an arm's ratio R."""
    top, bottom = fraction
    total = sums @ bottom
    score: Floats = (top - (sums @ top) / total * bottom) / total
    return score


@dataclass(frozen=True)
class Theta:
    """CUPED's coefficients, in the order of the covariates kept, and 1 - var(y_adj) / var(y) over all rows."""

    covariates: tuple[str, ...]
    values: Floats
    variance_reduction: float | None


def cuped_theta(moments: Moments, outcome: str, covariates: Sequence[str]) -> Theta:
    """theta = Sxx^-1 Sxy over the rows of all arms, arm ignored."""
    pooled = moments.row_products.sum(axis=0)
    kept = independent(pooled, [moments.column(name) for name in covariates])
    y = moments.column(outcome)
    covariance = centred(pooled)
    scale = np.sqrt(np.diag(covariance)[kept])
    correlations = covariance[np.ix_(kept, kept)] / np.outer(scale, scale)
    theta = np.linalg.solve(correlations, covariance[kept, y] / scale) / scale
    explained = theta @ covariance[kept, y]
    reduction = float(explained / covariance[y, y]) if covariance[y, y] > 0 else None
    return Theta(tuple(moments.columns[k - 1] for k in kept), theta, reduction)


def centred(products: Floats) -> Floats:
    """Sums of squares and products about the mean, (1+p, 1+p), from those of x = (1, v)."""
    about_mean: Floats = products - np.outer(products[0], products[0]) / products[0, 0]
    return about_mean


def picked(moments: Moments, column: str) -> Floats:
    """The row functional (1+p,) whose value is the column itself, its shift put back."""
    row = np.zeros(1 + len(moments.columns))
    row[moments.column(column)] = 1
    row[0] = moments.shift[moments.column(column) - 1]
    return row


def totals_of(functional: Floats, sums: Floats) -> Floats:
    """Values of a row functional on sums (..., 1+p). What is a zero but for rounding is one.

    Sums are around a shift, which does not always cancel to the last digit; nothing may be divided by the rest.
    """
    values = sums @ functional
    size = np.abs(sums) @ np.abs(functional)
    totals: Floats = np.where(np.abs(values) <= ROUNDING * size, 0.0, values)
    return totals


def _cuped_row(moments: Moments, outcome: str, theta: Theta) -> Floats:
    """The row functional Y - theta'(X - mean X), means over all arms."""
    row = picked(moments, outcome)
    pooled = moments.row_products.sum(axis=0)[0]
    kept = [moments.column(name) for name in theta.covariates]
    row[kept] = -theta.values
    row[0] += theta.values @ (pooled[kept] / pooled[0])
    return row


def _adjusted_difference(moments: Moments, outcome: str, row: Floats, comparison: Comparison) -> Result:
    """Difference in means of a row functional, with the raw outcome's means."""
    counts = counts_of(moments, comparison.arm)
    raw = mean_scores(moments, picked(moments, outcome), (0, comparison.arm))
    adjusted = mean_scores(moments, row, (0, comparison.arm))
    weights = _contrast(
        moments, comparison.arm, adjusted.scores[0], adjusted.scores[1], raw_control=raw.scores[0]
    )
    if _is_rounding(moments, weights):
        return Result(NO_VARIANCE, counts)
    name = v.choose_vcov(comparison.vcov, counts.n_households)
    covariance, df = _covariance(moments, weights, name, comparison.arm, counts)
    effect = adjusted.means[1] - adjusted.means[0]
    return finished(counts, Numbers(*raw.means, effect, covariance, name, df), comparison.level)


@dataclass(frozen=True)
class Means:
    """Means of a row functional in two arms, and the row functionals (f - mean) / N of their scores."""

    means: tuple[float, float]
    scores: tuple[Floats, Floats]


def mean_scores(moments: Moments, row: Floats, arms: tuple[int, int]) -> Means:
    means, scores = [], []
    for arm in arms:
        sums = moments.row_products[arm, 0]
        mean = float(totals_of(row, sums) / sums[0])
        residual = row.copy()
        residual[0] -= mean
        means.append(mean)
        scores.append(residual / sums[0])
    return Means((means[0], means[1]), (scores[0], scores[1]))


def _contrast(moments: Moments, position: int, control: Floats, arm: Floats, raw_control: Floats) -> Floats:
    """Weights (2, A, 1+p) on z of the effect (arm less control) and of the raw control mean."""
    weights = np.zeros((2, *moments.row_products.shape[:2]))
    weights[0, 0], weights[0, position] = -control, arm
    weights[1, 0] = raw_control
    return weights


def _is_rounding(moments: Moments, weights: Floats) -> bool:
    return bool(v.cr0(moments, weights)[0, 0] <= ROUNDING * v.cancellation(moments, weights))


def _covariance(
    moments: Moments, weights: Floats, name: str, arm: int, counts: Counts
) -> tuple[Floats, float]:
    """The named covariance and its degrees of freedom, for a regression on two arm dummies (K = 2)."""
    if name == "cr2":
        return v.cr2(moments, weights, arm), v.satterthwaite_df(moments, arm)
    if name == "hc2":
        return v.hc2(moments, weights, arm), counts.n_rows - 2
    factor = v.cr1s_factor(counts.n_households, counts.n_rows, 2)
    return v.cr0(moments, weights) * factor, counts.n_households - 1
