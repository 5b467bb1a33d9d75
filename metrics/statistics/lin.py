"""Regression with covariates interacted with the arm (Lin 2013, Annals of Applied Statistics 7): from moments.

Y on the arm, covariates centred over the rows used, and their products is two regressions, one in each arm; its
coefficient of the arm is the difference of their predictions at the covariates' common mean.
"""

from collections.abc import Sequence

import numpy as np

from metrics.statistics import vcov as v
from metrics.statistics.collinearity import explained_by, independent
from metrics.statistics.estimators import ROUNDING, Comparison, mean_scores, picked
from metrics.statistics.moments import Floats, Moments
from metrics.statistics.regression import Columns, Fit, inverse_root
from metrics.statistics.results import COLLINEAR, LEVERAGE_ONE, NO_VARIANCE, Result, counts_of


def fit_lin(
    moments: Moments, outcome: str, covariates: Sequence[str], comparison: Comparison
) -> Fit | Result:
    """The two regressions, or the status that forbids them. K = 2 + 2k with k the covariates kept.

    Dropped and listed are covariates that say nothing new in one of the arms: there they have no slope.
    """
    counts = counts_of(moments, comparison.arm)
    pair = moments.row_products[[0, comparison.arm]]
    positions = [moments.column(name) for name in covariates]
    if explained_by(pair, independent(pair.sum(axis=0), positions)):
        return Result(COLLINEAR, counts)
    kept = independent(pair[1], independent(pair[0], positions))
    dropped = tuple(name for name in covariates if moments.column(name) not in kept)
    if min(counts.n_profiles_control, counts.n_profiles_arm) <= 1 + len(kept):
        # One of the arms has no more rows than coefficients.
        return Result(LEVERAGE_ONE, counts, dropped_covariates=dropped)
    y = moments.column(outcome)
    regressors = (0, *kept)
    centre = pair.sum(axis=0)[0, list(regressors)] / counts.n_rows
    roots = [inverse_root(products[np.ix_(regressors, regressors)]) for products in pair]
    betas = [_solved(root, products, regressors, y) for root, products in zip(roots, pair, strict=True)]
    explained = sum(beta @ products[list(regressors), y] for beta, products in zip(betas, pair, strict=True))
    total = pair[:, y, y].sum()
    if total - explained <= ROUNDING * total:
        return Result(NO_VARIANCE, counts, dropped_covariates=dropped)
    raw = mean_scores(moments, picked(moments, outcome), (0, comparison.arm))
    contrasts = [sign * root.T @ centre for sign, root in zip((-1, 1), roots, strict=True)]
    functionals = np.zeros((2, pair.shape[1], 3))
    functionals[:, y, 0] = 1
    for position in (0, 1):
        functionals[position, regressors, 0] -= betas[position]
        functionals[position, regressors, 1] = roots[position] @ contrasts[position]
    functionals[0, :, 2] = raw.scores[0]
    k = len(regressors)
    return Fit(
        arm=comparison.arm,
        counts=counts,
        vcov=v.choose_vcov(comparison.vcov, counts.n_households),
        columns=Columns(regressors, np.array([[0, 1]]), with_arm=False),
        functionals=functionals,
        terms=np.zeros((1, 2, 3)),
        root=np.block([[roots[0], np.zeros((k, k))], [np.zeros((k, k)), roots[1]]]),
        contrast=np.concatenate(contrasts),
        effect=float(centre @ (betas[1] - betas[0])),
        means=raw.means,
        dropped=dropped,
    )


def _solved(root: Floats, products: Floats, regressors: tuple[int, ...], y: int) -> Floats:
    coefficients: Floats = root @ (root.T @ products[list(regressors), y])
    return coefficients
