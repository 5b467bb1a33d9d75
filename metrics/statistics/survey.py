"""The first look at rows: levels of text columns, populations, means to centre on, quantile brackets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import and_, or_
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from metrics.checksum import checksum
from metrics.configuration.catalogue import Metric
from metrics.configuration.design import Design
from metrics.errors import InputError
from metrics.statistics.layout import (
    UNKNOWN,
    column,
    covariate_sources,
    outcome_names,
    own_covariate,
    segmentations,
    strata_column,
)
from metrics.statistics.winsorize import BRACKET_ACCURACY, Bracket, bracket_ranks, rounded

MAXIMUM_LEVELS = 200
Groups = Mapping[str, tuple[Metric, ...]]
Answers = Mapping[tuple[str, ...], Any]


@dataclass(frozen=True)
class Cut:
    """A column to be cut at its pooled quantile for one winsorized metric."""

    group: str
    metric: str
    source: str
    quantile: float


@dataclass(frozen=True)
class Population:
    """One maturity group's rows: how many, how many lack a covariate, and each column's mean over known values.

    Means are rounded to 12 digits, which is where the order of summation shows: results repeat exactly.
    """

    name: str
    metrics: tuple[Metric, ...]
    n_rows: int
    n_missing: int
    means: Mapping[str, float | None]
    brackets: Mapping[Cut, Bracket]


@dataclass(frozen=True)
class Survey:
    n_rows: int
    input_version: str
    levels: Mapping[str, tuple[str, ...]]
    populations: tuple[Population, ...]


def known(name: str) -> Column:
    """A numeric column as double with NaN as null."""
    value = column(name).cast("double")
    return F.when(~F.isnan(value), value)


def text_columns(windows: DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if isinstance(windows.schema[name].dataType, StringType))


def take_survey(windows: DataFrame, design: Design, groups: Groups) -> Survey:
    """One aggregation over the rows (collects one row), and another where metrics of a group differ in their rows.

    A metric whose outcome is null on rows where others of its group have one gets a population of its own.
    Raises InputError where a text column has more levels than can be dummies, segments or strata.
    """
    answers = _collect(windows, design, groups)
    while (refined := _split_by_nulls(groups, answers)) != groups:
        groups, answers = refined, _collect(windows, design, refined)
    texts = _texts(windows, design, groups)
    return Survey(
        n_rows=answers["n_rows",],
        input_version=answers["input_version",],
        levels={name: _checked_levels(name, answers["levels", name]) for name in texts},
        populations=tuple(_population(name, metrics, design, answers) for name, metrics in refined.items()),
    )


def cuts(design: Design, group: str, metrics: Sequence[Metric]) -> tuple[Cut, ...]:
    """A winsorized metric's outcomes, and its own pre-period covariate, each at its own quantiles."""
    return tuple(
        Cut(group, metric.name, source, quantile)
        for metric in metrics
        for quantile in metric.winsorize
        for source in (*outcome_names(metric), own_covariate(design, metric))
        if source is not None
    )


def has_outcomes(metrics: Sequence[Metric]) -> Column:
    """Whether a row belongs to the population of these metrics."""
    return reduce(and_, [known(name).isNotNull() for metric in metrics for name in outcome_names(metric)])


def any_missing(covariates: Sequence[str]) -> Column:
    """Whether a row lacks one of its numeric covariates."""
    return reduce(or_, [known(name).isNull() for name in covariates], F.lit(False))


def numeric_covariates(windows: DataFrame, design: Design, metrics: Iterable[Metric]) -> tuple[str, ...]:
    names = covariate_sources(design, metrics)
    texts = text_columns(windows, names)
    return tuple(name for name in names if name not in texts)


def _collect(windows: DataFrame, design: Design, groups: Groups) -> Answers:
    aggregates = _aggregates(windows, design, groups)
    row = windows.agg(*(value.alias(str(i)) for i, value in enumerate(aggregates.values()))).collect()[0]
    return dict(zip(aggregates, row, strict=True))


def _aggregates(windows: DataFrame, design: Design, groups: Groups) -> dict[tuple[str, ...], Column]:
    """Every question of the survey by its key."""
    questions: dict[tuple[str, ...], Column] = {
        ("n_rows",): F.count(F.lit(1)),
        ("input_version",): checksum(windows.columns),
    }
    for name in _texts(windows, design, groups):
        questions["levels", name] = F.collect_set(F.coalesce(column(name), F.lit(UNKNOWN)))
    for group, metrics in groups.items():
        inside = has_outcomes(metrics)
        numeric = numeric_covariates(windows, design, metrics)
        questions["n", group] = F.count_if(inside)
        questions["n_missing", group] = F.count_if(inside & any_missing(numeric))
        for metric in metrics:
            questions["n_metric", group, metric.name] = F.count_if(has_outcomes([metric]))
        for source in (*(name for metric in metrics for name in outcome_names(metric)), *numeric):
            questions["mean", group, source] = F.avg(F.when(inside, known(source)))
        for cut in cuts(design, group, metrics):
            value = F.when(inside, known(cut.source))
            questions["n_cut", *_key(cut)] = F.count(value)
            sketch = F.percentile_approx(value, bracket_ranks(cut.quantile), BRACKET_ACCURACY)
            questions["bracket", *_key(cut)] = sketch
    return questions


def _key(cut: Cut) -> tuple[str, str, str, str]:
    return cut.group, cut.metric, cut.source, str(cut.quantile)


def _split_by_nulls(groups: Groups, answers: Answers) -> Groups:
    """Metrics that know fewer rows than the others of their group go alone: their rows are theirs only."""
    refined: dict[str, tuple[Metric, ...]] = {}
    for group, metrics in groups.items():
        known_rows = {metric.name: answers["n_metric", group, metric.name] for metric in metrics}
        most = max(known_rows.values())
        complete = tuple(metric for metric in metrics if known_rows[metric.name] == most)
        # Equal numbers of different rows leave the common population smaller than each.
        if answers["n", group] != most and len(complete) == len(metrics):
            complete = metrics[:1]
        refined[group] = complete
        refined.update({f"{group}:{m.name}": (m,) for m in metrics if m not in complete})
    return refined


def _population(group: str, metrics: tuple[Metric, ...], design: Design, answers: Answers) -> Population:
    means = {key[2]: rounded(value) for key, value in answers.items() if key[:2] == ("mean", group)}
    brackets = {}
    for cut in cuts(design, group, metrics):
        limits = answers["bracket", *_key(cut)]
        if limits is not None:
            brackets[cut] = Bracket(answers["n_cut", *_key(cut)], *limits)
    return Population(group, metrics, answers["n", group], answers["n_missing", group], means, brackets)


def _texts(windows: DataFrame, design: Design, groups: Groups) -> tuple[str, ...]:
    """Text columns that become segments, strata or dummies."""
    slices = (*segmentations(design, windows.columns), *strata_column(design, windows.columns))
    covariates = covariate_sources(design, chain.from_iterable(groups.values()))
    return text_columns(windows, tuple(dict.fromkeys((*slices, *covariates))))


def _checked_levels(name: str, levels: Sequence[str]) -> tuple[str, ...]:
    if len(levels) > MAXIMUM_LEVELS:
        raise InputError(
            f"column {name} has {len(levels)} values; a segment or covariate may have {MAXIMUM_LEVELS}: group them"
        )
    return tuple(sorted(levels))
