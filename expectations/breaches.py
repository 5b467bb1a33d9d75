"""Where and how rows broke rules, day by day, in words that never name a profile.

Great Expectations says which of the doubtful rules broke over all days together. Asking it day by day would cost as
many validations as there are days; one grouped job finds the days of all the broken rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from expectations.rules import Between, Every, Holds, InSet, NotAfter, NotNull, RowRule

SHOWN = 3
# A value of theirs would name a profile: of a breach only its rows are told.
IDENTIFIERS = {"profile_id", "household_id", "event_id", "session_id"}


@dataclass(frozen=True)
class Breach:
    """Rows of one day that broke one rule (None: not known), and what they look like, the same for the same rows."""

    rows: int | None
    seen: str


def breaches(frame: DataFrame, day: Column, rules: Sequence[RowRule]) -> dict[tuple[date, str], Breach]:
    """By day and rule name, those with a breach: one Spark job, and one for each rule about a set of values."""
    structs = [F.struct(F.count_if(violation(rule)), *_extras(rule)).alias(rule.name) for rule in rules]
    grouped = frame.groupBy(day.alias("day")).agg(*structs).collect()
    sets = [rule for rule in rules if isinstance(rule, InSet) and rule.column not in IDENTIFIERS]
    strangers = {rule.name: _strangers(frame, day, rule) for rule in sets}
    return {
        (row["day"], rule.name): Breach(row[rule.name][0], _words(rule, row, strangers))
        for row in grouped
        for rule in rules
        if row[rule.name][0]
    }


def violation(rule: RowRule) -> Column:
    """True for a row that breaks the rule; null, for a value that is not known, counts as kept."""
    match rule:
        case NotNull():
            return F.col(rule.column).isNull()
        case Between():
            below, above = F.col(rule.column) < F.lit(rule.low), F.col(rule.column) > F.lit(rule.high)
            return F.coalesce(below, F.lit(False)) | F.coalesce(above, F.lit(False))
        case InSet():
            return ~F.col(rule.column).isin(*rule.values)
        case Holds() | Every() | NotAfter():
            return ~F.expr(rule.sql)


def _extras(rule: RowRule) -> list[Column]:
    """What the words about a breach need beside the number of rows."""
    match rule:
        case NotNull():
            return [F.count(F.lit(1))]
        case Between():
            return [F.min(rule.column), F.max(rule.column)]
        case Holds() | Every() | NotAfter():
            return [F.count_if(~F.expr(condition)) for _, condition in rule.conditions]
    return []


def _words(rule: RowRule, row: Row, strangers: Mapping[str, Mapping[date, list[str]]]) -> str:
    numbers: list[Any] = list(row[rule.name])[1:]
    if isinstance(rule, Between | InSet) and rule.column in IDENTIFIERS:
        return f"in {row[rule.name][0]} rows"
    match rule:
        case NotNull():
            return f"{row[rule.name][0]} of {numbers[0]} rows null"
        case Between():
            return f"from {numbers[0]} to {numbers[1]}"
        case InSet():
            return _first(strangers[rule.name][row["day"]])
        case Holds() | Every() | NotAfter():
            labels = [label for label, _ in rule.conditions]
            return _first([f"{label} in {n} rows" for label, n in zip(labels, numbers, strict=True) if n])


def _strangers(frame: DataFrame, day: Column, rule: InSet) -> dict[date, list[str]]:
    """The most frequent values outside the set, by day; ties by the value, one more than are shown."""
    most = Window.partitionBy("day").orderBy(F.desc("n"), "value")
    counted = (
        frame.where(violation(rule))
        .groupBy(day.alias("day"), F.col(rule.column).alias("value"))
        .agg(F.count(F.lit(1)).alias("n"))
        .withColumn("place", F.row_number().over(most))
        .where(F.col("place") <= SHOWN + 1)
        .orderBy("day", "place")
    )
    found: dict[date, list[str]] = {}
    for row in counted.collect():
        found.setdefault(row["day"], []).append(f"'{row['value']}' in {row['n']} rows")
    return found


def _first(words: Sequence[str]) -> str:
    return ", ".join([*words[:SHOWN], "…"] if len(words) > SHOWN else words)
