"""What a day's rows count: from what is known of its files, or in one pass over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from expectations.breaches import violation
from expectations.known import Known
from expectations.rules import Fresh, MostRows, RowRule, Suite

EMPTY_VERSION = "empty"


@dataclass(frozen=True)
class Counts:
    """`holds` by the name of the rule: rows in which its condition is true; `latest` by the rule's column.

    `unbroken`: rules about rows that none of them breaks.
    """

    rows: int
    version: str
    holds: Mapping[str, int]
    latest: Mapping[str, datetime | None]
    unbroken: frozenset[str] = frozenset()


def known_counts(suite: Suite, known: Mapping[date, Known]) -> dict[date, Counts] | None:
    """Of each day, where all of it is known; None where it is not, or rows are told apart by more."""
    most = [rule for rule in suite.day_rules if isinstance(rule, MostRows)]
    fresh = [rule.column for rule in suite.day_rules if isinstance(rule, Fresh)]
    found: dict[date, Counts] = {}
    for day, of_day in known.items():
        counts = {rule.name: of_day.count(rule.condition) for rule in most}
        holds = {name: count for name, count in counts.items() if count is not None}
        if len(holds) < len(counts) or not all(map(of_day.knows_range, fresh)):
            return None
        latest = {name: _start(of_day.latest(name)) for name in fresh}
        version = of_day.version(suite.columns_read) if of_day.rows else EMPTY_VERSION
        found[day] = Counts(of_day.rows, version, holds, latest)
    return found if suite.named_by_statistics else None


def _start(moment: datetime | date | None) -> datetime | None:
    """A date's first moment."""
    if moment is None or isinstance(moment, datetime):
        return moment
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)


def safely_counted(
    frame: DataFrame, suite: Suite, days: Sequence[date], version: Column, doubtful: Sequence[RowRule]
) -> dict[date, Counts]:
    """Of each day, in one pass over the rows; without rules where one raises: Great Expectations then tells which."""
    try:
        return _counted(frame, suite, days, version, doubtful)
    except (PySparkException, Py4JJavaError):
        if not doubtful:
            raise
        return _counted(frame, suite, days, version, ())


def _counted(
    frame: DataFrame, suite: Suite, days: Sequence[date], version: Column, doubtful: Sequence[RowRule]
) -> dict[date, Counts]:
    """Of every one of the days, by day, in one Spark job; and which of the doubtful rules no row breaks."""
    present = set(frame.columns)
    most = [rule for rule in suite.day_rules if isinstance(rule, MostRows) and rule.column in present]
    fresh = [r.column for r in suite.day_rules if isinstance(r, Fresh) and r.column in present]
    totals = [F.count(F.lit(1)).alias("rows"), version.cast("string").alias("version")]
    totals += [F.count_if(F.expr(rule.condition.sql)).alias(f"holds_{rule.name}") for rule in most]
    totals += [F.unix_micros(F.max(name).cast("timestamp")).alias(f"latest_{name}") for name in fresh]
    totals += [F.count_if(violation(rule)).alias(f"broken_{rule.name}") for rule in doubtful]

    def counts(row: Row) -> Counts:
        holds = {rule.name: row[f"holds_{rule.name}"] for rule in most}
        latest = {name: _moment(row[f"latest_{name}"]) for name in fresh}
        unbroken = frozenset(rule.name for rule in doubtful if not row[f"broken_{rule.name}"])
        return Counts(row["rows"], row["version"], holds, latest, unbroken)

    if suite.day_column is None:
        return dict.fromkeys(days, counts(frame.agg(*totals).collect()[0]))
    all_hold = frozenset(rule.name for rule in doubtful)
    nothing = Counts(0, EMPTY_VERSION, {rule.name: 0 for rule in most}, dict.fromkeys(fresh), all_hold)
    found = frame.groupBy(F.col(suite.day_column).alias("day")).agg(*totals).collect()
    return {**dict.fromkeys(days, nothing), **{row["day"]: counts(row) for row in found}}


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, tz=UTC)
