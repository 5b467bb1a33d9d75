"""Processor and wall time of what is measured beside what it is measured against, in turns."""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """Medians over the rounds of processor and wall seconds, and the ratio of processor seconds to the baseline."""

    what: str
    cpu_seconds: float
    wall_seconds: float
    baseline: str
    baseline_cpu_seconds: float
    baseline_wall_seconds: float | None
    ratio: float


def benchmark_parser(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes: rounds, and where its data are kept."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the data are kept (default: a temporary folder)")
    return parser


def kept_folder(named: Path | None) -> Path:
    """The folder of the option, made where it is missing; a temporary one where none is named."""
    folder = (named or Path(tempfile.mkdtemp(prefix="watchlift-benchmark-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def processor_seconds() -> float:
    """User and system time of this process and all its children, those that have ended included."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds. Processor time is counted in ticks: work that is shorter than one counts as one."""
    cpu, wall = processor_seconds(), time.monotonic()
    work()
    return max(processor_seconds() - cpu, _TICK), time.monotonic() - wall


def compared(
    what: str,
    work: Callable[[], object],
    baseline: str,
    other: Callable[[], tuple[float, float | None]],
    rounds: int,
) -> Measured:
    """Medians of rounds in turn, after one that does not count.

    `other` gives its own processor and wall seconds; no wall seconds where it is scaled up from a part.
    """
    found = [(timed(work), other()) for _ in range(rounds + 1)][1:]
    ours, others = zip(*found, strict=True)
    walls = [wall for _, wall in others if wall is not None]
    return Measured(
        what,
        cpu_seconds=statistics.median(cpu for cpu, _ in ours),
        wall_seconds=statistics.median(wall for _, wall in ours),
        baseline=baseline,
        baseline_cpu_seconds=statistics.median(cpu for cpu, _ in others),
        baseline_wall_seconds=statistics.median(walls) if walls else None,
        ratio=statistics.median(our[0] / other[0] for our, other in found),
    )


def report(measured: Sequence[Measured]) -> str:
    lines = [
        "| what | CPU s | wall s | against | CPU s | wall s | ratio of CPU s |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {m.what} | {m.cpu_seconds:.1f} | {m.wall_seconds:.1f} | {m.baseline} "
            f"| {m.baseline_cpu_seconds:.1f} | {_seconds(m.baseline_wall_seconds)} | {m.ratio:.2f} |"
            for m in measured
        ),
    ]
    return "\n".join(lines) + "\n"


def _seconds(wall: float | None) -> str:
    return "–" if wall is None else f"{wall:.1f}"


def publish(measured: Sequence[Measured]) -> None:
    """The table, and a line of JSON with the machine."""
    print(report(measured))
    print(json.dumps({"machine": platform.platform(), "measured": [asdict(each) for each in measured]}))
