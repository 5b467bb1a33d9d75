"""What the statistics of files say must be true of every row: Spark itself is asked the same."""

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from deltalake import DeltaTable as LogReader
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from expectations.rules import Between, Every, Holds, InSet, NotAfter, NotNull, RowRule
from jobs.audit_table import check_tables
from jobs.file_statistics import known_of
from jobs.tables import Tables

DAY, NEXT = date(2026, 3, 3), date(2026, 3, 4)
COLUMNS = "day DATE, n BIGINT, x DOUBLE, word STRING, came DATE, at TIMESTAMP, bins ARRAY<INT>"
MOST = sys.float_info.max
RULES: list[RowRule] = [
    *(NotNull(name) for name in ("n", "x", "word", "came", "at", "bins")),
    *(Between("n", low, high) for low, high in ((0, None), (None, 5), (0, 5), (1, 4))),
    *(Between("x", low, high) for low, high in ((0, None), (None, 1), (-MOST, MOST))),
    Every("all", (NotNull("n"), Between("x", 0, None))),
    NotAfter("came", "day"),
    NotAfter("day", "came"),
    InSet("word", ("a", "b")),
    Holds("short", (("word", "length(word) < 3"),), ("word",)),
]
NAN, INFINITE = float("nan"), float("inf")
ROWS: list[list[tuple[Any, ...]]] = [
    [(DAY, 0, 0.0, "a", DAY, datetime(2026, 3, 3, 9, tzinfo=UTC), [1])],
    [(DAY, 1, 0.5, "b", NEXT, datetime(2026, 3, 3, 9, tzinfo=UTC), [1]), (DAY, 5, 1.0, "a", DAY, None, None)],
    [(DAY, None, None, None, None, None, None)],
    [(DAY, -1, NAN, "long", NEXT, None, []), (DAY, 6, 0.0, "a", DAY, None, [])],
    [(DAY, 2, INFINITE, "a", DAY, None, []), (DAY, 2, -INFINITE, "a", DAY, None, [])],
    [(DAY, 2, NAN, None, DAY, None, [])],
    [(DAY, 2**62, -0.0, "é" * 40, DAY, None, [])],
]


def written(spark: SparkSession, path: Path, *parts: list[tuple[Any, ...]]) -> LogReader:
    """A table of one file for each part, with a constraint that all but one of them keep."""
    constraint = "'delta.constraints.short' = 'coalesce(length(word), 0) < 100'"
    spark.sql(
        f"CREATE TABLE delta.`{path}` ({COLUMNS}) USING DELTA PARTITIONED BY (day) TBLPROPERTIES ({constraint})"
    )
    for part in parts:
        spark.createDataFrame(part, COLUMNS).coalesce(1).writeTo(f"delta.`{path}`").append()
    return LogReader(str(path))


@pytest.fixture(scope="module")
def tables_of_rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("known")
    for n, rows in enumerate([*ROWS, [*ROWS[0], *ROWS[1]]]):
        written(spark, folder / str(n), rows)
    written(spark, folder / "parts", *ROWS)
    written(spark, folder / "nan", ROWS[0], ROWS[5])  # one file of numbers, one of NaN
    return sorted(folder.iterdir())


def test_what_is_known_is_true_of_every_row(spark: SparkSession, tables_of_rows: list[Path]) -> None:
    held = 0
    for path in tables_of_rows:
        known = known_of(LogReader(str(path)), "day")
        assert known is not None
        of_day, rows = known.of_day("day", DAY), spark.read.format("delta").load(str(path))
        broken = rows.agg(*(F.count_if(~F.expr(rule.sql)).alias(rule.name) for rule in RULES)).collect()[0]
        for rule in RULES:
            assert not (of_day.holds(rule) and broken[rule.name]), f"{rule} in {path.name}"
            held += of_day.holds(rule)
        assert of_day.rows == rows.count()
        assert of_day.count(NotNull("x")) == rows.where("x IS NOT NULL").count()
    assert held > len(tables_of_rows) * len(RULES) / 4


def test_plain_values_are_known_to_lie_within_their_range(tables_of_rows: list[Path]) -> None:
    known = known_of(LogReader(str(tables_of_rows[1])), "day")
    assert known is not None
    told = {rule.name for rule in RULES if known.holds(rule)}
    assert {"n_not_null", "n_at_least_0_at_most_5", "x_at_least_0", "all"} <= told
    assert not {"n_at_least_1_at_most_4", "at_not_null", "bins_not_null", "came_not_after_day"} & told


def test_days_are_told_apart_and_a_day_without_files_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    rows: list[tuple[Any, ...]] = [(DAY, 1, NAN, "a", DAY, None, []), (NEXT, 1, 0.5, "a", DAY, None, [])]
    known = known_of(written(spark, tmp_path / "t", rows), "day")
    assert known is not None
    whole = Every("within", (Between("x", 0, 1),))
    assert [known.of_day("day", day).holds(whole) for day in (DAY, NEXT)] == [False, True]
    assert known.of_day("day", NEXT).count(NotAfter("came", "day")) is None  # `came` is no partition
    empty = known.of_day("day", NEXT + timedelta(days=1))
    assert (empty.rows, empty.holds(whole), empty.latest("at")) == (0, True, None)


def test_only_a_constraint_of_the_same_words_is_known(spark: SparkSession, tmp_path: Path) -> None:
    known = known_of(written(spark, tmp_path / "t", ROWS[0]), "day")
    assert known is not None
    constraint = "coalesce(length(word), 0) < 100"
    assert known.holds(Holds("any", (("word", constraint),), ("word",)))
    assert not known.holds(Holds("any", (("word", constraint), ("n", "n < 2")), ("word", "n")))


def test_a_name_of_rows_does_not_depend_on_their_files(spark: SparkSession, tmp_path: Path) -> None:
    def name(path: str, *parts: list[tuple[Any, ...]]) -> str:
        known = known_of(written(spark, tmp_path / path, *parts), "day")
        assert known is not None
        return known.version(["n", "x", "at"])

    together = name("together", [*ROWS[0], *ROWS[1]])
    assert name("apart", ROWS[1], ROWS[0]) == together
    assert name("changed", [*ROWS[0], *ROWS[1][:1]], [(DAY, 5, 2.0, "a", DAY, None, None)]) != together


def test_nothing_is_known_of_files_with_deleted_rows_or_without_statistics(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "deleted"
    written(spark, path, [*ROWS[0], *ROWS[1]])
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    DeltaTable.forPath(spark, str(path)).delete("n = 5")
    assert known_of(LogReader(str(path)), "day") is None
    bare = tmp_path / "bare"
    spark.conf.set("spark.databricks.delta.stats.collect", "false")
    try:
        assert known_of(written(spark, bare, ROWS[0]), "day") is None
    finally:
        spark.conf.unset("spark.databricks.delta.stats.collect")
    assert known_of(None, "day") is None


def write_events(tables: Tables, n: int, copies: int = 1, **changed: Any) -> None:
    """`n` rows, of which as many are the same event as `copies` says."""
    rows = [
        {
            "event_id": f"e{event}",
            "event_ts": datetime(2026, 3, 3, event % 24, tzinfo=UTC),
            "profile_id": event,
        }
        for event in (row // copies for row in range(n))
    ]
    fixed = {"event_type": "play_start", "device": "tv", "region": "eu", "watch_ms": 5, "household_id": 1}
    of_day = {"day": DAY, "ingest_day": DAY, "source_file": "f", "attributes": {}}
    names = tables.declared["events"].columns
    full = [
        {**dict.fromkeys(names), **row, "row": n, **fixed, **of_day, **changed} for n, row in enumerate(rows)
    ]
    tables.replace("events", tables.frame("events", full), {"day": [DAY]})


def outcome(tables: Tables) -> list[tuple[Any, ...]]:
    results = check_tables(tables, ["events"], [DAY])[0].results
    return [(r.expectation, r.success, r.observed, r.unexpected_count) for r in results]


@pytest.mark.parametrize("changed", [{}, {"watch_ms": 2**40}])
def test_a_table_is_audited_the_same_whether_its_rows_are_known_or_read(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    write_events(tables, 23, **changed)
    known = outcome(tables)
    assert [name for name, success, *_ in known if not success] == (
        ["watch_ms_at_most_86400000"] if changed else []
    )
    monkeypatch.setattr("jobs.audit_table.known_of", lambda *_: None)
    assert outcome(tables) == known


def test_of_a_large_day_a_sample_of_profiles_is_looked_at(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_LOOKED_AT", 30)
    write_events(tables, 120, copies=2)
    observed = {name: (seen, n) for name, _, seen, n in outcome(tables)}
    words, n = observed["key_unique"]
    assert words == f"{n} duplicate rows of one profile in 4"
    assert 0 < n < 30  # of 60
    assert observed["rows_at_least_floor"][0] == "120 rows, floor 1"
