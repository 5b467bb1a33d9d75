"""That the benchmarks work, at a small size; never how long anything takes."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks.statistics import compared, measure, report, timed


def test_work_shorter_than_the_clocks_tick_has_a_ratio() -> None:
    nothing = compared("nothing", lambda: None, "nothing", lambda: timed(lambda: None)[0], rounds=3)
    assert nothing.cpu_seconds > 0
    assert nothing.ratio > 0


@pytest.mark.slow
def test_statistics_are_measured_against_what_runs_beside_them(spark: SparkSession, tmp_path: Path) -> None:
    measured = measure(spark, tmp_path, rows=2_000, rounds=1, replicates=100)
    table = report(measured)
    assert "| 2,000 profile rows to every estimate |" in table
    assert "| 100 bootstrap replicates of " in table
    assert all(each.cpu_seconds > 0 and each.baseline_cpu_seconds > 0 for each in measured)
