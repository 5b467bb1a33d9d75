"""The rows of the landing files, in the field names of the clients (conf/sources.yml maps them)."""

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.simulation.delivery import EVENT_KEY, on_arrival
from metrics.simulation.events import canonical
from metrics.simulation.settings import Settings

_EVENTS_PER_FILE = 1_000_000
_PROFILES_PER_FILE = 2_000_000
_EVENT_FIELDS = (
    "event_id",
    "ts",
    "profile_id",
    "household_id",
    "session_id",
    "title_id",
    "device",
    "region",
    "event_type",
    "watch_ms",
    "rebuffer_ms",
    "latency_ms",
    "attributes",
)
_EXPOSURE_FIELDS = (
    "experiment_id",
    "profile_id",
    "household_id",
    "exposed_at",
    "arm",
    "device",
    "region",
    "assignment_version",
)


def raw_events(deliveries: DataFrame) -> DataFrame:
    """What `delivered` returns as ingest_day, hour, damage and the struct `fields`."""
    damage = F.col("damage")
    named = canonical(deliveries, "ingest_day", "hour", "damage").withColumns(
        {
            "event_id": F.when(~damage.eqNullSafe("no_event_id"), F.col("event_id")),
            "profile_id": F.when(~damage.eqNullSafe("no_profile"), F.col("profile_id")),
            "ts": _iso("event_ts"),
        }
    )
    return named.select("ingest_day", "hour", "damage", F.struct(*_EVENT_FIELDS).alias("fields"))


def raw_exposures(log: DataFrame) -> DataFrame:
    """What `exposure_log` returns as ingest_day, hour and the struct `fields`."""
    placed = on_arrival(log, F.unix_millis("exposed_at"))
    written = placed.withColumn("exposed_at", _iso("exposed_at"))
    return written.select("ingest_day", "hour", F.struct(*_EXPOSURE_FIELDS).alias("fields"))


def raw_profiles(snapshots: DataFrame) -> DataFrame:
    """What `snapshots` returns as ingest_day and the struct `fields`."""
    fields = [name for name in snapshots.columns if name != "ingest_day"]
    written = snapshots.withColumn("signup_day", F.col("signup_day").cast("string"))
    return written.select("ingest_day", F.struct(*fields).alias("fields"))


def by_hour(deliveries: DataFrame, settings: Settings, tasks: int) -> DataFrame:
    """One shuffle that brings an hour's deliveries together in order of time: a file each, more above a million."""
    hours = settings.days * 24
    files = math.ceil(settings.expected_events / hours / _EVENTS_PER_FILE)
    part = F.pmod(F.hash("profile_id"), F.lit(files))
    placed = deliveries.repartition(min(tasks, hours * files), "ingest_day", "hour", part)
    return placed.sortWithinPartitions("ingest_day", "hour", "ts_ms", *EVENT_KEY)


def by_day(directory: DataFrame, settings: Settings) -> DataFrame:
    """The same for the snapshots of a day."""
    files = math.ceil(settings.profiles / _PROFILES_PER_FILE)
    part = F.pmod(F.hash("profile_id"), F.lit(files))
    placed = directory.repartition(settings.days * files, "ingest_day", part)
    return placed.sortWithinPartitions("ingest_day", "profile_id")


def as_lines(raw: DataFrame) -> DataFrame:
    """`fields` as a JSON text `value`; a broken row is cut in the middle."""
    line = F.to_json("fields")
    if "damage" in raw.columns:
        cut = F.substring(line, F.lit(1), F.floor(F.length(line) * 0.6).cast("int"))
        line = F.when(F.col("damage").eqNullSafe("broken"), cut).otherwise(line)
    return raw.select(*_folders(raw), line.alias("value"))


def as_columns(raw: DataFrame) -> DataFrame:
    """`fields` as columns, for Parquet; a broken row has a time without its year."""
    flat = raw.select(*_folders(raw), *(["damage"] if "damage" in raw.columns else []), "fields.*")
    if "damage" not in raw.columns:
        return flat
    ts = F.when(F.col("damage").eqNullSafe("broken"), F.substring("ts", 6, 20)).otherwise(F.col("ts"))
    return flat.withColumn("ts", ts).drop("damage")


def _folders(raw: DataFrame) -> list[str]:
    return [name for name in ("ingest_day", "hour") if name in raw.columns]


def _iso(moment: str) -> Column:
    return F.date_format(moment, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
