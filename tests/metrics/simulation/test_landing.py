import json
import re

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from metrics.simulation.delivery import delivered
from metrics.simulation.landing import (
    as_columns,
    as_lines,
    by_day,
    by_hour,
    raw_events,
    raw_exposures,
    raw_profiles,
)
from metrics.simulation.population import snapshots
from metrics.simulation.settings import Faults
from tests.metrics.simulation.services import ServiceFrames, service

TIME = re.compile(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EVENT_FIELDS = {
    "event_id",
    "ts",
    "profile_id",
    "household_id",
    "session_id",
    "device",
    "region",
    "event_type",
}
OPTIONAL_FIELDS = {"title_id", "watch_ms", "rebuffer_ms", "latency_ms", "attributes"}


def test_every_event_parses_in_the_layout_of_the_clients(plain: ServiceFrames) -> None:
    lines = as_lines(raw_events(delivered(plain.events, plain.settings)))
    rows = lines.where(F.crc32(F.col("value").cast("binary")) % 20 == 0).collect()
    assert len(rows) > 1_000
    for row in rows:
        event = json.loads(row["value"])
        assert set(event) >= EVENT_FIELDS and set(event) <= EVENT_FIELDS | OPTIONAL_FIELDS
        assert TIME.fullmatch(event["ts"])
        assert event["ts"].startswith(f"{row['ingest_day']}T{row['hour']}:")
        assert all(isinstance(value, str) for value in event.get("attributes", {}).values())


def test_a_broken_row_is_no_json_and_a_row_without_key_lacks_it(plain: ServiceFrames) -> None:
    faults = Faults(broken=0.2, null_keys=0.4)
    small = service(plain.spark, profiles=20, faults=faults)
    raw = raw_events(delivered(small.events, small.settings))
    for row in as_lines(raw.where("damage = 'broken'")).collect():
        with pytest.raises(json.JSONDecodeError):
            json.loads(row["value"])
    for row in as_lines(raw.where("damage = 'no_profile'")).collect():
        assert "profile_id" not in json.loads(row["value"])
    for row in as_lines(raw.where("damage = 'no_event_id'")).collect():
        assert "event_id" not in json.loads(row["value"])


def test_in_parquet_a_broken_row_has_an_unreadable_time(plain: ServiceFrames) -> None:
    small = service(plain.spark, profiles=20, faults=Faults(broken=0.5))
    flat = as_columns(raw_events(delivered(small.events, small.settings)))
    assert set(flat.columns) == EVENT_FIELDS | OPTIONAL_FIELDS | {"ingest_day", "hour"}
    read = F.try_to_timestamp("ts").isNull().cast("int")
    unread = flat.agg(F.avg(read)).first()
    assert unread is not None and unread[0] == pytest.approx(0.5, abs=0.1)


def test_exposures_and_profiles_in_their_layout(plain: ServiceFrames) -> None:
    exposure = json.loads(first_line(raw_exposures(plain.log)))
    assert list(exposure) == [
        "experiment_id", "profile_id", "household_id", "exposed_at", "arm", "device", "region", "assignment_version",
    ]  # fmt: skip
    assert TIME.fullmatch(exposure["exposed_at"])
    profile = json.loads(first_line(raw_profiles(snapshots(plain.population, plain.settings))))
    assert list(profile) == ["profile_id", "household_id", "signup_day", "region", "device", "plan"]


def test_an_hour_and_a_day_are_one_partition_each(plain: ServiceFrames) -> None:
    hours = by_hour(delivered(plain.events, plain.settings), plain.settings, 7)
    spread = hours.withColumn("task", F.spark_partition_id()).groupBy("ingest_day", "hour")
    assert spread.agg(F.count_distinct("task").alias("tasks")).where("tasks > 1").count() == 0
    days = by_day(snapshots(plain.population, plain.settings), plain.settings)
    spread = days.withColumn("task", F.spark_partition_id()).groupBy("ingest_day")
    assert spread.agg(F.count_distinct("task").alias("tasks")).where("tasks > 1").count() == 0


def first_line(raw: DataFrame) -> str:
    row = as_lines(raw).first()
    assert row is not None
    return str(row["value"])
