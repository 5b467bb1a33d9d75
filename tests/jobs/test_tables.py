import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from jobs.arguments import Conflict, WorkFailed, run
from jobs.tables import Tables
from metrics.errors import InputError

COLUMNS = "day DATE, profile_id BIGINT, household_id BIGINT"
FIRST, SECOND = date(2026, 3, 2), date(2026, 3, 3)


def days(tables: Tables, *rows: tuple[date | None, int | None]):  # type: ignore[no-untyped-def]
    frame = tables.spark.createDataFrame([(day, profile, 1) for day, profile in rows], COLUMNS)
    measures = tables.project.catalogue.measures
    return frame.selectExpr("*", *(f"1.0D AS {name}" for name in measures))


def held(tables: Tables) -> list[tuple[date, int]]:
    return sorted((row["day"], row["profile_id"]) for row in tables.read("profile_days").collect())


def test_replacing_a_day_leaves_the_others_and_an_empty_frame_clears_it(tables: Tables) -> None:
    tables.replace("profile_days", days(tables, (FIRST, 1), (SECOND, 2)), {"day": [FIRST, SECOND]})
    tables.replace("profile_days", days(tables, (SECOND, 3)), {"day": [SECOND]})
    assert held(tables) == [(FIRST, 1), (SECOND, 3)]
    tables.replace("profile_days", days(tables), {"day": [SECOND]})
    assert held(tables) == [(FIRST, 1)]


def test_a_row_outside_the_replaced_days_is_refused_and_nothing_is_written(tables: Tables) -> None:
    tables.replace("profile_days", days(tables, (FIRST, 1)), {"day": [FIRST]})
    with pytest.raises(WorkFailed, match="table profile_days: write refused"):
        tables.replace("profile_days", days(tables, (SECOND, 2)), {"day": [FIRST]})
    assert held(tables) == [(FIRST, 1)]


def test_a_broken_rule_names_its_true_cause(tables: Tables) -> None:
    with pytest.raises(WorkFailed, match=r"NOT_NULL|NOT NULL") as caught:
        tables.replace("profile_days", days(tables, (FIRST, None)), {"day": [FIRST]})
    assert "\n" not in str(caught.value)


def test_a_conflict_is_one_line_and_no_verdict(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    tables.replace("profile_days", days(tables, (FIRST, 1)), {"day": [FIRST]})

    def quick() -> None:
        while not tables.spark.sparkContext.statusTracker().getActiveJobsIds():
            time.sleep(0.05)  # the slow one has begun once it computes its rows
        other = tables.in_own_session()
        other.replace("profile_days", days(other, (FIRST, 2)), {"day": [FIRST]})

    def slow(_: object) -> None:
        """Begins, and is overtaken while it computes its rows."""
        waited = F.expr("java_method('java.lang.Thread', 'sleep', 8000L)").isNull()
        rows = days(tables, (FIRST, 3)).where(F.col("profile_id") > F.when(waited, 0).otherwise(1))
        with ThreadPoolExecutor() as pool:
            beside = pool.submit(quick)
            tables.replace("profile_days", rows, {"day": [FIRST]})
            beside.result()

    assert run(slow, []) == 1
    assert capsys.readouterr().err == (
        "conflict: table profile_days: another job wrote to it at the same time; run this one again when that has "
        "ended\n"
    )
    assert held(tables) == [(FIRST, 2)]


def test_a_refused_write_names_the_rule_and_no_value_of_the_row(tables: Tables) -> None:
    identifier = tables.project.tables.identifier("profile_days")
    tables.spark.sql(f"ALTER TABLE {identifier} ADD CONSTRAINT known CHECK (profile_id < 1000)")
    with pytest.raises(WorkFailed) as caught:
        tables.replace("profile_days", days(tables, (FIRST, 77_123)), {"day": [FIRST]})
    assert "CHECK constraint known (profile_id < 1000) violated by row; mend" in str(caught.value)
    assert "77123" not in str(caught.value)
    # Executors log the values of the columns that a broken constraint reads.
    rules = " ".join(rule for table in tables.declared.values() for rule in table.checks.values())
    assert not any(name in rules for name in ("profile_id", "household_id", "session_id"))


def test_of_no_values_there_are_no_rows(tables: Tables) -> None:
    assert tables.few_rows("estimates", {"experiment_id": []}, ("epoch",)) == []


def test_each_commit_says_what_wrote_it_and_why(tables: Tables) -> None:
    backfill = replace(tables, reason="clocks were wrong").in_own_session()
    backfill.replace("profile_days", days(tables, (FIRST, 1)), {"day": [FIRST]})
    identifier = tables.project.tables.identifier("profile_days")
    metadata = tables.spark.sql(f"DESCRIBE HISTORY {identifier} LIMIT 1").first()["userMetadata"]  # type: ignore[index]
    assert '"day": ["2026-03-02"]' in metadata
    assert tables.project.conf_hash in metadata
    assert '"reason": "clocks were wrong"' in metadata


def test_rows_of_python_are_written_as_a_frame_would_be(tables: Tables) -> None:
    def check(hour: int, slice_value: str = "it's", kind: str = "hour") -> dict[str, object]:
        row = {**dict.fromkeys(tables.declared["srm_checks"].columns), "experiment_id": "x", "epoch": 0}
        row |= {
            "window_end": datetime(2026, 3, 2, hour, tzinfo=UTC),
            "window_end_day": FIRST,
            "unit": "profile",
        }
        return row | {
            "window_kind": kind,
            "slice": "all",
            "slice_value": slice_value,
            "observed": {"a": hour},
        }

    def where(hour: int) -> dict[str, list[object]]:
        of_day: dict[str, list[object]] = {"experiment_id": ["x"], "window_end_day": [FIRST]}
        return {**of_day, "window_end": [datetime(2026, 3, 2, hour, tzinfo=UTC)], "window_kind": ["hour"]}

    def kept() -> list[tuple[object, ...]]:
        rows = (
            tables.read("srm_checks").selectExpr("hour(window_end)", "slice_value", "observed['a']").collect()
        )
        return sorted(tuple(row) for row in rows)

    tables.replace_rows("srm_checks", [check(1), check(1, "b")], where(1), {"said": "so"})
    tables.replace_rows("srm_checks", [check(2)], where(2))
    tables.replace_rows("srm_checks", [check(1)], where(1))
    assert kept() == [(1, "it's", 1), (2, "it's", 2)]
    with pytest.raises(WorkFailed, match=r"table srm_checks: write refused: ") as caught:
        tables.replace_rows("srm_checks", [check(2), check(2, "c", kind="day")], where(2))
    assert "\n" not in str(caught.value)
    with pytest.raises(WorkFailed, match=r"table srm_checks: write refused: "):
        tables.replace_rows("srm_checks", [{**check(2), "slice": None}], where(2))
    assert kept() == [(1, "it's", 1), (2, "it's", 2)]
    tables.replace_rows("srm_checks", [], where(1))
    tables.replace_rows("srm_checks", [], {**where(2), "window_kind": []})
    assert kept() == [(2, "it's", 2)]
    assert tables.last_note("srm_checks", "said")[1]["said"] == "so"
    identifier = tables.project.tables.identifier("srm_checks")
    newest = tables.spark.sql(f"DESCRIBE HISTORY {identifier} LIMIT 1").first()
    assert newest is not None and tables.project.conf_hash in newest["userMetadata"]


def test_a_table_with_features_of_others_is_written_by_spark(tables: Tables) -> None:
    identifier = tables.project.tables.identifier("rollout_decisions")
    tables.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    tables.insert_rows("rollout_decisions", [decision(tables, "x")], {"experiment_id": ["x"]})
    tables.insert_rows("rollout_decisions", [decision(tables, "x")], {"experiment_id": ["x"]})
    assert tables.read("rollout_decisions").count() == 1
    tables.replace_rows("rollout_decisions", [], {"experiment_id": ["x"]})
    assert tables.read("rollout_decisions").isEmpty()


def decision(tables: Tables, experiment: str, refused: str | None = None) -> dict[str, object]:
    row = {
        **dict.fromkeys(tables.declared["rollout_decisions"].columns),
        "experiment_id": experiment,
        "epoch": 0,
    }
    decided_for = datetime(2026, 3, 3, tzinfo=UTC)
    return row | {"input_version": "v", "decided_for": decided_for, "refused": refused, "reasons": ("so",)}


def test_rows_are_inserted_once_by_however_many_at_once(tables: Tables) -> None:
    """Two of three insert the same row, and all share their partition."""

    def insert(n: int) -> None:
        row = {**decision(tables, "x"), "input_version": f"v{n // 2}"}
        tables.insert_rows("rollout_decisions", [row], {"experiment_id": ["x"]})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(insert, range(12)))
    rows = tables.few_rows("rollout_decisions", {"experiment_id": ["x"]}, ["input_version"])
    assert sorted(row["input_version"] for row in rows) == [f"v{n}" for n in range(6)]
    for said in ("no room", "another reason"):
        row = {**decision(tables, "x", said), "input_version": "v1"}
        tables.insert_rows("rollout_decisions", [row], {"experiment_id": ["x"]}, fill=("refused",))
    rows = tables.few_rows("rollout_decisions", {"experiment_id": ["x"]}, ["input_version", "refused"])
    assert {row["input_version"]: row["refused"] for row in rows if row["refused"]} == {"v1": "no room"}
    assert len(rows) == 6


def test_who_replaces_what_another_replaced_meanwhile_is_told(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"experiment_id": ["x"]}
    tables.replace_rows("rollout_decisions", [decision(tables, "x", "first")], where)
    opened = tables.files("rollout_decisions")
    tables.replace_rows("rollout_decisions", [decision(tables, "x", "second")], where)
    monkeypatch.setattr(Tables, "files", lambda *_: opened)
    with pytest.raises(
        Conflict, match="table rollout_decisions: another job wrote to it at the same time; run this"
    ):
        tables.replace_rows("rollout_decisions", [decision(tables, "x", "late")], where)
    monkeypatch.undo()
    assert tables.few_rows("rollout_decisions", where, ["refused"]) == [{"refused": "second"}]


def test_a_column_that_this_release_does_not_know_stays(tables: Tables) -> None:
    identifier, where = tables.project.tables.identifier("rollout_decisions"), {"experiment_id": ["x"]}
    tables.spark.sql(f"ALTER TABLE {identifier} ADD COLUMNS (later STRING)")
    tables.replace_rows("rollout_decisions", [decision(tables, "x")], where)
    tables.spark.sql(f"UPDATE {identifier} SET later = 'kept'")
    tables.insert_rows("rollout_decisions", [{**decision(tables, "x"), "input_version": "w"}], where)
    rows = tables.few_rows("rollout_decisions", where, ["input_version", "later"])
    assert {row["input_version"]: row["later"] for row in rows} == {"v": "kept", "w": None}


def test_rows_of_python_become_a_frame_of_the_declared_types(tables: Tables) -> None:
    utc, elsewhere = datetime(2026, 3, 2, 12, tzinfo=UTC), timezone(timedelta(hours=2))
    row = {**dict.fromkeys(tables.declared["srm_checks"].columns), "experiment_id": "x", "df": 1}
    row |= {"window_end": utc.astimezone(elsewhere), "window_end_day": FIRST, "triggered": False}
    row |= {"observed": {"a": 3}, "expected": {"a": 2.5}, "p_value": np.float64(0.5), "log_e_value": math.nan}
    (kept,) = tables.frame("srm_checks", [row]).selectExpr("*", "unix_seconds(window_end) AS at").collect()
    assert kept["at"] == utc.timestamp()
    assert (kept["observed"], kept["expected"], kept["df"], kept["p_value"]) == (
        {"a": 3},
        {"a": 2.5},
        1.0,
        0.5,
    )
    assert math.isnan(kept["log_e_value"])
    assert kept["chi_square"] is None
    assert kept["window_end_day"] == FIRST
    cell = {**dict.fromkeys(tables.declared["moments"].columns), "arms": ("a", "b"), "payload": b"12"}
    (kept,) = tables.frame("moments", [cell]).collect()
    assert (kept["arms"], kept["columns"], bytes(kept["payload"])) == (["a", "b"], None, b"12")
    assert tables.frame("moments", []).collect() == []


@pytest.mark.parametrize(
    ("column", "value"), [("n_households", 1.5), ("arms", "control"), ("epoch", "1"), ("segment", 1)]
)
def test_a_value_of_another_type_is_refused_not_bent(tables: Tables, column: str, value: object) -> None:
    row = {**dict.fromkeys(tables.declared["moments"].columns), column: value}
    with pytest.raises(pa.ArrowException):
        tables.frame("moments", [row])


def test_a_row_without_a_declared_column_is_refused(tables: Tables) -> None:
    columns = [name for name in tables.declared["moments"].columns if name != "payload"]
    with pytest.raises(KeyError, match="payload"):
        tables.frame("moments", [dict.fromkeys(columns)])


def test_tables_are_partitioned_as_declared_and_creating_twice_changes_nothing(tables: Tables) -> None:
    tables.create()
    for name, table in tables.declared.items():
        detail = tables.spark.sql(f"DESCRIBE DETAIL {tables.project.tables.identifier(name)}").first()
        assert detail is not None
        assert tuple(detail["partitionColumns"]) == table.partitioned_by
        assert tables.read(name).columns == list(table.columns)


def test_a_new_measure_becomes_a_column_and_old_rows_do_not_know_it(tables: Tables) -> None:
    tables.replace("profile_days", days(tables, (FIRST, 1)), {"day": [FIRST]})
    identifier = tables.project.tables.identifier("profile_days")
    tables.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    tables.spark.sql(f"ALTER TABLE {identifier} DROP COLUMN crashes")
    tables.create()
    row = tables.read("profile_days").first()
    assert row is not None and row["crashes"] is None and row["sessions"] == 1.0


def test_a_measure_that_becomes_another_kind_is_refused_before_anything_runs(tables: Tables) -> None:
    measures = dict(tables.project.catalogue.measures)
    measures["crashes"] = replace(measures["crashes"], kind="histogram", sql="latency_ms")
    catalogue = replace(tables.project.catalogue, measures=measures)
    changed = Tables(tables.spark, replace(tables.project, catalogue=catalogue))
    with pytest.raises(
        InputError, match=r"column crashes is double, and array.* is declared; give the measure"
    ):
        changed.create()
