"""Processor and wall time of what is measured beside what it is measured against, in turns."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import psutil

# Of processors, and of the clock on the wall.
Seconds = tuple[float, float]
Result = TypeVar("Result")
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Aim:
    """What a target asks of a figure of the measurement: cpu_seconds, wall_seconds or ratio, at most."""

    target: str
    figure: str
    at_most: float


@dataclass(frozen=True)
class Size:
    """How much was worked on: so many events, profiles or households."""

    number: int
    things: str


@dataclass(frozen=True)
class Measured:
    """Medians over the rounds of processor and wall seconds, and of the ratio of processor seconds to the baseline.

    `ratios` has one for each round.
    """

    what: str
    cpu_seconds: float
    wall_seconds: float
    baseline: str
    baseline_cpu_seconds: float
    baseline_wall_seconds: float | None
    ratios: tuple[float, ...]
    aims: tuple[Aim, ...] = ()
    size: Size | None = None

    @property
    def per_million(self) -> float | None:
        """Processor seconds for a million of what was worked on."""
        return None if self.size is None else self.cpu_seconds / self.size.number * 1e6

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def reaches(self, aim: Aim) -> bool:
        return bool(getattr(self, aim.figure) <= aim.at_most)


def aimed(is_of_size: bool, *aims: Aim) -> tuple[Aim, ...]:
    """The aims, where the work is of the size that they are stated for; elsewhere none is reached or missed."""
    return aims if is_of_size else ()


def benchmark_parser(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes: rounds, where its data are kept, and where its figures go."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="after a cold one; 0: that one alone")
    parser.add_argument("--folder", type=Path, help="where the data are kept (default: a temporary folder)")
    parser.add_argument("--figures", type=Path, help="a JSON file for the figures (default: none)")
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


def timed(work: Callable[[], object]) -> Seconds:
    """Processor and wall seconds. Processor time is counted in ticks: work that is shorter than one counts as one."""
    cpu, wall = processor_seconds(), time.monotonic()
    work()
    return max(processor_seconds() - cpu, _TICK), time.monotonic() - wall


def in_turn(one: Callable[[], Result], rounds: int) -> list[Result]:
    """What so many rounds give, after one that does not count; of 0 rounds that one: a trial, cold."""
    found = [one() for _ in range(rounds + 1)]
    return found[1:] or found


def compared(
    what: str,
    work: Callable[[], Seconds],
    baseline: str,
    other: Callable[[], tuple[float, float | None]],
    rounds: int,
    aims: Sequence[Aim] = (),
    size: Size | None = None,
) -> Measured:
    """Medians of rounds in turn, as `in_turn` has them.

    Both give their processor and wall seconds, as `timed` does; `other` no wall seconds where it is scaled up from a
    part.
    """
    ours, others = zip(*in_turn(lambda: (work(), other()), rounds), strict=True)
    return medians(what, ours, baseline, others, aims, size)


def medians(
    what: str,
    ours: Sequence[Seconds],
    baseline: str,
    others: Sequence[tuple[float, float | None]],
    aims: Sequence[Aim] = (),
    size: Size | None = None,
) -> Measured:
    """What rounds took, and what they are measured against in the same rounds."""
    walls = [wall for _, wall in others if wall is not None]
    return Measured(
        what,
        cpu_seconds=statistics.median(cpu for cpu, _ in ours),
        wall_seconds=statistics.median(wall for _, wall in ours),
        baseline=baseline,
        baseline_cpu_seconds=statistics.median(cpu for cpu, _ in others),
        baseline_wall_seconds=statistics.median(walls) if walls else None,
        ratios=tuple(our[0] / other[0] for our, other in zip(ours, others, strict=True)),
        aims=tuple(aims),
        size=size,
    )


def report(measured: Sequence[Measured]) -> str:
    """A table in Markdown."""
    lines = [
        "| what | CPU s | per million | wall s | against | CPU s | wall s | ratio of CPU s | aim |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {m.what} | {m.cpu_seconds:.1f} | {_per_million(m)} | {m.wall_seconds:.1f} | {m.baseline} "
            f"| {m.baseline_cpu_seconds:.1f} | {_seconds(m.baseline_wall_seconds)} | {_ratio(m)} | {_aims(m)} |"
            for m in measured
        ),
    ]
    return "\n".join(lines) + "\n"


def _per_million(m: Measured) -> str:
    return "–" if m.size is None else f"{m.per_million:.2f} {m.size.things}"


def _ratio(m: Measured) -> str:
    return f"**{m.ratio:.2f}** ({min(m.ratios):.2f} to {max(m.ratios):.2f})"


def _aims(m: Measured) -> str:
    names = {"cpu_seconds": "CPU s", "wall_seconds": "wall s", "ratio": "ratio"}
    told = (
        f"{aim.target}: {names[aim.figure]} ≤ {aim.at_most:g}, {'reached' if m.reaches(aim) else '**missed**'}"
        for aim in m.aims
    )
    return "; ".join(told) or "–"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def publish(measured: Sequence[Measured], figures: Path | None) -> None:
    """The table; and a file of JSON with the machine, where one is named."""
    print(report(measured))
    if figures:
        content = {
            "command": _command(),
            "machine": machine(),
            "measured": [asdict(each) for each in measured],
        }
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _command() -> str:
    """What was run, but for where it keeps its files."""
    arguments, kept = iter(sys.argv[1:]), [Path(sys.argv[0]).stem]
    for each in arguments:
        if each in ("--folder", "--figures"):
            next(arguments)
        else:
            kept.append(each)
    return f"python -m benchmarks.{' '.join(kept)}"


def machine() -> str:
    """Processors, memory, system and Java."""
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    told = (java.stderr or java.stdout).splitlines()[:1]
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} processors, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {''.join(told)}"
    )
