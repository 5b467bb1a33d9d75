"""That the benchmarks work, at a small size; never how long anything takes."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks.statistics import measure, report


@pytest.mark.slow
def test_statistics_are_measured_against_what_runs_beside_them(spark: SparkSession, tmp_path: Path) -> None:
    measured = measure(spark, tmp_path, rows=2_000, rounds=1, replicates=100)
    table = report(measured)
    assert "| 2,000 profile rows to every estimate |" in table
    assert "| 100 bootstrap replicates of " in table
    assert all(each.cpu_seconds > 0 and each.baseline_cpu_seconds > 0 for each in measured)
