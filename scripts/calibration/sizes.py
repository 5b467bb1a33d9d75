"""How much is simulated, and which random numbers: fixed before anything is seen."""

from dataclasses import dataclass, replace

import numpy as np

SEED = 20_260_302


@dataclass(frozen=True)
class Sizes:
    """Numbers of experiments by section, of households in them, and what else makes the report long or short.

    with_many: experiments of many households. truth_households: of the one draw that gives the winsorized truth, and
    the quantiles'. quantiled: experiments whose quantiles are replicated. paths: of normal increments. fine_paths:
    those that are looked at 1,000 times. pilot: experiments that set a plan's maximum information. traced: those that
    trace a deviation to its cause.
    """

    experiments: int = 10_000
    households: int = 800
    few_households: int = 60
    many_households: int = 4_000
    with_many: int = 2_000
    truth_households: int = 2_000_000
    traced: int = 4_000
    replicated: int = 4_000
    replicates: int = 1_000
    finely_replicated: int = 200
    fine_replicates: int = 10_000
    quantiled: int = 2_000
    paths: int = 1_000_000
    fine_paths: int = 20_000
    pilot: int = 100
    looked: int = 3_000
    looked_households: int = 1_500
    few_looked_households: int = 150
    services: int = 10_000
    slowed: int = 2_000


FULL = Sizes()
# Seconds in all, for the tests: every section runs, with large Monte Carlo errors.
SMALL = Sizes(
    experiments=40,
    households=200,
    few_households=60,
    many_households=300,
    with_many=10,
    truth_households=20_000,
    traced=10,
    replicated=10,
    replicates=300,
    finely_replicated=4,
    fine_replicates=1_000,
    quantiled=5,
    paths=20_000,
    fine_paths=500,
    pilot=5,
    looked=10,
    looked_households=200,
    few_looked_households=100,
    services=20,
    slowed=20,
)


def scaled(experiments: int) -> Sizes:
    """The full report with so many experiments, and everything else in proportion."""
    share = experiments / FULL.experiments
    counts = (
        "with_many",
        "traced",
        "replicated",
        "finely_replicated",
        "quantiled",
        "paths",
        "fine_paths",
        "looked",
        "services",
        "slowed",
    )
    return replace(
        FULL, experiments=experiments, **{name: max(2, round(getattr(FULL, name) * share)) for name in counts}
    )


def generator(seed: int, *place: int) -> np.random.Generator:
    """Random numbers of one experiment, told apart by its place in the report."""
    return np.random.default_rng([seed, *place])
