"""Canonical events: row rules and deduplication (DESIGN §4)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical, judge, missing_rules, timing_rules
from metrics.schemas import EVENT_COLUMNS, EVENT_TYPES

# What two rows of one event have in common.
_EVENT = ("event_id", "day", "profile_id")


def judged_events(raw: DataFrame, source: Source) -> DataFrame:
    """Raw rows of a source as events with `day`, provenance, `broken` and `reasons`."""
    rules = {
        **missing_rules("event_id", "profile_id", "household_id"),
        **timing_rules("event_ts", source),
        "event_type_unknown": ~F.coalesce(F.col("event_type").isin(*EVENT_TYPES), F.lit(False)),
        "negative_duration": (F.least("watch_ms", "rebuffer_ms", "latency_ms") < 0),
    }
    events = canonical(raw, source, EVENT_COLUMNS).withColumn("day", F.to_date("event_ts"))
    return judge(events, rules)


def first_copies(events: DataFrame) -> DataFrame:
    """One row per event_id, day and profile: the copy with the smallest (ingest_day, source_file, row).

    Copies are of one profile, so that one shuffle by profile serves both this and every later reader: a file holds all
    events of its profiles, and their roll-up hardly moves rows (half the time; measured: docs/performance.md).

    The first is the one with none before it. Of a row number Spark would infer that only one row per event is wanted,
    and sort all rows for that before the shuffle, too: dear where copies are few, as they are. The price: all copies of
    an id that a broken client gives to every event meet in one task.
    """
    # The id first: rows are sorted by the first bytes of the first column, and days hardly differ.
    order = Window.partitionBy(*_EVENT).orderBy("ingest_day", "source_file", "row")
    has_one_before = F.lag(F.lit(True)).over(order)
    return (
        events.repartition("profile_id")
        .withColumn("_has_one_before", has_one_before)
        .where("_has_one_before IS NULL")
        .drop("_has_one_before")
    )


def not_yet_ingested(events: DataFrame, earlier: DataFrame) -> DataFrame:
    """Drops events that an earlier ingest day already holds on the same day. `earlier`: event_id, day, profile_id."""
    return events.join(earlier.select(*_EVENT), list(_EVENT), how="left_anti")
