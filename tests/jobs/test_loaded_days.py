"""A day whose input did not change is not run again; whatever its rows rest on makes it run again."""

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.audits import jobs_run
from jobs import loaded_days
from jobs.arguments import Days
from jobs.ingest_events import ingest_events
from jobs.loaded_days import changed_days, inputs_of, unless_done
from jobs.roll_up_profile_days import roll_up_days
from jobs.run_day import run_day
from jobs.tables import Tables, Where
from metrics.configuration.project import load_project
from tests.jobs.conftest import CONF, on
from tests.jobs.landing_files import land_events, land_exposures, land_profiles

pytestmark = [pytest.mark.spark, pytest.mark.slow]
FIRST, LAST = "2026-03-01", "2026-03-02"
DAMAGED: dict[str, Any] = {
    "table": "events_quarantine",
    "expectation": "events.playback_files_whole",
    "run_id": "r",
    "severity": "warning",
    "success": False,
    "observed": None,
    "unexpected_count": 1,
    "details": None,
}
BOTH = on(FIRST, LAST)


@pytest.fixture(scope="module")
def ran(spark: SparkSession, empty_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Two days that were run."""
    folder = tmp_path_factory.mktemp("ran")
    shutil.copytree(empty_tables / "tables", folder / "tables")
    tables = Tables(spark, load_project(CONF, folder))
    for day in (FIRST, LAST):
        hour = f"{day}T12:00:00.000Z"
        land_events(folder, day, {"event_id": day, "ts": hour})
        land_exposures(folder, day, {"exposed_at": hour})
        land_profiles(folder, day, {})
    run_day(tables, BOTH)
    return tables


@pytest.fixture
def done(ran: Tables, tmp_path: Path) -> Iterator[Tables]:
    """The same, in tables of the test's own; landing files are shared, and what `land_more` adds is taken away."""
    shutil.copytree(ran.project.data_dir / "tables", tmp_path / "tables")
    places = replace(ran.project.tables, root=str(tmp_path / "tables"))
    yield replace(ran, project=replace(ran.project, tables=places))
    for path in ran.project.data_dir.glob("landing/events/*/hour=13/*"):
        path.unlink()


def land_more(tables: Tables, row: dict[str, Any]) -> Path:
    return land_events(tables.project.data_dir, LAST, row, hour="13")


def due(tables: Tables, days: Days = BOTH) -> Days | None:
    return changed_days(tables, inputs_of(tables, days.all))


def versions(tables: Tables) -> dict[str, int]:
    found = {name: tables.files(name) for name in tables.declared}
    return {name: files.version() for name, files in found.items() if files is not None}


def test_a_second_run_commits_nothing_and_starts_no_job(
    done: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    before, jobs_before = versions(done), jobs_run(done.spark)
    caplog.set_level(logging.INFO, "watchlift")
    run_day(done, BOTH)
    assert jobs_run(done.spark) == jobs_before
    assert versions(done) == before
    assert caplog.messages == [f"{BOTH}: nothing changed since it was done; --again does it all the same"]
    asked: list[Days] = []
    unless_done(done, on(LAST), lambda _, days: asked.append(days), again=True)
    assert asked == [on(LAST)]


def test_what_died_on_its_way_is_done_again_though_its_input_is_as_it_was(done: Tables) -> None:
    """A file came, its run died late, and the file was taken away: the tables hold what it brought."""

    def dies(tables: Tables, days: Days) -> None:
        roll_up_days(tables, days.all)
        raise KeyboardInterrupt

    more = land_more(done, {"event_id": "more"})
    with pytest.raises(KeyboardInterrupt):
        unless_done(done, on(LAST), dies)
    more.unlink()
    assert due(done) == on(LAST)


def test_files_that_came_or_changed_make_their_days_run_again(
    done: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    landing = done.project.data_dir / "landing"
    (exposures,) = landing.glob(f"exposures/ingest_day={FIRST}/*/*")
    (profiles,) = landing.glob(f"profiles/ingest_day={LAST}/*")
    for path, expected in ((exposures, on(FIRST)), (profiles, on(LAST))):
        since = path.stat().st_mtime_ns
        os.utime(path, ns=(since + 10**9, since + 10**9))
        assert due(done) == expected
        os.utime(path, ns=(since, since))
    assert due(done) is None
    assert due(done, on(FIRST, "2026-03-03")) == on("2026-03-03")
    hour = f"{LAST}T13:00:00.000Z"
    land_more(done, {"event_id": "more", "ts": hour})
    assert due(done) == on(LAST)
    caplog.set_level(logging.INFO, "watchlift.loaded_days")
    run_day(done, BOTH)
    told = [each.getMessage() for each in caplog.records if each.name == "watchlift.loaded_days"]
    assert told == [f"{BOTH}: {on(LAST)} alone, the rest was done and did not change"]
    assert {row["event_id"] for row in done.read("events").collect()} == {FIRST, LAST, "more"}
    assert due(done) is None


def test_configuration_code_and_epochs_make_all_days_run_again(
    done: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(done, project=replace(done.project, conf_hash="other"))
    assert due(other) == BOTH
    with monkeypatch.context() as changed:
        changed.setattr(loaded_days, "_CODE", "other")
        assert due(done) == BOTH
    assert due(done) is None
    experiment = "homepage_ranking"
    status = {"experiment_id": experiment, "epoch": 2, "slice": "restart", "slice_value": "2026-03-04"}
    status |= {"status": "open", "reason": "srm", "since": datetime(2026, 3, 3, tzinfo=UTC), "run": "r"}
    done.replace_rows("enrollment_status", [status], {"experiment_id": [experiment]})
    assert due(done) == BOTH


WRITTEN = ("events", "exposures", "profile_days", "exposure_day_measures", "data_quality_results")


@pytest.mark.parametrize("name", WRITTEN)
def test_whatever_others_write_or_take_away_makes_its_days_run_again(done: Tables, name: str) -> None:
    done.delete(name, f"day = DATE'{LAST}'")
    assert due(done) == on(LAST)


def test_other_profiles_make_all_days_run_again(done: Tables) -> None:
    done.overwrite("profiles", done.read("profiles"))
    assert due(done) is None
    later = F.lit(date(2026, 3, 3))
    done.overwrite("profiles", done.read("profiles").withColumn("snapshot_day", later))
    assert due(done) == BOTH


def test_audits_of_other_steps_change_nothing(done: Tables) -> None:
    columns = tuple(done.declared["data_quality_results"].columns)
    where: Where = {"table": ["exposures"], "day": [date.fromisoformat(LAST)]}
    rows = [
        {**row, "table": "profile_windows"} for row in done.few_rows("data_quality_results", where, columns)
    ]
    assert rows
    done.replace_rows("data_quality_results", rows, {**where, "table": ["profile_windows"]})
    assert due(done) is None


def test_a_day_of_which_a_damaged_file_was_left_out_runs_again(done: Tables) -> None:
    def audits(tables: Tables, days: Days) -> None:
        rows = [{**DAMAGED, "day": day} for day in days.all]
        tables.replace_rows("data_quality_results", rows, {"table": [DAMAGED["table"]], "day": days.all})

    unless_done(done, on(LAST), audits, again=True)
    assert due(done) == on(LAST)


def test_sources_that_tell_no_day_and_tables_in_a_catalogue_are_always_run(done: Tables) -> None:
    sources = done.project.sources
    dayless = replace(sources, profiles=(replace(sources.profiles[0], path="profiles.json"),))
    places = replace(done.project.tables, root=None)
    for project in (replace(done.project, sources=dayless), replace(done.project, tables=places)):
        work = Mock()
        unless_done(replace(done, project=project), BOTH, work)
        work.assert_called_once()


def test_days_that_wait_to_be_rolled_up_make_all_run_again(done: Tables) -> None:
    ingest_events(done, on(LAST))
    assert due(done, on(FIRST)) == on(FIRST)
