"""Linear estimates at fixed coefficients, and their errors robust to household clusters.

Coefficients follow from moments (ols.py, lin.py, post_stratified.py). Their covariance needs the residuals of each
household at those coefficients, hence a second pass over the rows, which sums scores of the one estimate only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from metrics.statistics import vcov as v
from metrics.statistics.moments import Floats, Integers, begins, run_sums
from metrics.statistics.results import LEVERAGE_ONE, Counts, Numbers, Result, finished

# Three numbers of a partition's rows for each fit, made twice: 80 MB.
_FITS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Columns:
    """The k columns of the regression, by blocks of the same regressors, one block for each kind of row.

    regressors: positions in x = (1, v). blocks: (L, 2), the block of a row by its level and arm. with_arm: whether
    the arm dummy is the last column. n: k.
    """

    regressors: tuple[int, ...]
    blocks: Integers
    with_arm: bool

    @property
    def n(self) -> int:
        return (int(self.blocks.max()) + 1) * len(self.regressors) + self.with_arm

    def of(self, rows: Floats, arm: Integers, level: Integers) -> Floats:
        """The design matrix (n, k) of rows x; arm is 0 or 1."""
        matrix = np.zeros((len(rows), self.n))
        block = self.blocks[level, arm]
        for number in range(int(self.blocks.max()) + 1):
            own = np.flatnonzero(block == number)
            first = number * len(self.regressors)
            matrix[own, first : first + len(self.regressors)] = rows[np.ix_(own, np.array(self.regressors))]
        if self.with_arm:
            matrix[:, -1] = arm
        return matrix


@dataclass(frozen=True, eq=False)
class Fit:
    """One outcome's estimate c'beta over the rows of the control and one arm.

    by: the text column whose levels have terms of their own; None where there is one level, 0.
    functionals: (2, 1+p, 3), by arm, what to take of x for the residual, for the projection x'(X'X)^-1 c on the
    estimate, and for the score of the control mean. terms: (L, 2, 3), what level and arm add to each.
    root: (k, k) with root root' = (X'X)^-1. contrast: root'c, (k,). means: of the raw outcome, control and arm.
    """

    arm: int
    counts: Counts
    vcov: str
    columns: Columns
    functionals: Floats
    terms: Floats
    root: Floats
    contrast: Floats
    effect: float
    means: tuple[float, float]
    dropped: tuple[str, ...] = ()
    by: str | None = None


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


@dataclass(frozen=True, eq=False)
class HouseholdLevels:
    """The K distinct pairs of a household and a level that some rows have, in order.

    rows_of: (K, n) of ones where a row belongs to a pair. household, level: (K,).
    """

    rows_of: sparse.csr_matrix
    household: Integers
    level: Integers

    def twos(self) -> Iterator[tuple[Integers, Integers]]:
        """Every two pairs of one household, as positions of the earlier ones and of the later ones."""
        for distance in range(1, len(self.household)):
            earlier = np.flatnonzero(self.household[distance:] == self.household[:-distance])
            if not len(earlier):
                return
            yield earlier, earlier + distance


def _household_levels(household: Integers, level: Integers) -> HouseholdLevels:
    order = np.lexsort((level, household))
    household, level = household[order], level[order]
    starts = np.flatnonzero(begins(household) | begins(level))
    n = len(order)
    rows_of = sparse.csr_matrix((np.ones(n), order, np.append(starts, n)), shape=(len(starts), n))
    return HouseholdLevels(rows_of, household[starts], level[starts])


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows x = (1, v), (n, 1+p), sorted by household, with the position of each row's arm and level (n,).

    paired: where they are those of the control and one arm, which is 1 then: the position that arm had. What many fits
    ask of them is kept.
    """

    x: Floats
    arm: Integers
    household: Integers
    level: Integers
    paired: int | None = None

    def of_arms(self, arm: int) -> "Rows":
        """Those of the control and one arm, which becomes arm 1."""
        if self.paired == arm:
            return self
        if self.paired is not None:
            raise ValueError(f"rows of arm {self.paired} hold none of arm {arm}")
        chosen = (self.arm == 0) | (self.arm == arm)
        if chosen.all():
            return replace(self, arm=(self.arm == arm).astype(np.int64), paired=arm)
        treated = (self.arm[chosen] == arm).astype(np.int64)
        return Rows(self.x[chosen], treated, self.household[chosen], self.level[chosen], arm)

    @cached_property
    def starts(self) -> Integers:
        """Where each household begins."""
        return np.flatnonzero(begins(self.household))

    @cached_property
    def household_levels(self) -> HouseholdLevels:
        return _household_levels(np.cumsum(begins(self.household)) - 1, self.level)

    @cached_property
    def kind(self) -> Integers:
        """Each row's place in a table by level and arm."""
        return 2 * self.level + self.arm


def score_sums(fit: Fit, rows: Rows) -> ScoreSums:
    """Sums over the households of these rows."""
    return next(each_score_sums([fit], rows))


def each_score_sums(fits: Sequence[Fit], rows: Rows) -> Iterator[ScoreSums]:
    """The same for several fits of one arm and one text column's levels; some of them share a walk through the rows."""
    for start in range(0, len(fits), _FITS_AT_ONCE):
        some = fits[start : start + _FITS_AT_ONCE]
        pair = rows.of_arms(some[0].arm)
        for fit, values in zip(some, _row_values(some, pair), strict=True):
            yield _sums_of(fit, pair, *values)


def _sums_of(fit: Fit, pair: Rows, residual: Floats, projection: Floats, control: Floats) -> ScoreSums:
    if len(pair.x) == 0:
        return _plain_sums(np.zeros((0, 2)), len(fit.root))
    if fit.vcov == "cr1s":
        scores = np.column_stack([projection * residual, control])
        return _plain_sums(run_sums(scores, pair.starts), len(fit.root))
    design = fit.columns.of(pair.x, pair.arm, pair.level)
    if fit.vcov == "hc2":
        return _hc2_sums(fit, design, projection * residual, control)
    return _cr2_sums(fit, pair, design, residual, control)


def result_of(fit: Fit, sums: ScoreSums, level: float) -> Result:
    """cr1s with K = all columns and t(G-1), CR2 with Satterthwaite's degrees, HC2 and t(N-K)."""
    counts, k = fit.counts, fit.columns.n
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


def inverse_root(normal: Floats) -> Floats:
    """root with root root' = normal^-1, from the Cholesky factor of the matrix scaled to a unit diagonal."""
    scale = 1 / np.sqrt(np.diag(normal))
    factor = np.linalg.cholesky(normal * np.outer(scale, scale))
    root: Floats = scale[:, None] * np.linalg.inv(factor).T
    return root


def _row_values(fits: Sequence[Fit], pair: Rows) -> Floats:
    """By fit the residual, projection and control score of each row, (F, 3, n)."""
    control, treated = (np.concatenate([fit.functionals[arm] for fit in fits], axis=1).T for arm in (0, 1))
    in_control = pair.arm == 0
    flat = np.where(in_control, control @ pair.x.T, treated @ pair.x.T)
    values: Floats = flat.reshape(len(fits), 3, len(pair.x))
    for fit, own in zip(fits, values, strict=True):
        own += np.take(fit.terms.reshape(-1, 3).T, pair.kind, axis=1)
        own[2] *= in_control
    return values


def _plain_sums(scores: Floats, k: int, leverage: float = 0.0) -> ScoreSums:
    return ScoreSums(scores.T @ scores, 0.0, 0.0, 0.0, np.zeros((k, k)), leverage)


def _hc2_sums(fit: Fit, design: Floats, scores: Floats, control: Floats) -> ScoreSums:
    leverage = ((design @ fit.root) ** 2).sum(axis=1)
    adjusted = scores / np.sqrt(np.maximum(1 - leverage, v.LEVERAGE_TOLERANCE))
    shrink = 1 - 1 / fit.counts.n_profiles_control
    both = np.column_stack([adjusted, control / np.sqrt(shrink)])
    return _plain_sums(both, len(fit.root), float(leverage.max()))


def _cr2_sums(fit: Fit, pair: Rows, design: Floats, residual: Floats, control: Floats) -> ScoreSums:
    """Bell-McCaffrey scores. With Q = X_g root and Q'Q = V diag(l) V', (I - H_gg)^(-1/2) acts as 1/sqrt(1 - l).

    A leverage of one drops out of the generalised inverse, as in clubSandwich.
    """
    n, k = design.shape
    starts = pair.starts
    grams = np.add.reduceat((design[:, :, None] * design[:, None, :]).reshape(n, k * k), starts)
    leverages, vectors = np.linalg.eigh(fit.root.T @ grams.reshape(-1, k, k) @ fit.root)
    regular = 1 - leverages > v.LEVERAGE_TOLERANCE
    stretch = np.where(regular, 1 / np.sqrt(np.where(regular, 1 - leverages, 1.0)), 0.0)
    along = np.einsum("gkj,k->gj", vectors, fit.contrast)
    household_scores = np.add.reduceat(design * residual[:, None], starts) @ fit.root
    turned = np.einsum("gkj,gk->gj", vectors, household_scores)
    effect = (along * stretch * turned).sum(axis=1)
    own = (along**2 * leverages * stretch**2).sum(axis=1)
    shared = np.einsum("gkj,gj->gk", vectors, leverages * stretch * along)
    share_of_control = np.add.reduceat(1.0 - pair.arm, starts) / fit.counts.n_profiles_control
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
