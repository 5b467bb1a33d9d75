"""How a day's rows are spread over levels (devices, regions, hours) and profiles, and whether that is as usual."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from expectations.sample import UNIT
from expectations.usual import Shares

# A level has moved if it gained or lost a tenth of all rows, or a small one halved or doubled; and not by chance.
LARGE_MOVE, SMALL_LEVEL, FACTOR, STANDARD_ERRORS = 0.1, 0.02, 2.0, 5.0
# More levels than can have SMALL_LEVEL of the rows each.
_KEPT_LEVELS = 50


@dataclass(frozen=True)
class LabelShares:
    """`shares` of rows by level. `draws`: how many single rows, drawn apart, would make them as uncertain: a profile's
    rows of a level come together (Kish 1965, effective sample size)."""

    shares: Shares
    draws: float


@dataclass(frozen=True)
class DayShares:
    """By label; `heavy` is the share of rows of profiles that have more than were asked about."""

    by_label: Mapping[str, LabelShares]
    heavy: float


@dataclass(frozen=True)
class Move:
    level: str
    share: float
    usual: float

    def __str__(self) -> str:
        return f"{self.level} is {self.share:.3f} of the rows, usually {self.usual:.3f}"


def day_shares(looked_at: pa.Table, labels: Sequence[str], heavy: int | None) -> dict[date, DayShares]:
    """Of rows with `day`, UNIT and a column for each of the labels, all rows of the profiles that are looked at."""
    by_label: dict[date, dict[str, LabelShares]] = {}
    for label in labels:
        counted = _counted(looked_at, ["day", label, UNIT])
        for day, of_day in _by_day(counted):
            by_label.setdefault(day, {})[label] = _label_shares(of_day.rename_columns({label: "level"}))
    of_units = {day: of_day["count_all"] for day, of_day in _by_day(_counted(looked_at, ["day", UNIT]))}
    return {day: DayShares(by_label.get(day, {}), _heavy(rows, heavy)) for day, rows in of_units.items()}


def _label_shares(counted: pa.Table) -> LabelShares:
    """Of `count_all` rows by level and profile."""
    n, squares = pc.sum(counted["count_all"]).as_py(), _squares(counted["count_all"])
    levels = counted.group_by("level").aggregate([("count_all", "sum")])
    most = levels.sort_by([("count_all_sum", "descending"), ("level", "descending")]).slice(0, _KEPT_LEVELS)
    shares = {row["level"]: row["count_all_sum"] / n for row in most.to_pylist()}
    return LabelShares(shares, n**2 / squares)


def _heavy(rows: pa.ChunkedArray, heavy: int | None) -> float:
    """The share of rows that are of profiles with more than so many."""
    if heavy is None:
        return 0.0
    return (pc.sum(rows.filter(pc.greater(rows, heavy))).as_py() or 0) / pc.sum(rows).as_py()


def _squares(counts: pa.ChunkedArray) -> float:
    floats = pc.cast(counts, pa.float64())
    return float(pc.sum(pc.multiply(floats, floats)).as_py())


def _counted(rows: pa.Table, keys: list[str]) -> pa.Table:
    return rows.group_by(keys).aggregate([([], "count_all")])


def _by_day(counted: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    for day in pc.unique(counted["day"]).to_pylist():
        yield day, counted.filter(pc.equal(counted["day"], day))


def moves(now: LabelShares, usual: Shares, days: int) -> list[Move]:
    """The levels whose share is not what it usually is (the mean of `days` days), the largest move first."""
    if not days:
        return []
    levels = {*now.shares, *usual}
    found = [Move(level, now.shares.get(level, 0.0), usual.get(level, 0.0)) for level in levels]
    moved = [each for each in found if _is_large(each) and _is_no_chance(each, now.draws, days)]
    return sorted(moved, key=lambda move: (-round(abs(move.share - move.usual), 6), move.level))


def _is_large(move: Move) -> bool:
    low, high = sorted((move.share, move.usual))
    return high - low > LARGE_MOVE or (high >= SMALL_LEVEL and high > FACTOR * low)


def _is_no_chance(move: Move, draws: float, days: int) -> bool:
    pooled = (move.share + days * move.usual) / (1 + days)
    error = math.sqrt(pooled * (1 - pooled) / draws * (1 + 1 / days))
    return abs(move.share - move.usual) > STANDARD_ERRORS * error
