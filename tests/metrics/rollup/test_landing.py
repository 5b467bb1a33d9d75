from datetime import date

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from metrics.configuration.sources import Source
from metrics.rollup.events import first_copies, judged_events, not_yet_ingested
from metrics.rollup.landing import kept, quarantined

SCHEMA = """fields STRUCT<id: STRING, ts: STRING, profile: STRING, home: BIGINT, kind: STRING, watch: BIGINT,
            _corrupt: STRING>, ingest_day DATE, source_file STRING, row BIGINT, raw STRING"""
DAY = date(2026, 3, 2)
BASE = {
    "id": "e1",
    "ts": "2026-03-02T10:00:00.000Z",
    "profile": "7",
    "home": 3,
    "kind": "playback",
    "watch": 60,
}
SOURCE = Source(
    name="playback",
    path="",
    format="json",
    schema="",
    options={},
    where=None,
    columns={
        "event_id": "id",
        "event_ts": "try_to_timestamp(ts)",
        "profile_id": "profile",
        "household_id": "home",
        "event_type": "kind",
        "watch_ms": "watch * 1000",
    },
    max_days_late=3,
    max_minutes_ahead=10,
)


def raw(spark: SparkSession, *overrides: dict[str, object]) -> DataFrame:
    """Raw rows as jobs.landing gives them: a good base row, changed by each of `overrides`."""
    rows = []
    for number, override in enumerate(overrides):
        fields = {
            **BASE,
            "_corrupt": None,
            **{k: v for k, v in override.items() if k in BASE or k == "_corrupt"},
        }
        rows.append(
            (
                Row(**fields),
                override.get("ingest_day", DAY),
                override.get("source_file", "a"),
                override.get("row", number),
                f"raw {number}",
            )
        )
    return spark.createDataFrame(rows, SCHEMA)


@pytest.mark.parametrize(
    ("override", "reasons"),
    [
        ({}, []),
        ({"_corrupt": "{"}, ["malformed"]),
        ({"id": None}, ["event_id_missing"]),
        ({"profile": "seven"}, ["profile_id_missing"]),
        ({"home": None}, ["household_id_missing"]),
        ({"ts": "yesterday"}, ["event_ts_missing"]),
        ({"ts": "2026-03-03T00:09:59Z"}, []),
        ({"ts": "2026-03-03T00:10:00Z"}, ["in_the_future"]),
        ({"ts": "2026-02-27T00:00:00Z"}, []),
        ({"ts": "2026-02-26T23:59:59Z"}, ["too_late"]),
        ({"kind": "dance"}, ["event_type_unknown"]),
        ({"kind": None}, ["event_type_unknown"]),
        ({"watch": -1}, ["negative_duration"]),
        ({"id": None, "kind": "dance"}, ["event_id_missing", "event_type_unknown"]),
    ],
)
def test_a_row_is_judged_by_every_rule(
    spark: SparkSession, override: dict[str, object], reasons: list[str]
) -> None:
    row = judged_events(raw(spark, override), SOURCE).first()
    assert row is not None and (row["reasons"], row["broken"]) == (reasons, bool(reasons))


def test_a_good_row_takes_the_source_s_expressions_and_nulls_elsewhere(spark: SparkSession) -> None:
    row = kept(judged_events(raw(spark, {}), SOURCE)).first()
    assert row is not None
    assert (row["watch_ms"], row["profile_id"], row["day"], row["title_id"]) == (60_000, 7, DAY, None)


def test_a_broken_row_is_kept_raw_with_where_it_came_from(spark: SparkSession) -> None:
    row = quarantined(judged_events(raw(spark, {"id": None, "row": 5}), SOURCE), "events.playback").first()
    assert row is not None
    assert (row["source"], row["source_file"], row["row"], row["raw"]) == ("events.playback", "a", 5, "raw 0")


def test_of_copies_the_first_by_ingest_day_file_and_row_counts(spark: SparkSession) -> None:
    later = date(2026, 3, 3)
    frame = raw(
        spark,
        {"watch": 1, "ingest_day": later},
        {"watch": 2, "source_file": "b", "row": 0},
        {"watch": 3, "source_file": "a", "row": 9},
        {"watch": 4, "source_file": "a", "row": 8},
        {"watch": 5, "id": "e2"},
    )
    copies = first_copies(kept(judged_events(frame, SOURCE))).collect()
    assert {row["event_id"]: row["watch_ms"] for row in copies} == {"e1": 4000, "e2": 5000}


def test_an_event_of_an_earlier_ingest_day_is_not_taken_again(spark: SparkSession) -> None:
    events = kept(judged_events(raw(spark, {}, {"id": "e2"}), SOURCE))
    earlier = events.where("event_id = 'e1'")
    assert [row["event_id"] for row in not_yet_ingested(first_copies(events), earlier).collect()] == ["e2"]
