"""A few numbers about each day of a table, on which the rules about whole days are checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from expectations.rules import (
    DayRule,
    KeyUnique,
    MostlyKnown,
    RowsAtLeastFloor,
    RowsNearMedian,
    SchemaDeclared,
    Suite,
)

HISTORY_DAYS = 7
MIN_HISTORY = 3
EMPTY_VERSION = "empty"


@dataclass(frozen=True)
class DayFacts:
    """`rows_over_median` is None while there are too few days to compare with; `duplicate_rows` without the key.

    `known_shares`: of the rows, by the columns that the suite wants mostly known and that are there; None of 0 rows.
    """

    day: date
    version: str
    rows: int
    floor: int
    rows_over_median: float | None
    duplicate_rows: int | None
    schema_differences: str | None
    known_shares: Mapping[str, float | None]

    def seen_by(self, rule: DayRule) -> str | None:
        """What a rule looks at, in words."""
        match rule:
            case SchemaDeclared():
                return self.schema_differences
            case KeyUnique():
                return None if self.duplicate_rows is None else f"{self.duplicate_rows} duplicate rows"
            case RowsNearMedian():
                return None if self.rows_over_median is None else f"{self.rows_over_median:.3f}"
            case MostlyKnown():
                share = self.known_shares.get(rule.column)
                return None if share is None else f"{share:.4f}"
            case RowsAtLeastFloor():
                return f"{self.rows} rows, floor {self.floor}"


@dataclass(frozen=True)
class _Counts:
    rows: int
    version: str
    known: Mapping[str, int]


def day_facts(
    frame: DataFrame,
    suite: Suite,
    days: Sequence[date],
    version: Column,
    history: Mapping[date, int],
    floors: Mapping[date, int],
) -> tuple[DayFacts, ...]:
    """Facts for each of the days, rows or none; two or three Spark jobs, whatever the number of days.

    `version`: an aggregate over a day's rows that names them; `history`: rows of days before; `floors`: the fewest
    rows of a day, 1 where not given. A floor of 0 says that no rows are due, and the median is not compared.
    """
    columns = [column for column in suite.mostly_known if column in frame.columns]
    counted = _counted(frame, suite, days, version, columns)
    nothing = _Counts(0, EMPTY_VERSION, dict.fromkeys(columns, 0))
    counts = {day: counted.get(day, nothing) for day in days}
    duplicates = _duplicates(frame, suite, days)
    differences = _schema_differences(frame, suite)
    rows = {**history, **{day: found.rows for day, found in counts.items()}}
    return tuple(
        DayFacts(
            day=day,
            version=counts[day].version,
            rows=rows[day],
            floor=floors.get(day, 1),
            rows_over_median=_over_median(day, rows) if floors.get(day, 1) > 0 else None,
            duplicate_rows=None if duplicates is None else duplicates.get(day, 0),
            schema_differences=differences,
            known_shares={c: n / rows[day] if rows[day] else None for c, n in counts[day].known.items()},
        )
        for day in days
    )


def history_days(days: Sequence[date]) -> list[date]:
    """The days whose numbers of rows the rules compare with, beyond `days` themselves."""
    before = {day - timedelta(days=back) for day in days for back in range(1, HISTORY_DAYS + 1)}
    return sorted(before - set(days))


def enrolment_floors(
    days: Sequence[date], enrolments: Sequence[tuple[date, date]], floor: int
) -> dict[date, int]:
    """The floor on days when an experiment enrols (its first and last day, both included), 0 on others."""
    return {day: floor if any(first <= day <= last for first, last in enrolments) else 0 for day in days}


def _counted(
    frame: DataFrame, suite: Suite, days: Sequence[date], version: Column, columns: Sequence[str]
) -> dict[date, _Counts]:
    totals = [F.count(F.lit(1)).alias("rows"), version.cast("string").alias("version")]
    totals += [F.count(column).alias(f"known_{column}") for column in columns]

    def counts(row: Row) -> _Counts:
        return _Counts(row["rows"], row["version"], {column: row[f"known_{column}"] for column in columns})

    if suite.day_column is None:
        snapshot = counts(frame.agg(*totals).collect()[0])
        return dict.fromkeys(days, snapshot)
    found = frame.groupBy(F.col(suite.day_column).alias("day")).agg(*totals).collect()
    return {row["day"]: counts(row) for row in found}


def _duplicates(frame: DataFrame, suite: Suite, days: Sequence[date]) -> dict[date, int] | None:
    """Rows beyond the first of their key, by day; None where a column of the key is missing.

    Great Expectations' own uniqueness counts over all days at once; this gives the counts per day in the same sort,
    over 64-bit hashes: equal keys have equal hashes, and only if hashes repeat are the keys themselves counted.
    """
    day = [suite.day_column] if suite.day_column else []
    key = list(dict.fromkeys((*day, *suite.key)))
    if not set(key) <= set(frame.columns):
        return None
    hashed = frame.select(F.xxhash64(*key).alias("key"))
    repeated = F.row_number().over(Window.partitionBy("key").orderBy("key")) > 1
    if hashed.select(repeated.alias("repeated")).where("repeated").count() == 0:
        return {}
    excess = (
        frame.groupBy(*key).count().where("count > 1").groupBy(*day).agg(F.sum(F.col("count") - 1).alias("n"))
    )
    found = excess.collect()
    if not day:
        return {each: row["n"] or 0 for each in days for row in found}
    return {row[day[0]]: row["n"] for row in found}


def _schema_differences(frame: DataFrame, suite: Suite) -> str | None:
    present = {field.name: plain_type(field.dataType.simpleString()) for field in frame.schema.fields}
    faults = [
        f"{name} is missing" if name not in present else f"{name} is {present[name]}, not {plain_type(kind)}"
        for name, kind in suite.columns.items()
        if present.get(name) != plain_type(kind)
    ]
    return "; ".join(faults) or None


def plain_type(kind: str) -> str:
    """A SQL type as Spark writes it, so that a declared one can be compared with a frame's."""
    return kind.lower().replace(" ", "")


def _over_median(day: date, rows: Mapping[date, int]) -> float | None:
    """The day's rows over the median of the days before it that have any."""
    before = [rows.get(day - timedelta(days=back), 0) for back in range(1, HISTORY_DAYS + 1)]
    compared = [count for count in before if count > 0]
    return rows[day] / median(compared) if len(compared) >= MIN_HISTORY else None
