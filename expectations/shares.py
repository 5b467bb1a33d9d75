"""How a day's rows are spread over levels (devices, regions, hours) and profiles, and whether that is as usual."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from expectations.rules import SharesUsual
from expectations.sample import UNIT
from expectations.usual import Shares

# A level has moved if it gained or lost a tenth of all rows, or a small one halved or doubled; and not by chance.
LARGE_MOVE, SMALL_LEVEL, FACTOR, STANDARD_ERRORS = 0.1, 0.02, 2.0, 5.0
# More levels than can have SMALL_LEVEL of the rows each.
_KEPT_LEVELS = 50
_WHOLE = ""


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


def day_shares(
    rows: DataFrame, day: Column, rules: Sequence[SharesUsual], heavy: int | None
) -> dict[date, DayShares]:
    """One Spark job over all rows of the profiles that are looked at.

    Only columns that the rules name are read, and no value leaves Spark but the levels' own.
    """
    labels = [_labelled(rule.label, F.expr(rule.sql)) for rule in rules]
    spread = rows.select(day.alias("day"), UNIT, F.inline(F.array(*labels, _labelled(_WHOLE, F.lit("")))))
    of_unit = spread.groupBy("day", "label", "level", UNIT).agg(F.count(F.lit(1)).alias("n"))
    of_level = of_unit.groupBy("day", "label", "level").agg(
        F.sum("n").alias("n"),
        F.sum(F.col("n").cast("double") * F.col("n")).alias("squares"),
        F.coalesce(F.sum(F.when(F.col("n") > F.lit(heavy), F.col("n"))), F.lit(0)).alias("heavy"),
    )
    levels = F.slice(F.sort_array(F.collect_list(F.struct("n", "level")), asc=False), 1, _KEPT_LEVELS)
    sums = (F.sum(name).alias(name) for name in ("n", "squares", "heavy"))
    totals = of_level.groupBy("day", "label").agg(*sums, levels.alias("levels")).collect()
    return {
        each: _of_day([row for row in totals if row["day"] == each])
        for each in {row["day"] for row in totals}
    }


def _of_day(totals: Sequence[Row]) -> DayShares:
    by_label = {
        row["label"]: LabelShares(
            {level: n / row["n"] for n, level in row["levels"]}, row["n"] ** 2 / row["squares"]
        )
        for row in totals
        if row["label"] != _WHOLE
    }
    (heavy,) = (row["heavy"] / row["n"] for row in totals if row["label"] == _WHOLE)
    return DayShares(by_label, heavy)


def _labelled(label: str, value: Column) -> Column:
    return F.struct(
        F.lit(label).alias("label"), F.coalesce(value.cast("string"), F.lit("unknown")).alias("level")
    )


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
