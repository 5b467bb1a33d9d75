"""One experiment's rows through the product: its recipes for columns, its passes, its estimators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.statistics.cells import Cell, Plan, partition_moments
from metrics.statistics.estimators import Comparison, cuped, difference_in_means, ratio, ratio_cuped
from metrics.statistics.interactions import Interaction, LevelFit, LevelSums, fit_levels, interaction
from metrics.statistics.layout import MISSING, STRATUM, ColumnRecipe, Group, MissingRecipe, capped_name
from metrics.statistics.lin import fit_lin
from metrics.statistics.moments import FEW_HOUSEHOLDS, Moments, moments_of
from metrics.statistics.ols import fit_ols
from metrics.statistics.passes import RawRows
from metrics.statistics.post_stratified import fit_post_stratified
from metrics.statistics.regression import Fit, ScoreSums, result_of
from metrics.statistics.results import Result
from metrics.statistics.second_pass import AnyFit, AnySums, Key, partition_scores
from metrics.statistics.winsorize import type1_quantile
from scripts.calibration.population import DEVICE, DEVICES, STRATA, WINSORIZED

ARMS = ("control", "treatment")
TREATMENT = 1
LEVEL = 0.05
GROUP = "week"
# Minutes cut at their pooled quantile, and their own covariate cut at its own.
CUT_WATCH = "cut_watch"
CUT_PRE_WATCH = capped_name("pre_watch", CUT_WATCH)
DUMMY = f"{DEVICE}={DEVICES[1]}"
COVARIATES = ("pre_plays", "pre_watch", DUMMY)
CUT_COVARIATES = ("pre_plays", CUT_PRE_WATCH, DUMMY)
FAILURE_RATE = ("failures", "plays")

Results = dict[tuple[str, str], Result]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows with the recipes of their columns, and the moments of every cell of the plan."""

    raw: RawRows
    group: Group
    plan: Plan
    cells: Mapping[Cell, Moments]

    @property
    def whole(self) -> Moments:
        return self.cells[Cell(GROUP)]

    def levels(self, segment: str) -> list[Moments]:
        return [self.cells[Cell(GROUP, segment, value)] for value in self.plan.levels[segment]]


def prepare(
    raw: RawRows,
    group: Group,
    levels: Mapping[str, tuple[str, ...]] | None = None,
    detail_limit: int = FEW_HOUSEHOLDS,
) -> Prepared:
    """The first pass over the rows."""
    plan = Plan(ARMS, (group,), levels or {}, detail_limit)
    found = {plan.cells[position]: moments for position, moments in partition_moments(raw, plan)}
    cells = {cell: found[cell] if cell in found else _nobody(group, detail_limit) for cell in plan.cells}
    return Prepared(raw, group, plan, cells)


def prepare_service(raw: RawRows) -> Prepared:
    return prepare(raw, service_group(raw), {STRATUM: STRATA, DEVICE: DEVICES})


def service_group(raw: RawRows) -> Group:
    """Every column of the simulated service, centred, cut and filled as the product does."""
    numeric = ("plays", "watch", "failures", "pre_plays", "pre_watch")
    columns = [
        *(centred(raw, name) for name in numeric),
        _cut(raw, CUT_WATCH, "watch"),
        _cut(raw, CUT_PRE_WATCH, "pre_watch"),
        ColumnRecipe(DUMMY, DEVICE, level=1),
    ]
    missing = np.isnan(raw.columns["pre_plays"]).any()
    indicator = (MissingRecipe(("pre_plays", "pre_watch")),) if missing else ()
    return Group(GROUP, ("plays",), ("plays",), (*columns, *indicator), has_missing=bool(missing))


def plain_group(raw: RawRows, names: Sequence[str]) -> Group:
    """Columns as they are; missing values become their mean."""
    return Group(GROUP, (names[0],), (names[0],), tuple(centred(raw, name) for name in names))


def centred(raw: RawRows, name: str) -> ColumnRecipe:
    return ColumnRecipe(name, name, float(np.nanmean(raw.columns[name])))


def from_moments(prepared: Prepared, comparison: Comparison) -> Results:
    """By (metric, estimator), what needs no second pass."""
    whole = prepared.whole
    return {
        ("plays", "difference_in_means"): difference_in_means(whole, "plays", comparison),
        ("plays", "cuped"): cuped(whole, "plays", COVARIATES, comparison),
        ("watch", "difference_in_means"): difference_in_means(whole, "watch", comparison),
        ("watch", "cuped"): cuped(whole, "watch", COVARIATES, comparison),
        (CUT_WATCH, "difference_in_means"): difference_in_means(whole, CUT_WATCH, comparison),
        (CUT_WATCH, "cuped"): cuped(whole, CUT_WATCH, CUT_COVARIATES, comparison),
        ("failure_rate", "ratio"): ratio(whole, *FAILURE_RATE, comparison),
        ("failure_rate", "ratio_cuped"): ratio_cuped(whole, *FAILURE_RATE, COVARIATES, comparison),
    }


def regressions(prepared: Prepared, comparison: Comparison) -> Results:
    """By (metric, estimator), what needs a second pass."""
    whole = prepared.whole
    covariates = COVARIATES + ((MISSING,) if prepared.group.has_missing else ())
    fits = {
        ("plays", "ols"): fit_ols(whole, "plays", covariates, comparison),
        ("plays", "lin"): fit_lin(whole, "plays", covariates, comparison),
        ("plays", "post_stratified"): fit_post_stratified(
            whole, prepared.levels(STRATUM), "plays", comparison
        ),
    }
    return finished(prepared, fits, comparison)


def finished(
    prepared: Prepared, fits: Mapping[tuple[str, str], Fit | Result], comparison: Comparison
) -> Results:
    """Results of fits after the pass that sums their scores."""
    open_fits = {key: (prepared.group, fit) for key, fit in fits.items() if isinstance(fit, Fit)}
    sums = _sums(prepared.raw, open_fits)
    results = {key: fit for key, fit in fits.items() if isinstance(fit, Result)}
    for key, (_, fit) in open_fits.items():
        found = sums[key]
        assert isinstance(fit, Fit) and isinstance(found, ScoreSums)
        results[key] = result_of(fit, found, comparison.level)
    return results


def interactions(prepared: Prepared) -> dict[str, Interaction]:
    """By metric, the test that effects are the same on every device."""
    cells = dict(enumerate(prepared.levels(DEVICE)))
    asked = {"plays": ("plays",), "failure_rate": FAILURE_RATE}
    fits = {
        name: fit_levels(cells, len(cells), columns, DEVICE, TREATMENT) for name, columns in asked.items()
    }
    open_fits = {name: (prepared.group, fit) for name, fit in fits.items() if isinstance(fit, LevelFit)}
    sums = _sums(prepared.raw, open_fits)
    tests = {name: fit for name, fit in fits.items() if isinstance(fit, Interaction)}
    for name, (_, fit) in open_fits.items():
        found = sums[name]
        assert isinstance(fit, LevelFit) and isinstance(found, LevelSums)
        tests[name] = interaction(fit, found)
    return tests


def _nobody(group: Group, detail_limit: int) -> Moments:
    none = np.zeros(0, dtype=np.int64)
    rows = np.zeros((0, 1 + len(group.columns)))
    return moments_of(
        group.names, ARMS, group.shift, (group.floor, group.cap), rows, none, none, detail_limit
    )


def _sums(raw: RawRows, fits: Mapping[Key, tuple[Group, AnyFit]]) -> dict[Key, AnySums]:
    """The second pass over rows that are all here."""
    found = dict(partition_scores(raw, list(fits.values())))
    return {key: found[position] for position, key in enumerate(fits)}


def _cut(raw: RawRows, name: str, source: str) -> ColumnRecipe:
    """Cut at the quantile of the values known in all arms, and centred on the mean after the cut."""
    known = raw.columns[source][~np.isnan(raw.columns[source])]
    threshold = type1_quantile(known, WINSORIZED)
    return ColumnRecipe(name, source, float(np.minimum(known, threshold).mean()), threshold)
