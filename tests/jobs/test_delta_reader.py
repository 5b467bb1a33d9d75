"""The tables as Spark writes them, read without Spark."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.delta_reader import analysis_days, count_rows, latest_day, read_truth, readout_rows_of
from jobs.tables import Tables
from metrics.configuration.project import TableLocation, load_project
from metrics.enrollment import EnrollmentSlice
from metrics.errors import InputError
from tests.result_rows import DAY, crash_rate, estimate, quality, srm_check

ID = {"experiment_id": "homepage_ranking"}


def write(tables: Tables, name: str, rows: list[dict[str, Any]], **extra: Any) -> None:
    table = tables.declared[name]
    known = [{column: {**row, **extra}.get(column) for column in table.columns} for row in rows]
    schema = ", ".join(f"`{column}` {kind}" for column, kind in table.columns.items())
    frame = tables.spark.createDataFrame(known, schema)
    tables.replace(name, frame, {c: sorted({row[c] for row in known}) for c in table.partitioned_by})


def test_reads_what_spark_wrote(tables: Tables) -> None:
    other_day = DAY - timedelta(days=1)
    write(tables, "estimates", [estimate(), crash_rate(), estimate(analysis_day=other_day)], **ID)
    write(tables, "srm_checks", [srm_check(), srm_check(window_kind="hour")], **ID, window_end_day=DAY)
    write(tables, "data_quality_results", [quality(), quality(day=DAY + timedelta(days=1))])
    windows = [{"profile_id": n, "arm": "control" if n < 3 else "treatment"} for n in range(5)]
    write(tables, "profile_windows", windows, **ID, analysis_day=DAY, epoch=0)

    tv = EnrollmentSlice(ID["experiment_id"], 0, "device", "tv", "blocked", "x", srm_check()["window_end"])
    write(tables, "enrollment_status", [asdict(tv), asdict(tv) | {"experiment_id": "another"}])

    project = tables.project
    rows = readout_rows_of(project, project.experiment("homepage_ranking"), DAY)
    assert sorted(row.metric for row in rows.estimates) == ["crash_rate", "play_starts_7d"]
    assert next(row for row in rows.estimates if row.metric == "play_starts_7d").effect == 0.5
    assert [check.observed for check in rows.srm_checks] == [{"control": 10010, "treatment": 9990}]
    assert rows.enrollment == (tv,)
    assert [result.day for result in rows.quality] == [quality()["day"]]
    assert (rows.population, rows.analysed) == (None, {"control": 3, "treatment": 2})
    assert analysis_days(project, "homepage_ranking") == [other_day, DAY]
    assert analysis_days(project, "another") == []


def test_the_last_day_is_one_that_still_has_rows(tables: Tables) -> None:
    location = tables.project.tables
    assert latest_day(location, "data_quality_results") is None
    tables.create()
    assert latest_day(location, "data_quality_results") is None
    next_day = quality()["day"] + timedelta(days=1)
    write(tables, "data_quality_results", [quality(), quality(day=next_day)])
    assert latest_day(location, "data_quality_results") == next_day
    tables.delete("data_quality_results", f"day = DATE'{next_day}'")
    assert latest_day(location, "data_quality_results") == quality()["day"]


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    project = load_project(Path(__file__).resolve().parents[2] / "conf", tmp_path)
    rows = readout_rows_of(project, project.experiments[0], DAY)
    assert (rows.estimates, rows.population, rows.analysed, rows.truth) == ((), None, None, ())


def test_a_catalogue_needs_spark() -> None:
    with pytest.raises(InputError, match=r"catalogue main\.metrics cannot be read without Spark"):
        count_rows(TableLocation(None, "main.metrics"), "estimates")


def test_a_broken_truth_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "x.json").write_text("[{")
    with pytest.raises(InputError, match="is not JSON"):
        read_truth(tmp_path, "x")
