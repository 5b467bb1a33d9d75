"""Section 2: CR2 with Satterthwaite's degrees of freedom at 20 clusters, beside cr1s on t(G-1)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metrics.statistics.estimators import Comparison, cuped, difference_in_means
from metrics.statistics.lin import fit_lin
from metrics.statistics.ols import fit_ols
from metrics.statistics.passes import RawRows
from scripts.calibration.coverage import Coverage, absolute, coverage_of, intervals_of
from scripts.calibration.experiment import (
    LEVEL,
    TREATMENT,
    Results,
    finished,
    plain_group,
    prepare,
)
from scripts.calibration.population import EVENLY, USUAL, draw_experiment, mean_plays
from scripts.calibration.sizes import Sizes, generator

PLACE = 2
CLUSTERS = 20
VCOVS = ("cr2", "cr1s")
EFFECT = 0.3
_SMALLEST, _LARGEST = 2, 12
_SLOPE = 0.6
Key = tuple[str, str]  # estimator, vcov


@dataclass(frozen=True)
class Setting:
    """treated: how many of the clusters are treated whole; None where profiles are randomised one by one."""

    name: str
    treated: int | None = None
    heavy_tails: bool = False


SETTINGS = (
    Setting("profiles"),
    Setting("10 of 20 clusters", 10),
    Setting("4 of 20 clusters", 4),
    Setting("profiles, heavy tails", heavy_tails=True),
)


@dataclass(frozen=True)
class Findings:
    setting: Setting
    coverages: Mapping[Key, Coverage]


def run(sizes: Sizes, seed: int) -> tuple[Findings, ...]:
    return tuple(
        examine(setting, sizes.experiments, (seed, PLACE, number)) for number, setting in enumerate(SETTINGS)
    )


def examine(setting: Setting, experiments: int, place: tuple[int, ...]) -> Findings:
    numbers: dict[Key, list[tuple[float, ...] | None]] = defaultdict(list)
    for experiment in range(experiments):
        raw = draw(setting, generator(*place, experiment))
        for vcov in VCOVS:
            for (_, estimator), result in estimates(raw, vcov).items():
                numbers[estimator, vcov].append(absolute(result))
    truth = mean_plays(USUAL).effect if setting.heavy_tails else EFFECT
    return Findings(setting, {key: coverage_of(intervals_of(n), truth) for key, n in numbers.items()})


def draw(setting: Setting, rng: np.random.Generator) -> RawRows:
    """Rows of 20 clusters with an outcome `plays` and a covariate `pre_plays`."""
    if setting.heavy_tails:
        return draw_experiment(CLUSTERS, EVENLY, USUAL, rng)
    sizes = rng.integers(_SMALLEST, _LARGEST + 1, CLUSTERS)
    cluster = np.repeat(np.arange(CLUSTERS), sizes)
    if setting.treated is None:
        arm = rng.integers(0, 2, len(cluster))
    else:
        arm = (rng.permutation(CLUSTERS) < setting.treated).astype(np.int64)[cluster]
    before = rng.normal(size=CLUSTERS)[cluster] + rng.normal(size=len(cluster))
    shared = rng.normal(size=CLUSTERS)[cluster]
    outcome = EFFECT * arm + _SLOPE * before + shared + rng.normal(size=len(cluster))
    order = np.lexsort((arm, cluster))
    columns = {"plays": outcome[order], "pre_plays": before[order]}
    return RawRows(columns, cluster[order], arm[order])


def estimates(raw: RawRows, vcov: str) -> Results:
    prepared = prepare(raw, plain_group(raw, ("plays", "pre_plays")))
    comparison = Comparison(TREATMENT, vcov, LEVEL)
    whole, outcome, covariates = prepared.whole, "plays", ("pre_plays",)
    fits = {
        (outcome, "ols"): fit_ols(whole, outcome, covariates, comparison),
        (outcome, "lin"): fit_lin(whole, outcome, covariates, comparison),
    }
    return {
        (outcome, "difference_in_means"): difference_in_means(whole, outcome, comparison),
        (outcome, "cuped"): cuped(whole, outcome, covariates, comparison),
        **finished(prepared, fits, comparison),
    }
