"""An experiment is restarted in the middle: days from then on are of the new epoch alone, those before stay."""

import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from jobs.arguments import Days
from jobs.build_profile_windows import build_windows
from jobs.delta_reader import readout_rows_of
from jobs.epochs import running
from jobs.restatement import stale_days
from jobs.run_experiments import run_experiments
from jobs.tables import Tables
from metrics.configuration.experiment import Restart
from metrics.configuration.project import load_project
from metrics.enrollment import BLOCKED, EnrollmentSlice, row_of_restart
from metrics.errors import InputError
from metrics.readout.build import build_readout
from tests.end_to_end.conftest import ANALYSIS_DAY, CONF

RESTART = Restart(1, date(2026, 3, 8), "the salt was reused")
BEFORE = RESTART.valid_from - timedelta(days=1)
pytestmark = [pytest.mark.spark, pytest.mark.slow]


def windows(tables: Tables, day: date) -> list[dict[str, Any]]:
    rows = (
        tables.read_days("profile_windows", [day], "analysis_day").drop("audited_inputs", "epoch").collect()
    )
    return sorted((row.asDict() for row in rows), key=lambda row: row["profile_id"])


def keep(tables: Tables, rows: Iterable[EnrollmentSlice]) -> None:
    frame = tables.frame("enrollment_status", [asdict(row) for row in rows])
    tables.merge("enrollment_status", frame, {"experiment_id": ["homepage_ranking"]})


def test_only_the_new_epoch_is_analysed_and_decides(small_run: Tables, tmp_path: Path) -> None:
    shutil.copytree(small_run.project.data_dir / "tables", tmp_path / "tables")
    tables = Tables(small_run.spark, load_project(CONF, tmp_path), reason="test")
    experiment = tables.project.experiments[0]
    begun = row_of_restart(experiment.id, RESTART)
    # What the first epoch was blocked for; and a restart without any other run but the next day's own.
    keep(tables, [begun, replace(begun, epoch=0, slice="stratum", slice_value="eu|web", status=BLOCKED)])
    run_experiments(tables, Days(BEFORE, BEFORE))  # and, being stale, the analysis day

    estimates = tables.read("estimates").select("analysis_day", "epoch", "status").distinct().collect()
    assert {(row["analysis_day"], row["epoch"]) for row in estimates} == {(BEFORE, 0), (ANALYSIS_DAY, 1)}
    statuses = {
        day: {row["status"] for row in estimates if row["analysis_day"] == day}
        for day in (BEFORE, ANALYSIS_DAY)
    }
    assert "srm_blocked" in statuses[BEFORE] and "ok" not in statuses[BEFORE]
    assert "srm_blocked" not in statuses[ANALYSIS_DAY] and "ok" in statuses[ANALYSIS_DAY]
    decisions = tables.read("rollout_decisions").where("epoch = 1").collect()
    assert [row["decided_for"].date() for row in decisions] == [ANALYSIS_DAY + timedelta(days=1)]
    checks = tables.read("srm_checks").where("epoch = 1 AND slice = 'all' AND unit = 'profile'").collect()
    exposed = {row["window_kind"]: sum(row["observed"].values()) for row in checks}
    first = tables.read("exposures").groupBy("profile_id").agg(F.min("day").alias("day"))
    assert exposed["cumulative"] == first.where(F.col("day") >= F.lit(RESTART.valid_from)).count()

    # As if the experiment had begun on that day, with those who were never exposed before.
    (again,) = running(tables, ANALYSIS_DAY)
    of_epoch = windows(tables, ANALYSIS_DAY)
    later = first.where(F.col("day") >= F.lit(RESTART.valid_from)).select("profile_id")
    only = tables.read("exposures").join(later, "profile_id").persist()
    days = Days(experiment.start, ANALYSIS_DAY).all
    only.count()
    tables.replace("exposures", only, {"day": days})
    build_windows(tables, replace(experiment, start=RESTART.valid_from), ANALYSIS_DAY)
    assert again.epoch == 1
    assert windows(tables, ANALYSIS_DAY) == of_epoch
    assert 0 < len(of_epoch) < first.count()


def test_a_restart_that_no_run_has_followed_yet_has_no_readout(small_run: Tables, tmp_path: Path) -> None:
    shutil.copytree(small_run.project.data_dir / "tables", tmp_path / "tables")
    tables = Tables(small_run.spark, load_project(CONF, tmp_path), reason="test")
    project, experiment = tables.project, tables.project.experiments[0]
    assert readout_rows_of(project, experiment, ANALYSIS_DAY).estimates
    keep(tables, [row_of_restart(experiment.id, RESTART)])
    rows = readout_rows_of(project, experiment, ANALYSIS_DAY)
    with pytest.raises(InputError, match="has no estimates for 2026-03-15; run jobs/estimate_effects"):
        build_readout(experiment, project.catalogue, ANALYSIS_DAY, rows)


def test_an_epoch_in_which_nobody_was_exposed_yet_has_rows_without_data_and_is_not_stale(
    small_run: Tables, tmp_path: Path
) -> None:
    shutil.copytree(small_run.project.data_dir / "tables", tmp_path / "tables")
    tables = Tables(small_run.spark, load_project(CONF, tmp_path), reason="test")
    nobody = tables.read("exposures").where("false")
    tables.replace("exposures", nobody, {"day": [ANALYSIS_DAY]})
    keep(tables, [row_of_restart("homepage_ranking", replace(RESTART, valid_from=ANALYSIS_DAY))])
    run_experiments(tables, Days(ANALYSIS_DAY, ANALYSIS_DAY))
    rows = tables.read("estimates").select("epoch", "status").distinct().collect()
    assert [(row["epoch"], row["status"]) for row in rows] == [(1, "no_data")]
    (decision,) = tables.read("rollout_decisions").where("epoch = 1").collect()
    assert decision["action"] == "hold"
    assert stale_days(tables) == []
