"""That the benchmarks work, at a small size; never how long anything takes."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks import audits, experiments, layout, rivals, roll_up, settings, whole_day, whole_day_data
from benchmarks.__main__ import main as benchmarks_main
from benchmarks.measuring import Aim, Measured, Size, compared, publish, report, timed
from benchmarks.numpy_estimates import Estimates
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
    data = whole_day_data.whole_day(spark, tmp_path, profiles=1_000, copies=1)
    tables, found = data.restored(0), Estimates()
    with whole_day.script_of(data) as script:
        parts = whole_day.product_parts(tables, data.days), whole_day.script_parts(script, found)
        whole_day.require_same_answers(tables, script, found)
    for each in parts:
        assert tuple(each) == whole_day.PARTS
        assert all(cpu > 0 for cpu, _ in each.values())


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


def test_the_page_reckons_what_a_large_service_takes_from_what_was_measured(tmp_path: Path) -> None:
    part = Measured("of it, roll-up", 36.0, 20.0, "rival", 12.0, 9.0, (3.0,), size=Size(50_000_000, "events"))
    whole = replace(part, what="a whole day", cpu_seconds=90.0)
    bootstrap = replace(
        part, what="10,000 bootstrap replicates", cpu_seconds=30.0, size=Size(1_000_000, "households")
    )
    publish([whole, part], tmp_path / "benchmarks" / "day.json")
    publish([bootstrap], tmp_path / "benchmarks" / "few.json")
    write_pages(tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    # 36 s of 50 million are 0.72 s a million, and 0.4 core-hours of two billion.
    assert "| roll-up | 0.72 | 50,000,000 events | 2,000,000,000 | 0.4 |" in page
    assert "| 10,000 bootstrap replicates | 30.00 | 1,000,000 households | 7,200,000 | 0.1 |" in page
    assert "| **all** | | | | **0.5** |" in page
    assert "a whole day |" not in page.split("## day")[0]


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
