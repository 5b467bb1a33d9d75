"""Section 3, where there is no closed form: coverage of percentile intervals of quantiles, of profiles and of plays."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metrics.configuration.catalogue import Metric
from metrics.histogram import BINS_PER_DOUBLING, middles
from metrics.statistics.cells import Cell
from metrics.statistics.layout import bins_of
from metrics.statistics.moments import Floats, Integers
from metrics.statistics.passes import Bins, HouseholdRows, RawRows
from metrics.statistics.questions import Question
from metrics.statistics.replication import bootstrap_results
from metrics.statistics.results import Result
from metrics.statistics.winsorize import type1_quantile
from scripts.calibration.coverage import Coverage, absolute, coverage_of, intervals_of, relative
from scripts.calibration.experiment import GROUP, TREATMENT
from scripts.calibration.population import (
    EVENLY,
    USUAL,
    Assignment,
    Means,
    delay_quantiles,
    draw_experiment,
    draw_minutes,
    start_delays,
)
from scripts.calibration.replicates import basis_of, renamed
from scripts.calibration.sizes import Sizes, generator

PLACE, TRUTH_PLACE = 7, 107
PROFILES, PLAYS = "minutes of profiles", "start delay of plays"
ASSIGNMENTS = {"profiles 1:1": EVENLY, "profiles 4:1": Assignment(share=0.2)}


@dataclass(frozen=True)
class Asked:
    """A quantile: of what, and at which share."""

    of: str
    probability: float

    @property
    def metric(self) -> Metric:
        measure, unit = ("watch", "minutes") if self.of == PROFILES else ("delay", "ms")
        name = f"{measure}_p{100 * self.probability:.0f}"
        return Metric(
            *(name, "quantile", measure, None, None, 7, (), unit, "", "", ""),
            quantile=self.probability,
            of_events=self.of == PLAYS,
        )


ASKED = tuple(Asked(of, probability) for of in (PROFILES, PLAYS) for probability in (0.5, 0.9, 0.95, 0.99))


@dataclass(frozen=True)
class Findings:
    """One assignment's coverage by what is asked, absolute and relative."""

    name: str
    n_experiments: int
    n_households: int
    replicates: int
    coverages: Mapping[Asked, tuple[Coverage, Coverage]]


def run(sizes: Sizes, seed: int) -> tuple[Findings, ...]:
    control, arm, _ = draw_minutes(USUAL, 0.5, sizes.truth_households, generator(seed, TRUTH_PLACE))
    truths = {asked: truth(asked, control, arm) for asked in ASKED}
    return tuple(
        examine(name, how, truths, sizes, (seed, PLACE, number))
        for number, (name, how) in enumerate(ASSIGNMENTS.items())
    )


def examine(
    name: str, how: Assignment, truths: Mapping[Asked, Means], sizes: Sizes, place: tuple[int, ...]
) -> Findings:
    found = results_of(how, sizes.households, sizes.quantiled, sizes.replicates, place)
    coverages = {
        asked: (
            coverage_of(intervals_of(map(absolute, results)), truths[asked].effect),
            coverage_of(intervals_of(map(relative, results)), truths[asked].relative),
        )
        for asked, results in found.items()
    }
    return Findings(name, sizes.quantiled, sizes.households, sizes.replicates, coverages)


def results_of(
    how: Assignment, n_households: int, experiments: int, replicates: int, place: tuple[int, ...]
) -> dict[Asked, list[Result]]:
    """Of fresh samples of the superpopulation, each household a bucket of its own."""
    found: dict[Asked, list[Result]] = defaultdict(list)
    for experiment in range(experiments):
        rng = generator(*place, experiment)
        raw = with_delays(draw_experiment(n_households, how, USUAL, rng), rng)
        for asked, result in replicated(raw, replicates, experiment).items():
            found[asked].append(result)
    return found


def replicated(raw: RawRows, replicates: int, seed: int) -> dict[Asked, Result]:
    """Every quantile through the product's passes and bootstrap."""
    metrics = {asked: asked.metric for asked in ASKED}
    sources = {each.name: "plays" if each.of_events else "watch" for each in metrics.values()}
    rows = renamed(raw, sources)
    basis = basis_of(rows, {each.name: each for each in metrics.values()}, sources)
    questions = {
        asked: Question(each.name, "quantile", Cell(GROUP), TREATMENT) for asked, each in metrics.items()
    }
    results = bootstrap_results(HouseholdRows(rows, None), basis, list(questions.values()), replicates, seed)
    return {asked: results[question] for asked, question in questions.items()}


def with_delays(raw: RawRows, rng: np.random.Generator) -> RawRows:
    """The rows with a histogram each of their plays' delays."""
    row, delay = start_delays(raw, USUAL, rng)
    return replace(raw, bins={bins_of(Asked(PLAYS, 0.5).metric): _binned(row, delay)})


def _binned(row: Integers, value: Floats) -> Bins:
    """Delays are some milliseconds, so that bins are counted from 0."""
    place = np.floor(np.log2(value) * BINS_PER_DOUBLING).astype(np.int64)
    span = int(place.max()) + 1
    keys, events = np.unique(row * span + place, return_counts=True)
    return Bins(keys // span, middles(keys % span), events.astype(np.float64))


def truth(asked: Asked, control: Floats, arm: Floats) -> Means:
    if asked.of == PLAYS:
        return delay_quantiles(USUAL, asked.probability)
    return Means(*(float(type1_quantile(each, asked.probability)) for each in (control, arm)))
