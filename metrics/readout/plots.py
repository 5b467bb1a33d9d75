"""Plots as geometry: positions in per cent of the plot's width or height, drawn by the template as inline SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from metrics.enrollment import start_of

Interval = tuple[float, float, float]  # low, point, high


@dataclass(frozen=True)
class Bar:
    """One interval; `is_cut_*` where it runs on beyond the plot."""

    low: float
    point: float
    high: float
    is_cut_low: bool
    is_cut_high: bool


@dataclass(frozen=True)
class Tick:
    position: float
    text: str


@dataclass(frozen=True)
class Forest:
    """`bars` in the order of the rows, None where there is no interval; `zero` and `marks` are vertical lines."""

    bars: tuple[Bar | None, ...]
    ticks: tuple[Tick, ...]
    zero: float
    marks: tuple[float, ...]


@dataclass(frozen=True)
class Course:
    """Values along a scale, of time mostly: `lines` are points of an SVG polyline; `days` lie on the width, `levels` on
    the height, from above. `marks` are vertical lines.
    """

    lines: tuple[str, ...]
    days: tuple[Tick, ...]
    levels: tuple[Tick, ...]
    marks: tuple[float, ...]


def course(
    times: Sequence[datetime], series: Sequence[Sequence[float]], marks: Sequence[datetime] = ()
) -> Course:
    """Lay series of one value per moment out on common scales; the heights hold zero."""
    start, end = min([*times, *marks]), max([*times, *marks])
    days = {day.isoformat(): start_of(day).timestamp() for day in _days(start, end)}
    return curves([at.timestamp() for at in times], series, days, [at.timestamp() for at in marks])


def curves(
    positions: Sequence[float],
    series: Sequence[Sequence[float]],
    ticks: Mapping[str, float],
    marks: Sequence[float] = (),
) -> Course:
    """Lay series of one value per position out on common scales; the heights hold zero. `ticks`: positions by text."""
    known = [0.0, *(value for values in series for value in values)]
    step = _step(max(known) - min(known))
    first, last = math.floor(min(known) / step), math.ceil(max(known) / step)
    start, end = min([*positions, *marks]), max([*positions, *marks])

    def across(at: float) -> float:
        return round(100 * (at - start) / (end - start), 2) if end > start else 0.0

    def down(value: float) -> float:
        return round(100 * (last - value / step) / max(last - first, 1), 2)

    return Course(
        lines=tuple(
            " ".join(f"{across(at)},{down(value)}" for at, value in zip(positions, values, strict=True))
            for values in series
        ),
        days=tuple(Tick(across(at), text) for text, at in ticks.items()),
        levels=tuple(Tick(down(n * step), f"{n * step:g}") for n in range(first, last + 1)),
        marks=tuple(map(across, marks)),
    )


def _days(start: datetime, end: datetime) -> list[date]:
    """About four days that begin between the two."""
    first = start.date() if start == start_of(start.date()) else start.date() + timedelta(days=1)
    n_days = (end.date() - first).days + 1
    return [first + timedelta(days=n) for n in range(0, n_days, max(1, math.ceil(n_days / 4)))]


def forest(
    intervals: Sequence[Interval | None],
    text: Callable[[float], str],
    marks: Sequence[float] = (),
    reach: float | None = None,
) -> Forest:
    """Lay intervals out on one scale that holds zero and the `marks`; beyond ±`reach` intervals are cut."""
    known = [value for interval in intervals if interval for value in interval]
    low, high = min((*known, *marks, 0.0)), max((*known, *marks, 0.0))
    if reach:
        low, high = max(low, -reach), min(high, reach)
    step = _step(high - low)
    first, last = math.floor(low / step), math.ceil(high / step)
    start, width = first * step, max(last - first, 1) * step

    def at(value: float) -> float:
        return round(4 + 92 * (value - start) / width, 3)  # a margin, so that end labels are not cut off

    return Forest(
        bars=tuple(_bar(interval, start, start + width, at) if interval else None for interval in intervals),
        ticks=tuple(Tick(at(n * step), text(n * step)) for n in range(first, max(last, first + 1) + 1)),
        zero=at(0.0),
        marks=tuple(at(mark) for mark in marks),
    )


def _bar(interval: Interval, start: float, end: float, at: Callable[[float], float]) -> Bar:
    low, point, high = (min(max(value, start), end) for value in interval)
    return Bar(at(low), at(point), at(high), interval[0] < start, interval[2] > end)


def _step(width: float) -> float:
    """A round step of 1, 2 or 5 times a power of ten that divides the width into about four."""
    if width <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width / 4))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= width / 4)
