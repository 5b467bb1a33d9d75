"""The cost model: what a day of a large service takes, reckoned from the processor seconds of a benchmarked day."""

from collections.abc import Sequence

from benchmarks.measuring import Measured, Size

# How the day's benchmark names the stages that it consists of.
STAGE = "of it, "
# 12 million profiles are in the experiment.
SERVICE = {"events": 2_000_000_000, "profiles": 12_000_000}
CORES = (32, 64, 128)
BUSY = 0.6

ASSUMED = f"""\
## What a day of two billion events costs

Reckoned from the processor seconds of `whole_day` below, not measured: those of each stage for a million, times as many
as the service has. It assumes

- cores like those measured, of which two share one physical core;
- processor seconds that grow as the events do, of the experiments as the profiles in them; the benchmark `roll_up`
  measures that for the roll-up. What does not grow, such as the samples that audits read and the planning of some
  hundred Spark jobs, is multiplied all the same;
- a day's profiles and events in the benchmark's proportion, one experiment with {SERVICE["profiles"]:,} profiles in it,
  and landing files of Parquet;
- cores that are busy {BUSY:.0%} of the time: what a network and an object store take was not measured on one machine.

Left out are what late events make of earlier days (their comparison with what is held, and another roll-up:
[performance.md](performance.md)), the hourly check of sample ratios, maintenance, and Spark's starts.
"""


def costs(day: Sequence[Measured]) -> str:
    """The section of the page, from the figures of the whole day; empty without any."""
    stages = [(each, each.size) for each in day if each.what.startswith(STAGE) and each.size]
    if not stages:
        return ""
    rows = [
        f"| {each.what.removeprefix(STAGE)} | {each.per_million:.2f} | {size.number:,} {size.things} "
        f"| {SERVICE[size.things]:,} | {_hours(each, size):.2f} |"
        for each, size in stages
    ]
    total = sum(_hours(*stage) for stage in stages)
    minutes = ", ".join(f"{n} cores {total * 60 / n / BUSY:.0f} minutes" for n in CORES)
    lines = [
        "| stage | CPU s for a million | measured at | the service's | core-hours a day |",
        "|---|---|---|---|---|",
        *rows,
        f"| **all** | | | | **{total:.2f}** |",
        "",
        f"So a day takes {minutes}.",
    ]
    return "\n".join([ASSUMED, *lines]) + "\n"


def _hours(stage: Measured, size: Size) -> float:
    return stage.cpu_seconds / size.number * SERVICE[size.things] / 3600
