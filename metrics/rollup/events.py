"""Canonical events: row rules and deduplication (DESIGN §4)."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical, judge, missing_rules, timing_rules
from metrics.schemas import EVENT_COLUMNS, EVENT_TYPES, PROFILE_HASH

# What two rows of one event have in common; and before it what rows are sorted by (`_placed`).
_EVENT = ("event_id", "day", "profile_id")
_PLACE = "_place"
_HALF = 32


def judged_events(raw: DataFrame, source: Source) -> DataFrame:
    """Raw rows of a source as events with `day`, `profile_hash`, provenance, `broken` and `reasons`."""
    rules = {
        **missing_rules("event_id", "profile_id", "household_id"),
        **timing_rules("event_ts", source),
        "event_type_unknown": ~F.coalesce(F.col("event_type").isin(*EVENT_TYPES), F.lit(False)),
        "negative_duration": (F.least("watch_ms", "rebuffer_ms", "latency_ms") < 0),
    }
    derived = {"day": F.to_date("event_ts"), "profile_hash": F.expr(PROFILE_HASH)}
    return judge(canonical(raw, source, EVENT_COLUMNS).withColumns(derived), rules)


def first_copies(events: DataFrame) -> DataFrame:
    """One row per event_id, day and profile, the copy with the smallest (ingest_day, source_file, row).

    With a column more, by which it is sorted, for not_yet_ingested. Copies are of one profile, so that one shuffle by
    profile and one sort serve this and every later reader: a file holds all events of its profiles, those of one
    profile beside each other, in the order of profile_hash (the gain: docs/performance.md).

    The first is the one with none before it. Of a row number Spark would infer that only one row per event is wanted,
    and sort all rows for that before the shuffle, too: dear where copies are few, as they are. The price: all copies of
    an id that a broken client gives to every event meet in one task.
    """
    order = Window.partitionBy(_PLACE, *_EVENT).orderBy("ingest_day", "source_file", "row")
    has_one_before = F.lag(F.lit(True)).over(order)
    return (
        _placed(events)
        .repartition("profile_id")
        .withColumn("_has_one_before", has_one_before)
        .where("_has_one_before IS NULL")
        .drop("_has_one_before")
    )


def not_yet_ingested(events: DataFrame, earlier: DataFrame) -> DataFrame:
    """Drops events that an earlier ingest day already holds on the same day. `earlier`: event_id, day, profile_id.

    `events` as first_copies gives them: they are joined where, and in the order in which, they lie.
    """
    return events.join(_placed(earlier.select(*_EVENT)), [_PLACE, *_EVENT], how="left_anti").drop(_PLACE)


def _placed(events: DataFrame) -> DataFrame:
    """With the place in a file: half by the profile's hash, half by the event's.

    One number, since Spark sorts rows by the first eight bytes of the first column, and looks at others where those are
    equal: the same profile's, if they were its id.
    """
    profile = F.shiftleft(F.expr(PROFILE_HASH).cast("bigint"), _HALF)
    event = F.xxhash64("event_id").bitwiseAND(F.lit((1 << _HALF) - 1))
    return events.withColumn(_PLACE, profile.bitwiseOR(event))
