from datetime import date

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from metrics.rollup.events import first_copies, not_yet_ingested
from metrics.schemas import PROFILE_HASH

COLUMNS = "event_id STRING, day DATE, profile_id BIGINT, ingest_day DATE, source_file STRING, row BIGINT"
DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)
PROFILES = range(1, 41)


@pytest.fixture
def several_partitions(spark: SparkSession) -> SparkSession:
    """A session of its own, whose shuffles have four partitions, as those of many rows."""
    own = spark.newSession()
    own.conf.set("spark.sql.shuffle.partitions", 4)
    own.conf.set("spark.sql.adaptive.coalescePartitions.enabled", "false")
    own.conf.set("spark.sql.autoBroadcastJoinThreshold", -1)
    return own


def test_the_first_copy_is_kept_and_a_profiles_events_lie_together(several_partitions: SparkSession) -> None:
    rows = [
        (f"{profile}-{n}", DAY, profile, ingest_day, file, row)
        for profile in PROFILES
        for n in range(3)
        for ingest_day, file, row in ((NEXT, "a", 1), (DAY, "b", 7), (DAY, "b", 3))
    ]
    held = several_partitions.createDataFrame([(f"{p}-0", DAY, p, DAY, "z", 0) for p in PROFILES], COLUMNS)
    events = several_partitions.createDataFrame(rows, COLUMNS).repartition(3, "row")
    where = {"part": F.spark_partition_id(), "hash": F.expr(PROFILE_HASH)}
    kept = not_yet_ingested(first_copies(events), held).withColumns(where).collect()
    assert {row["event_id"] for row in kept} == {f"{profile}-{n}" for profile in PROFILES for n in (1, 2)}
    assert {(row["ingest_day"], row["source_file"], row["row"]) for row in kept} == {(DAY, "b", 3)}
    assert len(kept) == 2 * len(PROFILES)
    parts = {(row["profile_id"], row["part"]) for row in kept}
    assert len(parts) == len(PROFILES)
    assert len({part for _, part in parts}) > 1
    # In a file the events of a profile are beside each other, and a sample of profiles at its beginning.
    assert [row["hash"] for row in kept] == [
        row["hash"] for row in sorted(kept, key=lambda row: (row["part"], row["hash"]))
    ]


def test_the_same_id_of_another_profile_or_day_is_another_event(several_partitions: SparkSession) -> None:
    rows = [("x", DAY, 1, DAY, "a", 1), ("x", DAY, 2, DAY, "a", 2), ("x", NEXT, 1, DAY, "a", 3)]
    events = several_partitions.createDataFrame(rows, COLUMNS)
    assert sorted(row["row"] for row in first_copies(events).collect()) == [1, 2, 3]
