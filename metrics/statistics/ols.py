"""Regression of the outcome on the arm and covariates (ANCOVA): coefficients from moments."""

from collections.abc import Sequence

import numpy as np

from metrics.statistics import vcov as v
from metrics.statistics.collinearity import explained_by, independent
from metrics.statistics.estimators import ROUNDING, Comparison, mean_scores, picked
from metrics.statistics.moments import Floats, Moments
from metrics.statistics.regression import Columns, Fit, inverse_root
from metrics.statistics.results import COLLINEAR, LEVERAGE_ONE, NO_VARIANCE, Result, counts_of


def fit_ols(
    moments: Moments, outcome: str, covariates: Sequence[str], comparison: Comparison
) -> Fit | Result:
    """Least squares on (1, covariates, arm), or the status that forbids it. Dropped covariates are listed."""
    counts = counts_of(moments, comparison.arm)
    pair = moments.row_products[[0, comparison.arm]]
    kept = independent(pair.sum(axis=0), [moments.column(name) for name in covariates])
    dropped = tuple(name for name in covariates if moments.column(name) not in kept)
    if explained_by(pair, kept):
        return Result(COLLINEAR, counts, dropped_covariates=dropped)
    if counts.n_rows <= len(kept) + 2:
        # As many coefficients as rows.
        return Result(LEVERAGE_ONE, counts, dropped_covariates=dropped)
    y = moments.column(outcome)
    normal, along = _normal_equations(pair, (0, *kept), y)
    root = inverse_root(normal)
    beta = root @ (root.T @ along)
    total = pair[:, y, y].sum()
    if total - along @ beta <= ROUNDING * total:
        return Result(NO_VARIANCE, counts, dropped_covariates=dropped)
    raw = mean_scores(moments, picked(moments, outcome), (0, comparison.arm))
    functional = np.zeros((pair.shape[1], 3))
    functional[y, 0] = 1
    functional[(0, *kept), 0] -= beta[:-1]
    functional[(0, *kept), 1] = root[:-1] @ root[-1]
    functional[:, 2] = raw.scores[0]
    terms = np.zeros((1, 2, 3))
    terms[0, 1, :2] = -beta[-1], root[-1] @ root[-1]
    return Fit(
        arm=comparison.arm,
        counts=counts,
        vcov=v.choose_vcov(comparison.vcov, counts.n_households),
        columns=Columns((0, *kept), np.zeros((1, 2), dtype=np.int64), with_arm=True),
        functionals=np.stack([functional, functional]),
        terms=terms,
        root=root,
        contrast=root[-1],
        effect=float(beta[-1]),
        means=raw.means,
        dropped=dropped,
    )


def _normal_equations(pair: Floats, regressors: tuple[int, ...], y: int) -> tuple[Floats, Floats]:
    """X'X (k, k) and X'y (k,) of (regressors, arm dummy); pair (2, 1+p, 1+p) of control and arm."""
    both, arm = pair.sum(axis=0), pair[1]
    k = len(regressors) + 1
    normal = np.empty((k, k))
    normal[:-1, :-1] = both[np.ix_(regressors, regressors)]
    normal[-1, :-1] = normal[:-1, -1] = arm[0, list(regressors)]
    normal[-1, -1] = arm[0, 0]
    return normal, np.append(both[list(regressors), y], arm[0, y])
