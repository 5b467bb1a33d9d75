"""Real data that nobody here wrote, through the same jobs with configuration alone."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.arguments import Days
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.tables import Tables
from metrics.configuration.project import load_project

CONF = Path(__file__).resolve().parents[2] / "examples" / "playback_runs"
INGESTED = date(2015, 11, 1)
pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_the_stalls_of_12_472_real_runs_are_as_statsmodels_says(
    spark: SparkSession, shared: Path, tmp_path: Path
) -> None:
    data = shared / "datasets" / "playback_runs"
    (tmp_path / "landing").mkdir()
    shutil.copy(data / "runs.csv.gz", tmp_path / "landing")
    tables = Tables(spark, load_project(CONF, tmp_path))
    tables.create()
    run_day(tables, Days(INGESTED, INGESTED))
    run_experiments(tables, Days(INGESTED, INGESTED))
    rows = {
        (r["metric"], r["estimator"]): r for r in tables.read("estimates").where("segment = 'all'").collect()
    }
    expected = json.loads((data / "expected.json").read_text())

    minute, stated = rows["stalls_per_minute", "ratio"], expected["stalls_per_minute"]
    assert minute["status"] == "ok"
    assert minute["control_mean"] == pytest.approx(stated["control"], rel=1e-9)
    assert minute["arm_mean"] == pytest.approx(stated["treatment"], rel=1e-9)
    assert minute["effect"] == pytest.approx(stated["difference"], rel=1e-9)
    assert minute["relative_effect"] == pytest.approx(stated["lift"], rel=1e-9)
    assert minute["std_error"] == pytest.approx(stated["se_cr1"], rel=1e-9)
    assert minute["n_households"] == stated["clusters"]
    assert minute["n_profiles_control"] + minute["n_profiles_arm"] == stated["rows"]

    run, stated = rows["stalls_per_run", "difference_in_means"], expected["stalls_per_run"]
    assert (run["status"], run["vcov"]) == ("ok", "cr2")
    assert run["control_mean"] == pytest.approx(stated["control"], rel=1e-9)
    assert run["effect"] == pytest.approx(stated["difference"], rel=1e-9)
    assert run["std_error"] == pytest.approx(stated["se_cr2"], rel=1e-9)
    assert run["df"] == pytest.approx(stated["df_cr2"], rel=1e-7)
    assert run["p_value"] == pytest.approx(stated["p_cr2"], rel=1e-6)
