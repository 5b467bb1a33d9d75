"""Does the effect differ between the levels of a segmentation? A Wald test robust to household clusters (DESIGN §6).

It is the test of all interactions in the regression of the outcome on level, arm and their products, unadjusted;
ratios are linearised (delta method). Profiles of one household may be in different levels and arms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from metrics.statistics import vcov as v
from metrics.statistics.estimators import ROUNDING, picked, totals_of
from metrics.statistics.moments import Floats, Integers, Moments, begins
from metrics.statistics.regression import Rows
from metrics.statistics.results import EMPTY_ARM, NO_VARIANCE, OK, ONE_CLUSTER, leverage_status


@dataclass(frozen=True, eq=False)
class LevelFit:
    """The effects of one arm in the L levels that have both arms, and how rows x = (1, v) score on them.

    by: the segmentation's column. levels: (M,) for each of its M levels the place among the L, or -1.
    weights: (M, 2, 1+p) by level and arm. effects: (L,). n_rows: in those levels. scale: what the variances of the
    effects would be without cancelling, for telling rounding from variance.
    """

    arm: int
    by: str
    levels: Integers
    weights: Floats
    effects: Floats
    n_rows: int
    scale: float


@dataclass(frozen=True, eq=False)
class LevelSums:
    """These add over disjoint sets of households: their number, and products (L, L) of their scores on the effects."""

    n_households: int
    products: Floats


@dataclass(frozen=True)
class Interaction:
    """F = Wald / df1 on F(df1, df2); without numbers where the status is not ok."""

    status: str
    statistic: float | None = None
    df1: float | None = None
    df2: float | None = None
    p_value: float | None = None


def fit_levels(
    cells: Mapping[int, Moments], n_levels: int, outcome: Sequence[str], by: str, arm: int
) -> LevelFit | Interaction:
    """Effects by level from the moments of its cells, by the level's position.

    outcome: a column, or a numerator and a denominator. Levels without rows (or denominator) in one of the arms, or
    with one household in it, which leaves no variance, are left out; where fewer than two stay, the status says why.
    """
    levels = np.full(n_levels, -1)
    effects: list[float] = []
    n_rows, scale, why = 0, 0.0, EMPTY_ARM
    weights = np.zeros((n_levels, 2, 0))
    for position, moments in cells.items():
        scored = _scored(moments, outcome, (0, arm))
        if scored is None:
            continue
        if (leverage := leverage_status(moments, arm)) != OK:
            why = leverage
            continue
        if not effects:
            weights = np.zeros((n_levels, 2, moments.row_products.shape[1]))
        levels[position] = len(effects)
        weights[position] = scored[1] * np.array([[-1.0], [1.0]])
        effects.append(scored[0])
        n_rows += int(moments.n_profiles[[0, arm]].sum())
        sizes = np.sqrt(np.diagonal(moments.row_products[[0, arm]], axis1=1, axis2=2))
        scale += float(((np.abs(scored[1]) * sizes).sum(axis=1) ** 2).sum())
    if len(effects) < 2:
        return Interaction(why)
    return LevelFit(arm, by, levels, weights, np.array(effects), n_rows, scale)


def level_sums(fit: LevelFit, rows: Rows) -> LevelSums:
    """Sums over the households of these rows."""
    pair = rows.of_arms(fit.arm)
    found = pair.household_levels
    # Levels that are left out get a place of their own, after the others.
    n = len(fit.effects)
    place = np.where(fit.levels < 0, n, fit.levels)[found.level]
    scores = found.rows_of @ _row_scores(fit, pair)
    products = np.zeros((n + 1, n + 1))
    np.fill_diagonal(products, np.bincount(place, scores**2, n + 1))
    for first, second in found.twos():
        kinds, values = place[first] * (n + 1) + place[second], scores[first] * scores[second]
        between = np.bincount(kinds, values, (n + 1) ** 2).reshape(n + 1, n + 1)
        products += between + between.T
    return LevelSums(int(begins(found.household[place < n]).sum()), products[:n, :n])


def _row_scores(fit: LevelFit, pair: Rows) -> Floats:
    """Each row's score on the effect in its level, (n,)."""
    scores = np.zeros(len(pair.x))
    for column in np.flatnonzero(fit.weights.any(axis=(0, 1))):
        scores += pair.x[:, column] * fit.weights[:, :, column].ravel()[pair.kind]
    return scores


def interaction(fit: LevelFit, sums: LevelSums) -> Interaction:
    """The test that all levels have one effect: cr1s with K = 2 x levels, F(levels - 1, G - 1)."""
    q = len(fit.effects) - 1
    if sums.n_households < 2:
        return Interaction(ONE_CLUSTER)
    against_first = np.column_stack([-np.ones(q), np.eye(q)])
    factor = v.cr1s_factor(sums.n_households, fit.n_rows, 2 * (q + 1)) if fit.n_rows > 2 * (q + 1) else 0.0
    covariance = factor * against_first @ sums.products @ against_first.T
    differences = against_first @ fit.effects
    if factor == 0.0 or np.linalg.eigvalsh(covariance)[0] <= ROUNDING * factor * fit.scale:
        return Interaction(NO_VARIANCE)
    statistic = float(differences @ np.linalg.solve(covariance, differences)) / q
    df2 = sums.n_households - 1
    return Interaction(OK, statistic, float(q), float(df2), float(fdtrc(q, df2, statistic)))


def _scored(moments: Moments, outcome: Sequence[str], arms: tuple[int, int]) -> tuple[float, Floats] | None:
    """The effect in a cell, and by arm the functional (2, 1+p) of its scores; None where an arm has nothing."""
    top = picked(moments, outcome[0])
    bottom = picked(moments, outcome[1]) if len(outcome) > 1 else np.eye(1, len(top))[0]
    sums = moments.row_products[list(arms), 0]
    totals = totals_of(bottom, sums)
    if not totals.all() or not sums[:, 0].all():
        return None
    ratios = sums @ top / totals
    functionals = (top - ratios[:, None] * bottom) / totals[:, None]
    return float(ratios[1] - ratios[0]), functionals
