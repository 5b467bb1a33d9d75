"""Were the arms alike before the experiment? From stored moments: region x device, and covariates of the days before.

Randomization makes any imbalance chance; one that is not says that assignment, exposure logging or the windows of the
arms differ. Standardized differences as in Austin (2009); joint tests robust to household clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtrc, fdtrc

from metrics.statistics import vcov as v
from metrics.statistics.cells import Cell
from metrics.statistics.collinearity import independent
from metrics.statistics.estimators import Comparison, centred, difference_in_means, mean_scores, picked
from metrics.statistics.layout import ALL, EXPOSED, MISSING, STRATUM
from metrics.statistics.moments import Floats, Moments
from metrics.statistics.multiplicity import adjust

# A joint test this small is no chance in practice: some experiment of thousands has it.
SUSPECT_P = 0.001
# An eigenvalue of a correlation matrix below this is a column that says nothing new.
_SINGULAR = 1e-8
# With fewer expected profiles in a cell the statistic has no chi-square distribution.
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True)
class CovariateBalance:
    """A covariate in one arm against the control, in its own unit; `standardized` in standard deviations of all rows.

    Without numbers where there is no variance.
    """

    covariate: str
    arm: str
    control_mean: float | None = None
    arm_mean: float | None = None
    difference: float | None = None
    std_error: float | None = None
    standardized: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class JointBalance:
    """All covariates of one arm against the control at once, everybody's or a stratum's: F on (df1, df2).

    `adjusted_p_value` by Holm over the rows of one kind, everybody's or strata's. None where nothing can be tested.
    """

    segment: str
    segment_value: str
    arm: str
    n_profiles_control: int
    n_profiles_arm: int
    statistic: float | None = None
    df1: float | None = None
    df2: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None


@dataclass(frozen=True)
class StrataBalance:
    """Are profiles of the strata split over the arms alike? Pearson's chi-square of the table of arms by strata."""

    chi_square: float
    df: float
    p_value: float


@dataclass(frozen=True)
class Balance:
    """`population`: the maturity group whose profiles were compared, the one with the most of them."""

    population: str
    covariates: tuple[CovariateBalance, ...]
    joint: tuple[JointBalance, ...]
    strata: StrataBalance | None

    @property
    def of_everybody(self) -> tuple[JointBalance, ...]:
        return tuple(row for row in self.joint if row.segment == ALL)

    @property
    def of_strata(self) -> tuple[JointBalance, ...]:
        return tuple(row for row in self.joint if row.segment == STRATUM)

    @property
    def furthest(self) -> CovariateBalance | None:
        known = [row for row in self.covariates if row.standardized is not None]
        return max(known, key=lambda row: abs(row.standardized or 0.0), default=None)

    @property
    def is_suspect(self) -> bool:
        tests = [row.adjusted_p_value for row in self.joint] + ([self.strata.p_value] if self.strata else [])
        return any(p is not None and p < SUSPECT_P for p in tests)


def balance(
    cells: Mapping[Cell, Moments], sources: Sequence[str], has_independent_profiles: bool
) -> Balance | None:
    """From the stored moments of everybody and of strata, by cell; None without rows.

    sources: the experiment's covariates, numeric or text; text ones are compared by their dummies. Strata are compared
    where profiles were drawn one by one: the plain chi-square is of no use for households.
    """
    sizes = {cell: int(m.n_profiles.sum()) for cell, m in cells.items() if cell.segment == ALL and m.columns}
    largest = max(sizes, key=lambda cell: sizes[cell], default=None)
    if largest is None or not sizes[largest]:
        return None
    moments = cells[largest]
    names = [name for name in moments.columns if _is_covariate(name, sources)]
    arms = range(1, len(moments.arms))
    strata = {
        cell: cells[cell] for cell in sorted(cells, key=lambda cell: cell.value) if cell.segment == STRATUM
    }
    own = [(cell.value, m) for cell, m in strata.items() if cell.group == largest.group]
    exposed = [m.n_profiles for cell, m in strata.items() if cell.group == EXPOSED]
    return Balance(
        population=largest.group,
        covariates=tuple(_compared(moments, name, arm) for name in names for arm in arms),
        joint=(
            *_adjusted([_joint(moments, names, arm, ALL, ALL) for arm in arms]),
            *_adjusted([_joint(m, names, arm, STRATUM, value) for value, m in own for arm in arms]),
        ),
        strata=_split(np.array(exposed, dtype=np.float64)) if exposed and has_independent_profiles else None,
    )


def _is_covariate(column: str, sources: Sequence[str]) -> bool:
    return column == MISSING or any(column == source or column.startswith(f"{source}=") for source in sources)


def _compared(moments: Moments, name: str, arm: int) -> CovariateBalance:
    empty = CovariateBalance(name, moments.arms[arm])
    if not _has_both(moments, arm):
        return empty
    found = difference_in_means(moments, name, Comparison(arm, vcov="cr1s"))
    if found.effect is None:
        return empty
    pair = moments.row_products[[0, arm]].sum(axis=0)
    column = moments.column(name)
    deviation = float(np.sqrt(centred(pair)[column, column] / (pair[0, 0] - 1)))
    return replace(
        empty,
        control_mean=found.control_mean,
        arm_mean=found.arm_mean,
        difference=found.effect,
        std_error=found.std_error,
        standardized=found.effect / deviation,
        p_value=found.p_value,
    )


def _joint(moments: Moments, names: Sequence[str], arm: int, segment: str, value: str) -> JointBalance:
    n_control, n_arm = (int(n) for n in moments.n_profiles[[0, arm]])
    counted = JointBalance(segment, value, moments.arms[arm], n_control, n_arm)
    if not _has_both(moments, arm):
        return counted
    pair = moments.row_products[[0, arm]]
    kept = independent(pair.sum(axis=0), [moments.column(name) for name in names])
    n_households, q = moments.households_of(arm), len(kept)
    # With households as few as covariates the covariance is singular, or nearly so.
    if not q or n_households <= 2 * q + 2:
        return counted
    differences, weights = _differences(moments, [moments.columns[k - 1] for k in kept], arm)
    factor = v.cr1s_factor(n_households, n_control + n_arm, 2)
    covariance = factor * v.cr0(moments, weights)
    scale = np.sqrt(np.diag(covariance))
    if not scale.all():
        return counted
    # By household two columns may be one where they are two by row: each 1 for one profile, both in one household.
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    regular = values > _SINGULAR
    rank = int(regular.sum())
    along = (differences / scale) @ vectors[:, regular]
    # Hotelling's scaling: with estimated errors of so many differences the plain Wald test is too eager.
    df2 = n_households - rank
    statistic = float((along**2 / values[regular]).sum()) / rank * df2 / (n_households - 1)
    return replace(
        counted,
        statistic=statistic,
        df1=float(rank),
        df2=float(df2),
        p_value=float(fdtrc(rank, df2, statistic)),
    )


def _differences(moments: Moments, names: Sequence[str], arm: int) -> tuple[Floats, Floats]:
    """Arm means less control means (q,), and their weights on household totals (q, A, 1+p)."""
    means = [mean_scores(moments, picked(moments, name), (0, arm)) for name in names]
    weights = np.zeros((len(names), *moments.row_products.shape[:2]))
    weights[:, 0] = [-each.scores[0] for each in means]
    weights[:, arm] = [each.scores[1] for each in means]
    return np.array([each.means[1] - each.means[0] for each in means]), weights


def _adjusted(rows: Sequence[JointBalance]) -> list[JointBalance]:
    adjusted = iter(adjust("holm", [row.p_value for row in rows if row.p_value is not None]))
    return [row if row.p_value is None else replace(row, adjusted_p_value=next(adjusted)) for row in rows]


def _split(counts: Floats) -> StrataBalance | None:
    """counts: (strata, arms) of profiles. Strata too small for the test are taken together."""
    counts = counts[:, counts.sum(axis=0) > 0]
    if not counts.size:
        return None
    least_share = (counts.sum(axis=0) / counts.sum()).min()
    is_small = counts.sum(axis=1) * least_share < _LEAST_EXPECTED
    together = counts[is_small].sum(axis=0)
    counts = counts[~is_small]
    if together.sum() * least_share >= _LEAST_EXPECTED:
        counts = np.vstack([counts, together])
    if min(counts.shape) < 2:
        return None
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    df = float((counts.shape[0] - 1) * (counts.shape[1] - 1))
    return StrataBalance(chi_square, df, float(chdtrc(df, chi_square)))


def _has_both(moments: Moments, arm: int) -> bool:
    """Two households in each of the two arms at least: one alone has no variance."""
    return bool(min(moments.household_counts[0, 0], moments.household_counts[arm, arm]) > 1)
