from dataclasses import replace
from datetime import date

import pytest

from jobs.arguments import WorkFailed
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


def test_each_commit_says_what_wrote_it(tables: Tables) -> None:
    tables.replace("profile_days", days(tables, (FIRST, 1)), {"day": [FIRST]})
    identifier = tables.project.tables.identifier("profile_days")
    metadata = tables.spark.sql(f"DESCRIBE HISTORY {identifier} LIMIT 1").first()["userMetadata"]  # type: ignore[index]
    assert '"day": ["2026-03-02"]' in metadata
    assert tables.project.conf_hash in metadata


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
