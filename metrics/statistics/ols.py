"""Regression of the outcome on the arm and covariates (ANCOVA), with errors robust to household clusters.

Coefficients follow from the pooled row products. Their covariance needs the residuals of each household at those
coefficients, hence a second pass over the rows, which sums scores of the arm's coefficient only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from metrics.statistics import vcov as v
from metrics.statistics.collinearity import explained_by, independent
from metrics.statistics.estimators import ROUNDING, Comparison, mean_scores, picked
from metrics.statistics.moments import Floats, Integers, Moments
from metrics.statistics.results import (
    COLLINEAR,
    LEVERAGE_ONE,
    NO_VARIANCE,
    Counts,
    Numbers,
    Result,
    counts_of,
    finished,
)


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of one outcome on (1, covariates kept, arm dummy) over the rows of the control and one arm.

    regressors: positions in x = (1, v) of all but the arm dummy, which comes last among the k coefficients.
    functionals: (1+p, 3), what to take of x for the residual, for the projection on the arm's coefficient, and for
    the score of the control mean. arm_terms: (3,), what the arm dummy adds to each. root: (k, k) with
    root root' = (X'X)^-1. means: of the raw outcome, control and arm.
    """

    arm: int
    counts: Counts
    vcov: str
    regressors: tuple[int, ...]
    functionals: Floats
    arm_terms: Floats
    root: Floats
    effect: float
    means: tuple[float, float]
    dropped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Sums over households at fixed coefficients, which add over disjoint sets of them.

    products: (2, 2) of the scores of the effect and of the control mean. The rest are Satterthwaite's, see
    vcov.degrees_of_freedom; 0 unless CR2. leverage: the largest of a row, 0 unless HC2.
    """

    products: Floats
    own: float
    own_squared: float
    overlap: float
    shared: Floats
    leverage: float

    def __add__(self, other: Self) -> "ScoreSums":
        return ScoreSums(
            self.products + other.products,
            self.own + other.own,
            self.own_squared + other.own_squared,
            self.overlap + other.overlap,
            self.shared + other.shared,
            max(self.leverage, other.leverage),
        )


def fit(moments: Moments, outcome: str, covariates: Sequence[str], comparison: Comparison) -> Fit | Result:
    """Least squares from row products, or the status that forbids it. Dropped covariates are listed."""
    counts = counts_of(moments, comparison.arm)
    pair = moments.row_products[[0, comparison.arm]]
    kept = independent(pair.sum(axis=0), [moments.column(name) for name in covariates])
    dropped = tuple(name for name in covariates if moments.column(name) not in kept)
    if explained_by(pair, kept):
        return Result(COLLINEAR, counts, dropped_covariates=dropped)
    y = moments.column(outcome)
    normal, along = _normal_equations(pair, (0, *kept), y)
    root = _inverse_root(normal)
    beta = root @ (root.T @ along)
    total = pair[:, y, y].sum()
    if total - along @ beta <= ROUNDING * total:
        return Result(NO_VARIANCE, counts, dropped_covariates=dropped)
    raw = mean_scores(moments, picked(moments, outcome), (0, comparison.arm))
    functionals = np.zeros((pair.shape[1], 3))
    functionals[y, 0] = 1
    functionals[(0, *kept), 0] -= beta[:-1]
    functionals[(0, *kept), 1] = root[:-1] @ root[-1]
    functionals[:, 2] = raw.scores[0]
    return Fit(
        arm=comparison.arm,
        counts=counts,
        vcov=v.choose_vcov(comparison.vcov, counts.n_households),
        regressors=(0, *kept),
        functionals=functionals,
        arm_terms=np.array([-beta[-1], root[-1] @ root[-1], 0.0]),
        root=root,
        effect=float(beta[-1]),
        means=raw.means,
        dropped=dropped,
    )


def score_sums(fit: Fit, rows: Floats, arm: Integers, household: Integers) -> ScoreSums:
    """Sums over the households of these rows x = (1, v), (n, 1+p), sorted by household."""
    chosen = (arm == 0) | (arm == fit.arm)
    if not chosen.all():
        rows, arm, household = rows[chosen], arm[chosen], household[chosen]
    if len(rows) == 0:
        return _plain_sums(np.zeros((0, 2)), len(fit.root))
    treated = (arm == fit.arm).astype(np.float64)
    residual, projection, control = (rows @ fit.functionals + np.outer(treated, fit.arm_terms)).T
    control = np.where(arm == 0, control, 0.0)
    starts = np.flatnonzero(np.append(True, household[1:] != household[:-1]))
    if fit.vcov == "cr1s":
        scores = np.column_stack([projection * residual, control])
        return _plain_sums(np.add.reduceat(scores, starts), len(fit.root))
    design = np.column_stack([rows[:, fit.regressors], treated])
    if fit.vcov == "hc2":
        return _hc2_sums(fit, design, projection * residual, control)
    return _cr2_sums(fit, design, residual, control, starts)


def ols(fit: Fit, sums: ScoreSums, level: float) -> Result:
    """The arm's coefficient; cr1s with K = all columns and t(G-1), CR2 where clusters are few, HC2 and t(N-K)."""
    counts, k = fit.counts, len(fit.root)
    if sums.leverage > 1 - v.LEVERAGE_TOLERANCE:
        # HC2 divides by 1 - leverage of each row.
        return Result(LEVERAGE_ONE, counts, dropped_covariates=fit.dropped)
    covariance, df = sums.products, float(counts.n_households - 1)
    if fit.vcov == "cr1s":
        covariance = covariance * v.cr1s_factor(counts.n_households, counts.n_rows, k)
    elif fit.vcov == "hc2":
        df = counts.n_rows - k
    else:
        df = v.degrees_of_freedom(sums.own, sums.own_squared, sums.overlap, sums.shared)
    result = finished(counts, Numbers(*fit.means, fit.effect, covariance, fit.vcov, df), level)
    return replace(result, dropped_covariates=fit.dropped)


def _normal_equations(pair: Floats, regressors: tuple[int, ...], y: int) -> tuple[Floats, Floats]:
    """X'X (k, k) and X'y (k,) of (regressors, arm dummy); pair (2, 1+p, 1+p) of control and arm."""
    both, arm = pair.sum(axis=0), pair[1]
    k = len(regressors) + 1
    normal = np.empty((k, k))
    normal[:-1, :-1] = both[np.ix_(regressors, regressors)]
    normal[-1, :-1] = normal[:-1, -1] = arm[0, list(regressors)]
    normal[-1, -1] = arm[0, 0]
    return normal, np.append(both[list(regressors), y], arm[0, y])


def _inverse_root(normal: Floats) -> Floats:
    """root with root root' = normal^-1, from the Cholesky factor of the matrix scaled to a unit diagonal."""
    scale = 1 / np.sqrt(np.diag(normal))
    factor = np.linalg.cholesky(normal * np.outer(scale, scale))
    root: Floats = scale[:, None] * np.linalg.inv(factor).T
    return root


def _plain_sums(scores: Floats, k: int, leverage: float = 0.0) -> ScoreSums:
    return ScoreSums(scores.T @ scores, 0.0, 0.0, 0.0, np.zeros((k, k)), leverage)


def _hc2_sums(fit: Fit, design: Floats, scores: Floats, control: Floats) -> ScoreSums:
    leverage = ((design @ fit.root) ** 2).sum(axis=1)
    adjusted = scores / np.sqrt(np.maximum(1 - leverage, v.LEVERAGE_TOLERANCE))
    shrink = 1 - 1 / fit.counts.n_profiles_control
    both = np.column_stack([adjusted, control / np.sqrt(shrink)])
    return _plain_sums(both, len(fit.root), float(leverage.max()))


def _cr2_sums(fit: Fit, design: Floats, residual: Floats, control: Floats, starts: Integers) -> ScoreSums:
    """Bell-McCaffrey scores. With Q = X_g root and Q'Q = V diag(l) V', (I - H_gg)^(-1/2) acts as 1/sqrt(1 - l).

    A leverage of one drops out of the generalised inverse, as in clubSandwich.
    """
    n, k = design.shape
    grams = np.add.reduceat((design[:, :, None] * design[:, None, :]).reshape(n, k * k), starts)
    leverages, vectors = np.linalg.eigh(fit.root.T @ grams.reshape(-1, k, k) @ fit.root)
    regular = 1 - leverages > v.LEVERAGE_TOLERANCE
    stretch = np.where(regular, 1 / np.sqrt(np.where(regular, 1 - leverages, 1.0)), 0.0)
    along_arm = np.einsum("gkj,k->gj", vectors, fit.root[-1])
    household_scores = np.add.reduceat(design * residual[:, None], starts) @ fit.root
    turned = np.einsum("gkj,gk->gj", vectors, household_scores)
    effect = (along_arm * stretch * turned).sum(axis=1)
    own = (along_arm**2 * leverages * stretch**2).sum(axis=1)
    shared = np.einsum("gkj,gj->gk", vectors, leverages * stretch * along_arm)
    share_of_control = np.add.reduceat(1 - design[:, -1], starts) / fit.counts.n_profiles_control
    adjusted_control = np.add.reduceat(control, starts) / np.sqrt(1 - share_of_control)
    scores = np.column_stack([effect, adjusted_control])
    return ScoreSums(
        products=scores.T @ scores,
        own=float(own.sum()),
        own_squared=float(own @ own),
        overlap=float(own @ (shared**2).sum(axis=1)),
        shared=shared.T @ shared,
        leverage=0.0,
    )
