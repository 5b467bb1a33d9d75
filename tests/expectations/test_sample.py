"""The profiles that are looked at on a large day: the same ones in each table, however its rows were written."""

from datetime import date

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from expectations.sample import brought, held_together, sample_of
from metrics.schemas import PROFILE_HASH

PROFILES = 400


@pytest.fixture
def profiles(spark: SparkSession) -> DataFrame:
    return spark.range(PROFILES).select((F.col("id") * 1_000_003).alias("profile_id"))


def sampled(frame: DataFrame, most_rows: int) -> set[int]:
    sample = sample_of(frame, PROFILE_HASH, most_rows)
    return set(brought(sample, {"id": F.col("profile_id")})["id"].to_pylist())


def test_a_sample_has_the_same_profiles_with_a_stored_hash_without_one_and_in_a_column_of_nulls(
    profiles: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_LOOKED_AT", 100)
    some = sampled(profiles, PROFILES)
    assert PROFILES / 8 < len(some) < PROFILES / 2
    assert sampled(profiles.withColumn("profile_hash", F.expr(PROFILE_HASH)), PROFILES) == some
    assert sampled(profiles.withColumn("profile_hash", F.lit(None).cast("int")), PROFILES) == some
    assert sampled(profiles, PROFILES // 2) > some  # a smaller day: those, and others


def test_days_are_held_in_groups_whose_rows_have_room_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_HELD", 10)
    rows = {date(2026, 3, n + 1): n_rows for n, n_rows in enumerate((4, 6, 1, 0, 25, 3))}
    groups = [[day.day for day in group] for group in held_together(rows, 1)]
    assert groups == [[1, 2], [3, 4], [5], [6]]
    assert len(list(held_together(rows, 10))) == 1


def test_a_table_that_has_no_profiles_is_looked_at_whole(
    profiles: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_LOOKED_AT", 1)
    named = profiles.withColumnRenamed("profile_id", "name")
    assert brought(sample_of(named, PROFILE_HASH, PROFILES), {"name": F.col("name")}).num_rows == PROFILES
