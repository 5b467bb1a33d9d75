"""The rows of an experiment as numbers, and the columns that each group's moments are made of."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from metrics.checksum import checksum
from metrics.configuration.catalogue import Metric
from metrics.configuration.design import Design
from metrics.histogram import n_events
from metrics.statistics.bootstrap import BUCKETS
from metrics.statistics.layout import (
    MISSING,
    UNKNOWN,
    ColumnRecipe,
    Group,
    MissingRecipe,
    bins_of,
    capped_name,
    code_of,
    column,
    covariate_sources,
    outcome_names,
    segmentations,
    strata_column,
)
from metrics.statistics.passes import HouseholdRows
from metrics.statistics.survey import Cut, Population, Survey
from metrics.statistics.winsorize import Cap, Request, exact_caps

# What is turned into moments at once: some 50 MB of doubles, and 100 MB of histograms' bins.
ROWS_PER_PARTITION = 200_000
EVENTS_PER_PARTITION = 4_000_000


@dataclass(frozen=True)
class Extent:
    """How much there is to analyse: rows, and events that their histograms hold; `input_version` names the rows."""

    n_rows: int
    n_events: float
    input_version: str

    @property
    def partitions(self) -> int:
        """As many as rows ask for, or the events of histograms, which have at most a bin each."""
        return max(
            1, math.ceil(self.n_rows / ROWS_PER_PARTITION), math.ceil(self.n_events / EVENTS_PER_PARTITION)
        )


def extent_of(windows: DataFrame, metrics: Sequence[Metric]) -> Extent:
    """One aggregation over the rows of `with_events_counted`; collects one row."""
    by_bins = {bins_of(metric): known(metric.name) for metric in metrics if metric.of_events}
    events = [F.coalesce(F.sum(value), F.lit(0.0)) for value in by_bins.values()]
    (found,) = windows.agg(F.count(F.lit(1)), checksum(windows.columns), *events).collect()
    return Extent(found[0], sum(found[2:]), found[1])


def find_caps(rows: HouseholdRows, survey: Survey) -> dict[Cut, Cap]:
    """The exact thresholds of every winsorized metric, in one pass over the rows (none without such a metric)."""
    requests = {
        cut: Request(cut.source, _outcomes(population.metrics), cut.quantile, bracket)
        for population in survey.populations
        for cut, bracket in population.brackets.items()
    }
    caps = exact_caps(rows, list(requests.values()))
    return dict(zip(requests, caps, strict=True))


def with_events_counted(windows: DataFrame, metrics: Iterable[Metric]) -> DataFrame:
    """Histogram outcomes as how many events they hold, known where they are; the bins stand beside it.

    So in table moments too a column named for such a metric is a number of events.
    """
    of_events = [metric for metric in metrics if metric.of_events]
    bins = {bins_of(metric): F.col(metric.name) for metric in of_events}
    return windows.withColumns({**bins, **{m.name: n_events(F.col(m.name)) for m in of_events}})


def text_columns(windows: DataFrame, design: Design, metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Text columns that become segments, strata or dummies."""
    slices = (*segmentations(design, windows.columns), *strata_column(design, windows.columns))
    names = dict.fromkeys((*slices, *covariate_sources(design, metrics)))
    return tuple(name for name in names if isinstance(windows.schema[name].dataType, StringType))


def analysis_frame(
    windows: DataFrame, design: Design, metrics: Sequence[Metric], texts: Sequence[str], partitions: int
) -> DataFrame:
    """household, its bucket, profile, arm (position), texts, outcomes and covariates as doubles, bins.

    Rows of one household are in one partition. Their number follows from the rows and their events, and rows are sorted
    before they are summed: sums repeat to the last digit whatever the cluster's size.
    """
    numeric = [name for name in covariate_sources(design, metrics) if name not in texts]
    arms = F.array(*(F.lit(arm) for arm in design.arms))
    return windows.select(
        F.col("household_id").alias("household"),
        F.pmod(F.xxhash64("household_id"), F.lit(BUCKETS)).cast("int").alias("bucket"),
        F.col("profile_id").alias("profile"),
        (F.array_position(arms, F.col("arm")) - 1).cast("int").alias("arm"),
        *(F.coalesce(column(name), F.lit(UNKNOWN)).alias(code_of(name)) for name in texts),
        *(known(name).alias(name) for name in dict.fromkeys((*_outcomes(metrics), *numeric))),
        *dict.fromkeys(bins_of(metric) for metric in metrics if metric.of_events),
    ).repartition(partitions, "household")


def known(name: str) -> Column:
    """A numeric column as double with NaN as null."""
    value = column(name).cast("double")
    return F.when(~F.isnan(value), value)


def _outcomes(metrics: Iterable[Metric]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(outcome_names(metric) for metric in metrics))


def groups_of(design: Design, survey: Survey, caps: Mapping[Cut, Cap]) -> tuple[Group, ...]:
    return tuple(_group(design, survey, population, caps) for population in survey.populations)


def _group(design: Design, survey: Survey, population: Population, caps: Mapping[Cut, Cap]) -> Group:
    columns: dict[str, ColumnRecipe | MissingRecipe] = {}
    covariates: dict[str, tuple[str, ...]] = {}
    for metric in population.metrics:
        made = [_outcome(name, metric, population, caps) for name in outcome_names(metric)]
        used = _covariates(design, survey, population, metric, caps)
        covariates[metric.name] = tuple(recipe.name for recipe in used)
        columns.update({recipe.name: recipe for recipe in (*made, *used)})
    if population.n_missing:
        texts = survey.levels
        sources = covariate_sources(design, population.metrics)
        columns[MISSING] = MissingRecipe(tuple(name for name in sources if name not in texts))
    return Group(
        name=population.name,
        metrics=tuple(metric.name for metric in population.metrics),
        outcomes=tuple(name for metric in population.metrics for name in outcome_names(metric)),
        columns=tuple(columns.values()),
        covariates=covariates,
        has_missing=bool(population.n_missing),
    )


def _outcome(name: str, metric: Metric, population: Population, caps: Mapping[Cut, Cap]) -> ColumnRecipe:
    cut = _cut(name, name, metric, population, caps)
    return cut or ColumnRecipe(name, name, population.means[name] or 0.0)


def _cut(
    name: str, source: str, metric: Metric, population: Population, caps: Mapping[Cut, Cap]
) -> ColumnRecipe | None:
    """The column cut at the metric's quantiles, around its mean afterwards; None where it is not cut."""
    tails = [caps.get(Cut(population.name, metric.name, source, quantile)) for quantile in metric.winsorize]
    found = [tail for tail in tails if tail is not None]
    if not found:
        return None
    upper = found[-1]
    if len(found) == 1:
        return ColumnRecipe(name, source, upper.capped_mean, upper.threshold)
    lower = found[0]
    return ColumnRecipe(name, source, upper.capped_mean + lower.shortfall, upper.threshold, lower.threshold)


def _covariates(
    design: Design, survey: Survey, population: Population, metric: Metric, caps: Mapping[Cut, Cap]
) -> list[ColumnRecipe]:
    """The metric's covariates in file order: means fill gaps, text becomes dummies of all levels but the first."""
    recipes: list[ColumnRecipe] = []
    for source in design.covariates_of(metric):
        cut = _cut(capped_name(source, metric.name), source, metric, population, caps)
        if cut is not None:
            recipes.append(cut)
        elif source in survey.levels:
            levels = survey.levels[source]
            recipes += [ColumnRecipe(f"{source}={levels[i]}", source, level=i) for i in range(1, len(levels))]
        else:
            recipes.append(ColumnRecipe(source, source, population.means[source] or 0.0))
    return recipes
