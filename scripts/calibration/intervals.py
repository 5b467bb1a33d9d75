"""Section 1: coverage of every estimator's 95% interval, absolute and relative, and the interaction test's size."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from metrics.statistics.estimators import Comparison
from metrics.statistics.results import Result
from scripts.calibration.coverage import (
    Coverage,
    Share,
    absolute,
    coverage_of,
    intervals_of,
    relative,
    share_of,
)
from scripts.calibration.experiment import (
    CUT_WATCH,
    LEVEL,
    TREATMENT,
    from_moments,
    interactions,
    prepare_service,
    regressions,
)
from scripts.calibration.population import (
    EVENLY,
    USUAL,
    Assignment,
    Effects,
    Means,
    draw_experiment,
    failure_ratios,
    mean_plays,
    mean_watch,
    winsorized_means,
)
from scripts.calibration.sizes import Sizes, generator

PLACE, TRUTH_PLACE = 1, 101
Key = tuple[str, str, str]  # metric, estimator, scale
SCALES: Mapping[str, Callable[[Result], tuple[float, ...] | None]] = {
    "absolute": absolute,
    "relative": relative,
}


@dataclass(frozen=True)
class Setting:
    """Experiments of one kind."""

    name: str
    n_experiments: int
    n_households: int
    assignment: Assignment = EVENLY
    effects: Effects = USUAL


@dataclass(frozen=True)
class Findings:
    """One setting's coverage by what is estimated, and how often the interaction test rejects by metric."""

    setting: Setting
    coverages: Mapping[Key, Coverage]
    rejections: Mapping[str, Share]


def settings_of(sizes: Sizes) -> tuple[Setting, ...]:
    usual = (sizes.experiments, sizes.households)
    return (
        Setting("profiles 1:1", *usual),
        Setting("profiles 4:1", *usual, Assignment(share=0.2)),
        Setting("households 1:1", *usual, Assignment(by_household=True)),
        Setting("few", sizes.experiments, sizes.few_households),
        Setting("many", sizes.with_many, sizes.many_households),
        Setting("many 4:1", sizes.with_many, sizes.many_households, Assignment(share=0.2)),
        Setting("strong effect", *usual, effects=Effects(plays=1.0)),
    )


def run(sizes: Sizes, seed: int) -> tuple[Findings, ...]:
    truth_of_cut = cache(lambda effects, share: _truth_of_cut(sizes, seed, effects, share))
    return tuple(
        examine(setting, truths(setting, truth_of_cut), (seed, PLACE, number))
        for number, setting in enumerate(settings_of(sizes))
    )


def truths(setting: Setting, truth_of_cut: Callable[[Effects, float], Means]) -> dict[str, Means]:
    """Of the superpopulation, by metric."""
    effects = setting.effects
    return {
        "plays": mean_plays(effects),
        "watch": mean_watch(effects),
        CUT_WATCH: truth_of_cut(effects, setting.assignment.share),
        "failure_rate": failure_ratios(effects),
    }


def examine(setting: Setting, true_means: Mapping[str, Means], place: tuple[int, ...]) -> Findings:
    """Fresh samples of the superpopulation, each through every estimator."""
    numbers: dict[Key, list[tuple[float, ...] | None]] = defaultdict(list)
    p_values: dict[str, list[float]] = defaultdict(list)
    for experiment in range(setting.n_experiments):
        rng = generator(*place, experiment)
        raw = draw_experiment(setting.n_households, setting.assignment, setting.effects, rng)
        prepared, comparison = prepare_service(raw), Comparison(TREATMENT, level=LEVEL)
        results = from_moments(prepared, comparison) | regressions(prepared, comparison)
        for (metric, estimator), result in results.items():
            for scale, read in SCALES.items():
                numbers[metric, estimator, scale].append(read(result))
        for metric, test in interactions(prepared).items():
            if test.p_value is not None:
                p_values[metric].append(test.p_value)
    coverages = {
        (metric, estimator, scale): coverage_of(intervals_of(found), _truth(true_means[metric], scale))
        for (metric, estimator, scale), found in numbers.items()
    }
    rejections = {metric: share_of(np.array(found) < LEVEL, LEVEL) for metric, found in p_values.items()}
    return Findings(setting, coverages, rejections)


def _truth(means: Means, scale: str) -> float:
    return means.effect if scale == "absolute" else means.relative


def _truth_of_cut(sizes: Sizes, seed: int, effects: Effects, share: float) -> Means:
    means, _ = winsorized_means(effects, share, sizes.truth_households, generator(seed, TRUTH_PLACE))
    return means
