"""That the benchmarks work, at a small size; never how long anything takes."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks import audits, costs, experiments, layout, rivals, roll_up, settings, whole_day
from benchmarks.__main__ import main as benchmarks_main
from benchmarks.measuring import Aim, Measured, Size, compared, publish, report, timed
from benchmarks.pages import write_pages
from benchmarks.service import one_day
from benchmarks.statistics import measure
from metrics.errors import InputError
from scripts.environment import ROOT, Settings
from scripts.errors import RunError
from scripts.progress import Progress
from scripts.submit import submit

PROFILES = 200


@pytest.fixture(scope="module")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For benchmarks that begin with the same day of so many profiles."""
    return tmp_path_factory.mktemp("one_day")


def test_work_shorter_than_the_clocks_tick_has_a_ratio() -> None:
    nothing = compared(
        "nothing", lambda: timed(lambda: None), "nothing", lambda: timed(lambda: None), rounds=3
    )
    assert nothing.cpu_seconds > 0
    assert nothing.ratio > 0


@pytest.mark.slow
def test_statistics_are_measured_against_what_runs_beside_them(spark: SparkSession, tmp_path: Path) -> None:
    measured = measure(spark, tmp_path, rows=2_000, rounds=0, replicates=100)
    table = report(measured)
    assert "| 2,000 profile rows to every estimate |" in table
    assert "| 100 bootstrap replicates of " in table
    assert all(each.cpu_seconds > 0 and each.baseline_cpu_seconds > 0 for each in measured)


@pytest.mark.slow
def test_other_packages_find_the_same_effects_and_errors(spark: SparkSession, tmp_path: Path) -> None:
    measured = rivals.measure(spark, tmp_path, rows=2_000, rounds=0)
    assert [each.baseline for each in measured] == ["tea-tasting on Spark", "pyfixest, in its own memory"]
    same = {("plays", "ratio"): (0.1, 0.2)}
    rivals.require_same(same, {("plays", "ratio"): (0.1, 0.2001)}, ratio_errors=1e-3)
    for other in ({("plays", "ratio"): (0.1, 0.2001)}, {("plays", "ratio"): (0.1001, 0.2)}, {}):
        with pytest.raises(AssertionError, match="plays ratio: effect and error are"):
            rivals.require_same(same, other)


@pytest.mark.slow
def test_the_roll_up_makes_what_duckdb_makes_of_the_same_files(spark: SparkSession, one_folder: Path) -> None:
    beside_duckdb, growth = roll_up.measure(spark, one_folder, PROFILES, copies=[1, 2], rounds=0)
    assert beside_duckdb.baseline == "DuckDB, the same files"
    assert growth.aims == ()  # far too small for them
    with pytest.raises(AssertionError, match="profile_days: rows and sums are"):
        roll_up.require_same("profile_days", (3, 1.0), (3, 1.1))


@pytest.mark.slow
def test_rows_by_profile_are_those_by_event(spark: SparkSession, one_folder: Path) -> None:
    measured = layout.measure(spark, one_folder, PROFILES, copies=1, rounds=0)
    assert [each.baseline for each in measured] == ["rows by event"] * 3
    tables, _ = one_day(spark, one_folder, PROFILES, 1)
    events = tables.read("events")
    with pytest.raises(AssertionError, match="the rows are"):
        layout.require_same_rows(events, events.limit(1))


@pytest.mark.slow
def test_audits_are_measured_beside_the_roll_up(spark: SparkSession, one_folder: Path) -> None:
    whole, *each = audits.measure(spark, one_folder, PROFILES, copies=1, rounds=0)
    assert whole.baseline == "the roll-up"
    assert [one.what.split(", ")[0] for one in each] == [
        f"audit of {name}" for name in (*audits.BEFORE, *audits.AFTER)
    ]


@pytest.mark.slow
def test_many_experiments_are_measured_against_one(spark: SparkSession, tmp_path: Path) -> None:
    measured = experiments.measure(spark, tmp_path, profiles=400, experiments=2, rounds=0)
    assert measured.what == "2 experiments, 400 profiles"


@pytest.mark.slow
def test_a_whole_day_ends_with_the_numbers_of_a_script(spark: SparkSession, tmp_path: Path) -> None:
    whole, *stages = whole_day.measure(spark, tmp_path, profiles=1_000, copies=1, rounds=0)
    assert [each.what for each in stages] == [f"{costs.STAGE}{name}" for name in whole_day.PARTS]
    assert all(each.cpu_seconds > 0 and each.baseline_cpu_seconds > 0 for each in stages)
    assert {each.size for each in stages[:-1]} == {whole.size}
    # A third of 1,000 profiles have been exposed by then.
    assert stages[-1].size is not None
    assert stages[-1].size.things == "profiles"
    assert 200 < stages[-1].size.number < 500


def test_an_estimate_that_is_another_is_no_answer() -> None:
    key = ("plays", "cuped", "all", "all")
    row = {**dict(zip(("metric", "estimator", "segment", "segment_value"), key, strict=True)), "vcov": "cr1s"}
    ours = [{**row, "effect": 0.1, "std_error": 0.2}]
    whole_day.require_same_estimates(ours, {key: (0.1 + 1e-12, 0.2)})
    for effect, error in ((0.1 + 1e-8, 0.2), (0.1, 0.2 + 1e-8)):
        with pytest.raises(AssertionError, match="plays cuped all all: effect and error are"):
            whole_day.require_same_estimates(ours, {key: (effect, error)})
    with pytest.raises(AssertionError, match=r"cuped all all: .* and \(nan, nan\) beside it"):
        whole_day.require_same_estimates(ours, {})
    with pytest.raises(AssertionError, match="none to compare"):
        whole_day.require_same_estimates([{**ours[0], "vcov": "cr2"}], {})


def test_the_page_shows_each_figure_with_its_aim_and_whether_it_is_reached(tmp_path: Path) -> None:
    slow = Measured("work", 3.0, 2.0, "rival", 1.0, None, (2.5, 3.0, 3.5), (Aim("P1", "ratio", 2.2),))
    publish(
        [slow, replace(slow, aims=(Aim("P6", "wall_seconds", 10),))], tmp_path / "benchmarks" / "named.json"
    )
    write_pages(tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert (
        "| work | 3.0 | – | 2.0 | rival | 1.0 | – | **3.00** (2.50 to 3.50) | P1: ratio ≤ 2.2, **missed** |"
        in page
    )
    assert "P6: wall s ≤ 10, reached" in page
    assert str(tmp_path) not in page
    assert (tmp_path / "benchmarks.png").stat().st_size > 1_000


def test_the_page_reckons_what_a_large_service_takes_from_the_stages_of_a_day(tmp_path: Path) -> None:
    events, profiles = Size(50_000_000, "events"), Size(1_000_000, "profiles")
    whole = Measured("a whole day", 180.0, 90.0, "rival", 60.0, 50.0, (3.0,), size=events)
    roll_up = replace(whole, what=f"{costs.STAGE}roll-up", cpu_seconds=36.0)
    experiments = replace(whole, what=f"{costs.STAGE}experiments", cpu_seconds=60.0, size=profiles)
    publish([whole, roll_up, experiments], tmp_path / "benchmarks" / "whole_day.json")
    write_pages(tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    # 36 s of 50 million are 0.72 s a million: 1,440 s of two billion, and 720 s of 12 million profiles.
    assert "| roll-up | 0.72 | 50,000,000 events | 2,000,000,000 | 0.40 |" in page
    assert "| experiments | 60.00 | 1,000,000 profiles | 12,000,000 | 0.20 |" in page
    assert "| **all** | | | | **0.60** |" in page
    # 36 minutes of a core that is always busy.
    assert "So a day takes 32 cores 2 minutes, 64 cores 1 minutes, 128 cores 0 minutes." in page
    assert costs.costs([whole]) == ""


def test_a_benchmark_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks_main(["soon"]) == 2
    assert capsys.readouterr().err == (
        "error: no benchmark 'soon'; choose among roll_up, audits, layout, statistics, rivals, starts, experiments, "
        "whole_day, backfill\n"
    )


def test_a_setting_is_left_out_and_nothing_else() -> None:
    text = "# why\nspark.driver.memory  2g\nspark.driver.memoryOverhead  1g\n"
    assert settings.without(text, "spark.driver.memory") == "# why\nspark.driver.memoryOverhead  1g\n"
    with pytest.raises(InputError, match=r"setting 'spark\.memory' is not in the properties file"):
        settings.without(text, "spark.memory")


@pytest.mark.slow
def test_a_run_that_fails_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run_day failed: .*'soon'"):
        submit(Settings(tmp_path), "run_day", ["--day", "soon"], Progress(), ROOT / "conf/spark/laptop.conf")
