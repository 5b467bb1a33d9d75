"""Section 3: the household bootstrap beside the closed form, and coverage of its percentile interval."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.statistics import vcov as v
from metrics.statistics.basis import Basis
from metrics.statistics.cells import Cell, Plan, cell_moments
from metrics.statistics.estimators import Comparison, difference_in_means, ratio
from metrics.statistics.layout import Group, exposed_group
from metrics.statistics.moments import FEW_HOUSEHOLDS, Floats
from metrics.statistics.passes import HouseholdRows, RawRows
from metrics.statistics.questions import Question
from metrics.statistics.replication import BOOTSTRAP, bootstrap_results
from metrics.statistics.results import Result
from scripts.calibration.coverage import Coverage, absolute, coverage_of, intervals_of
from scripts.calibration.experiment import ARMS, GROUP, LEVEL, TREATMENT, centred
from scripts.calibration.population import EVENLY, USUAL, draw_experiment, failure_ratios, mean_plays
from scripts.calibration.sizes import Sizes, generator

PLACE = 3


def _metric(name: str, kind: str) -> Metric:
    return Metric(name, kind, None, None, None, 7, (), "", "", "", "")


METRICS = {"plays": _metric("plays", "mean"), "failure_rate": _metric("failure_rate", "ratio")}
# Outcome columns by the columns of the simulated service that they repeat.
SOURCES = {"plays": "plays", "failure_rate_numerator": "failures", "failure_rate_denominator": "plays"}
RATIO = ("failure_rate_numerator", "failure_rate_denominator")
DESIGN = Design(
    id="calibration",
    randomized_by="unit",
    arms=dict.fromkeys(ARMS, 0.5),
    strata=(),
    primary=tuple(METRICS),
    secondary=(),
    guardrails={},
    decision_estimator="difference_in_means",
    segments=(),
    alpha=LEVEL,
    power=0.8,
    mde_relative=0.01,
    vcov="cr1s",
    spec_hash="",
)


@dataclass(frozen=True, eq=False)
class Compared:
    """One metric: bootstrap over closed-form CR0 standard errors by experiment, (n,), and both intervals' coverage."""

    ratios: Floats
    percentile: Coverage
    closed_form: Coverage


@dataclass(frozen=True)
class Findings:
    """By metric, over so many experiments of so many replicates each."""

    experiments: int
    replicates: int
    metrics: Mapping[str, Compared]


def run(sizes: Sizes, seed: int) -> tuple[Findings, ...]:
    plans = (
        (sizes.replicated, sizes.replicates),
        (sizes.finely_replicated, sizes.fine_replicates),
    )
    return tuple(
        examine(sizes.households, experiments, replicates, (seed, PLACE, number))
        for number, (experiments, replicates) in enumerate(plans)
    )


def examine(n_households: int, experiments: int, replicates: int, place: tuple[int, ...]) -> Findings:
    pairs: dict[str, list[tuple[Result, Result]]] = defaultdict(list)
    for experiment in range(experiments):
        raw = draw_experiment(n_households, EVENLY, USUAL, generator(*place, experiment))
        for metric, pair in compared(raw, replicates, seed=experiment).items():
            pairs[metric].append(pair)
    truths = {"plays": mean_plays(USUAL).effect, "failure_rate": failure_ratios(USUAL).effect}
    found = {metric: _compared(metric, each, truths[metric]) for metric, each in pairs.items()}
    return Findings(experiments, replicates, found)


def compared(raw: RawRows, replicates: int, seed: int) -> dict[str, tuple[Result, Result]]:
    """By metric, the bootstrap's result and the closed form's. Each household is a bucket of its own."""
    named = renamed(raw, SOURCES)
    rows, basis = HouseholdRows(named, None), basis_of(named, METRICS, SOURCES)
    cell = Cell(GROUP)
    asked = {metric: Question(metric, BOOTSTRAP, cell, TREATMENT) for metric in METRICS}
    replicated = bootstrap_results(rows, basis, list(asked.values()), replicates, seed)
    moments, comparison = basis.cells[cell], Comparison(TREATMENT, "cr1s", LEVEL)
    closed = {
        "plays": difference_in_means(moments, "plays", comparison),
        "failure_rate": ratio(moments, *RATIO, comparison),
    }
    return {metric: (replicated[question], closed[metric]) for metric, question in asked.items()}


def renamed(raw: RawRows, sources: Mapping[str, str]) -> RawRows:
    """The rows with outcome columns that repeat columns of the service."""
    outcomes = {name: raw.columns[source] for name, source in sources.items()}
    return replace(raw, columns={**raw.columns, **outcomes})


def basis_of(raw: RawRows, metrics: Mapping[str, Metric], outcomes: Collection[str]) -> Basis:
    """What the replicated answers rest on, everybody in one cell."""
    columns = tuple(centred(raw, name) for name in outcomes)
    group = Group(GROUP, tuple(metrics), tuple(outcomes), columns)
    groups = (exposed_group(), group)
    plan = Plan(ARMS, groups, {}, FEW_HOUSEHOLDS)
    cells = cell_moments(HouseholdRows(raw, None), plan)
    return Basis(DESIGN, Catalogue({}, metrics), plan, groups, cells, has_windows=True)


def _compared(metric: str, pairs: list[tuple[Result, Result]], truth: float) -> Compared:
    replicated, closed = zip(*pairs, strict=True)
    return Compared(
        ratios=np.array([(b.std_error or np.nan) / _cr0_error(metric, c) for b, c in pairs]),
        percentile=coverage_of(intervals_of(map(absolute, replicated)), truth),
        closed_form=coverage_of(intervals_of(map(absolute, closed)), truth),
    )


def _cr0_error(metric: str, closed: Result) -> float:
    """Without the small-sample factor, which the bootstrap has not."""
    households, rows = closed.counts.n_households, closed.counts.n_rows
    factor = v.cr1_factor(households) if metric == "failure_rate" else v.cr1s_factor(households, rows, 2)
    return float((closed.std_error or np.nan) / np.sqrt(factor))
