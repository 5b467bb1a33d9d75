"""The cost model: what a day of a large service takes, reckoned from the processor seconds that benchmarks found."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from benchmarks.measuring import Measured, Size

# Of two billion events, 12 million profiles are in the experiment, in households of 1.67 in the mean.
SERVICE = {"events": 2_000_000_000, "profiles": 12_000_000, "households": 7_200_000}
# Each once: the day's parts, and the bootstrap that its readout asks for.
STAGES = ("of it, ingest", "of it, audits", "of it, roll-up", "of it, experiments", "bootstrap replicates")
CORES = (32, 64, 128)
BUSY = 0.6

ASSUMED = f"""\
## What a day of two billion events costs

Reckoned from the processor seconds below, not measured: each stage's seconds for a million, times as many as the
service has. It assumes

- cores like those measured, of which two share one physical core;
- processor seconds that grow with the events, or profiles, and no slower (P3 below says how far that was measured);
- one experiment that all profiles are in; of more experiments, P8 below tells the factor;
- cores that are busy {BUSY:.0%} of the time: what the network and an object store take was not measured on one machine.
"""


def costs(measured: Mapping[str, Sequence[Measured]]) -> str:
    """The section of the page; empty where the parts of a day were not measured."""
    stages = list(_stages(chain.from_iterable(measured.values())))
    if not any(name in each.what for each, _ in stages for name in STAGES[:-1]):
        return ""
    rows = [
        f"| {each.what.removeprefix('of it, ')} | {each.per_million:.2f} | {size.number:,} {size.things} "
        f"| {SERVICE[size.things]:,} | {_hours(each, size):.1f} |"
        for each, size in stages
    ]
    total = sum(_hours(*stage) for stage in stages)
    hours = "; ".join(f"{n} cores {total / n / BUSY:.1f} hours" for n in CORES)
    lines = [
        "| stage | CPU s for a million | measured at | the service's | core-hours a day |",
        "|---|---|---|---|---|",
        *rows,
        f"| **all** | | | | **{total:.1f}** |",
        "",
        f"So a day takes {hours}.",
    ]
    return "\n".join([ASSUMED, *lines]) + "\n"


def _stages(measured: Iterator[Measured]) -> Iterator[tuple[Measured, Size]]:
    for each in measured:
        if each.size is not None and any(name in each.what for name in STAGES):
            yield each, each.size


def _hours(stage: Measured, size: Size) -> float:
    return stage.cpu_seconds / size.number * SERVICE[size.things] / 3600
