"""Differences in means within strata, weighted by the strata's sizes (Miratrix, Sekhon and Yu 2013): from moments.

It is the regression on one dummy for each stratum and arm, whose hat matrix averages within them.
"""

from collections.abc import Sequence

import numpy as np

from metrics.statistics import vcov as v
from metrics.statistics.estimators import ROUNDING, Comparison, mean_scores, picked
from metrics.statistics.layout import STRATUM
from metrics.statistics.moments import Moments
from metrics.statistics.regression import Columns, Fit
from metrics.statistics.results import EMPTY_ARM, NO_VARIANCE, Result, counts_of


def fit_post_stratified(
    whole: Moments, strata: Sequence[Moments], outcome: str, comparison: Comparison
) -> Fit | Result:
    """Cell means, or the status that forbids them; K = 2 x strata.

    strata: the moments of every stratum, in the order of its levels. A stratum with rows of one arm only has no
    difference: empty_arm. One without rows of either has no weight.
    """
    counts = counts_of(whole, comparison.arm)
    pair = [0, comparison.arm]
    sizes = np.array([stratum.row_products[pair, 0, 0] for stratum in strata])
    present = np.asarray(sizes.any(axis=1))
    if not sizes[present].all():
        return Result(EMPTY_ARM, counts)
    y = whole.column(outcome)
    # Around the shift of the whole, as its rows are: cells of one pass share it.
    sums = np.array([stratum.shifted_to(whole.shift).row_products[pair, 0, y] for stratum in strata])
    squares = np.array([stratum.shifted_to(whole.shift).row_products[pair, y, y] for stratum in strata])
    cells = np.where(present[:, None], sizes, 1.0)
    means = sums / cells
    if (squares - means * sums).sum() <= ROUNDING * squares.sum():
        return Result(NO_VARIANCE, counts)
    weights = sizes.sum(axis=1) / sizes.sum()
    raw = mean_scores(whole, picked(whole, outcome), (0, comparison.arm))
    functional = np.zeros((whole.row_products.shape[1], 3))
    functional[y, 0] = 1
    functional[:, 2] = raw.scores[0]
    signs = np.array([-1.0, 1.0])
    terms = np.zeros((len(strata), 2, 3))
    terms[:, :, 0] = -means
    terms[:, :, 1] = signs * weights[:, None] / cells
    blocks = np.zeros(sizes.shape, dtype=np.int64)
    blocks[present] = np.arange(2 * present.sum()).reshape(-1, 2)
    root = 1 / np.sqrt(cells[present].ravel())
    return Fit(
        arm=comparison.arm,
        counts=counts,
        vcov=v.choose_vcov(comparison.vcov, counts.n_households),
        columns=Columns((0,), blocks, with_arm=False),
        functionals=np.stack([functional, functional]),
        terms=terms,
        root=np.diag(root),
        contrast=root * (signs * weights[present][:, None]).ravel(),
        effect=float(weights @ (means[:, 1] - means[:, 0])),
        means=raw.means,
        by=STRATUM,
    )
