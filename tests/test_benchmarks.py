"""That the benchmarks work, at a small size; never how long anything takes."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks import settings
from benchmarks.measuring import compared, report, timed
from benchmarks.statistics import measure
from metrics.errors import InputError
from scripts.environment import ROOT, Settings
from scripts.errors import RunError
from scripts.progress import Progress
from scripts.submit import submit


def test_work_shorter_than_the_clocks_tick_has_a_ratio() -> None:
    nothing = compared(
        "nothing", lambda: timed(lambda: None), "nothing", lambda: timed(lambda: None), rounds=3
    )
    assert nothing.cpu_seconds > 0
    assert nothing.ratio > 0


@pytest.mark.slow
def test_statistics_are_measured_against_what_runs_beside_them(spark: SparkSession, tmp_path: Path) -> None:
    measured = measure(spark, tmp_path, rows=2_000, rounds=1, replicates=100)
    table = report(measured)
    assert "| 2,000 profile rows to every estimate |" in table
    assert "| 100 bootstrap replicates of " in table
    assert all(each.cpu_seconds > 0 and each.baseline_cpu_seconds > 0 for each in measured)


def test_a_setting_is_left_out_and_nothing_else() -> None:
    text = "# why\nspark.driver.memory  2g\nspark.driver.memoryOverhead  1g\n"
    assert settings.without(text, "spark.driver.memory") == "# why\nspark.driver.memoryOverhead  1g\n"
    with pytest.raises(InputError, match=r"setting 'spark\.memory' is not in the properties file"):
        settings.without(text, "spark.memory")


@pytest.mark.slow
def test_a_run_that_fails_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run_day failed: .*'soon'"):
        submit(Settings(tmp_path), "run_day", ["--day", "soon"], Progress(), ROOT / "conf/spark/local.conf")
