"""The first look at rows: levels of text columns, populations, means to centre on, quantile brackets."""

import operator
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from typing import TypeVar

import numpy as np

from metrics.configuration.catalogue import Metric
from metrics.configuration.design import Design
from metrics.errors import InputError
from metrics.statistics.layout import all_known, code_of, covariate_sources, outcome_names, own_covariate
from metrics.statistics.moments import Floats
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows
from metrics.statistics.winsorize import Bracket, rounded, type1_quantile

MAXIMUM_LEVELS = 200
Groups = Mapping[str, tuple[Metric, ...]]
Key = TypeVar("Key")
Value = TypeVar("Value")


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
    levels: Mapping[str, tuple[str, ...]]
    populations: tuple[Population, ...]


@dataclass(frozen=True)
class Levels:
    """By text column the values that some rows have; adds over partitions."""

    found: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __add__(self, other: "Levels") -> "Levels":
        return Levels(_joined(self.found, other.found, operator.or_))


@dataclass(frozen=True)
class Tally:
    """What the rows of one group count; adds over partitions.

    n_known: by metric, of any rows, those that know its outcomes. counts, sums: by column, of known values.
    lows, highs: by cut, the least and the greatest quantile of a partition. That of all rows lies between: below the
    least no partition's share reaches the quantile's, and at the greatest each one's does.
    """

    n_rows: int = 0
    n_missing: int = 0
    n_known: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)
    lows: Mapping[Cut, float] = field(default_factory=dict)
    highs: Mapping[Cut, float] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n_rows + other.n_rows,
            self.n_missing + other.n_missing,
            _joined(self.n_known, other.n_known, operator.add),
            _joined(self.counts, other.counts, operator.add),
            _joined(self.sums, other.sums, operator.add),
            _joined(self.lows, other.lows, min),
            _joined(self.highs, other.highs, max),
        )


def take_survey(rows: HouseholdRows, texts: Sequence[str], design: Design, groups: Groups) -> Survey:
    """One pass over the rows, and another where metrics of a group differ in their rows.

    texts: the columns that hold text. A metric whose outcome is null on rows where others of its group have one gets a
    population of its own. Raises InputError where a text column has more levels than dummies, segments or strata may.
    """
    levels, tallies = _tallies(rows, texts, design, groups)
    while (refined := _split_by_nulls(groups, tallies)) != groups:
        groups = refined
        levels, tallies = _tallies(rows, texts, design, groups)
    return Survey(
        levels={name: _checked_levels(name, levels.found.get(name, frozenset())) for name in texts},
        populations=tuple(
            _population(name, metrics, design, tallies[name]) for name, metrics in groups.items()
        ),
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


def _tallies(
    rows: HouseholdRows, texts: Sequence[str], design: Design, groups: Groups
) -> tuple[Levels, dict[str, Tally]]:
    found = rows.summed(_kernel(texts, design, groups), _added_up)
    read = {position: pickle.loads(payload) for position, payload in found.items()}
    return read.get(0, Levels()), {name: read.get(i, Tally()) for i, name in enumerate(groups, start=1)}


def _kernel(texts: Sequence[str], design: Design, groups: Groups) -> Kernel:
    """Payloads: the levels of the texts, then each group's tally."""

    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        yield 0, pickle.dumps(Levels({name: frozenset(raw.levels[code_of(name)]) for name in texts}))
        for position, (group, metrics) in enumerate(groups.items(), start=1):
            numeric = [name for name in covariate_sources(design, metrics) if name not in texts]
            yield position, pickle.dumps(_tally(raw, metrics, numeric, cuts(design, group, metrics)))

    return kernel


def _added_up(parts: Sequence[bytes]) -> bytes:
    return pickle.dumps(reduce(operator.add, map(pickle.loads, parts)))


def _tally(raw: RawRows, metrics: Sequence[Metric], numeric: Sequence[str], cut: Sequence[Cut]) -> Tally:
    n = len(raw)
    outcomes = tuple(chain.from_iterable(outcome_names(metric) for metric in metrics))
    inside = all_known(raw.columns, outcomes, n)
    known = {name: _known(raw.columns[name][inside]) for name in dict.fromkeys((*outcomes, *numeric))}
    quantiles = {
        each: type1_quantile(known[each.source], each.quantile) for each in cut if len(known[each.source])
    }
    return Tally(
        n_rows=int(inside.sum()),
        n_missing=int((inside & ~all_known(raw.columns, numeric, n)).sum()),
        n_known={m.name: int(all_known(raw.columns, outcome_names(m), n).sum()) for m in metrics},
        counts={name: len(values) for name, values in known.items()},
        sums={name: float(values.sum()) for name, values in known.items()},
        lows=quantiles,
        highs=quantiles,
    )


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _joined(
    left: Mapping[Key, Value], right: Mapping[Key, Value], how: Callable[[Value, Value], Value]
) -> dict[Key, Value]:
    """All keys of both, with what `how` makes of the two values where both have one."""
    both = {key: how(left[key], right[key]) for key in left.keys() & right.keys()}
    return {**left, **right, **both}


def _split_by_nulls(groups: Groups, tallies: Mapping[str, Tally]) -> Groups:
    """Metrics that know fewer rows than the others of their group go alone: their rows are theirs only."""
    refined: dict[str, tuple[Metric, ...]] = {}
    for group, metrics in groups.items():
        n_known = {metric.name: tallies[group].n_known.get(metric.name, 0) for metric in metrics}
        most = max(n_known.values())
        complete = tuple(metric for metric in metrics if n_known[metric.name] == most)
        # Equal numbers of different rows leave the common population smaller than each.
        if tallies[group].n_rows != most and len(complete) == len(metrics):
            complete = metrics[:1]
        refined[group] = complete
        refined.update({f"{group}:{m.name}": (m,) for m in metrics if m not in complete})
    return refined


def _population(group: str, metrics: tuple[Metric, ...], design: Design, tally: Tally) -> Population:
    sources = dict.fromkeys(
        (*chain.from_iterable(map(outcome_names, metrics)), *covariate_sources(design, metrics))
    )
    means = {
        name: rounded(tally.sums[name] / tally.counts[name]) if tally.counts.get(name) else None
        for name in sources
    }
    brackets = {
        cut: Bracket(tally.counts[cut.source], tally.lows[cut], tally.highs[cut])
        for cut in cuts(design, group, metrics)
        if cut in tally.lows
    }
    return Population(group, metrics, tally.n_rows, tally.n_missing, means, brackets)


def _checked_levels(name: str, levels: frozenset[str]) -> tuple[str, ...]:
    if len(levels) > MAXIMUM_LEVELS:
        raise InputError(
            f"column {name} has {len(levels)} values; a segment or covariate may have {MAXIMUM_LEVELS}: group them"
        )
    return tuple(sorted(levels))
