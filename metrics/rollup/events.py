"""Canonical events: row rules and deduplication (DESIGN §4)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical, judge, missing_rules, timing_rules
from metrics.schemas import EVENT_COLUMNS, EVENT_TYPES


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
    """One row per event_id and day: the copy with the smallest (ingest_day, source_file, row)."""
    order = Window.partitionBy("day", "event_id").orderBy("ingest_day", "source_file", "row")
    return events.withColumn("_copy", F.row_number().over(order)).where("_copy = 1").drop("_copy")


def not_yet_ingested(events: DataFrame, earlier: DataFrame) -> DataFrame:
    """Drops events that an earlier ingest day already holds on the same day. `earlier`: day, event_id."""
    return events.join(earlier.select("day", "event_id"), ["day", "event_id"], how="left_anti")
