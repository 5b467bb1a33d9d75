"""A metric's definition changes after weeks of data: that metric is computed again, and nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from jobs.arguments import Days
from jobs.restate_metric import restate_metric
from jobs.roll_up_profile_days import roll_up_profile_days
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.errors import InputError
from tests.end_to_end.conftest import ANALYSIS_DAY, CONF, FIRST_DAY

DAYS = Days(FIRST_DAY, ANALYSIS_DAY)
METRIC, MEASURE = "start_failure_rate", "play_failures"
OF_A_RUN = ("computed_at", "audited_inputs", "quality_run_id", "input_version")
pytestmark = [pytest.mark.spark, pytest.mark.slow]


def changed(tables: Tables, folder: Path) -> Tables:
    """The same data in a folder of their own, under a configuration that counts no failure on a television."""
    shutil.copytree(CONF, folder / "conf")
    catalogue = folder / "conf" / "metrics.yml"
    text = catalogue.read_text(encoding="utf-8")
    old, new = (
        "count_if(event_type = 'play_failure')",
        "count_if(event_type = 'play_failure' AND device <> 'tv')",
    )
    assert old in text
    catalogue.write_text(text.replace(old, new), encoding="utf-8")
    shutil.copytree(tables.project.data_dir / "tables", folder / "data" / "tables")
    return Tables(tables.spark, load_project(folder / "conf", folder / "data"), reason="test")


def rows(tables: Tables, name: str, *without: str) -> list[str]:
    return sorted(map(str, tables.read(name).drop(*without).collect()))


def estimates(tables: Tables, of_metric: bool) -> dict[tuple[Any, ...], dict[str, Any]]:
    same = F.col("metric") == METRIC
    found = tables.read("estimates").where(same if of_metric else ~same).drop(*OF_A_RUN).collect()
    return {(r["metric"], r["estimator"], r["segment"], r["segment_value"]): r.asDict() for r in found}


def test_only_the_metric_is_computed_again_and_its_version_is_kept(small_run: Tables, tmp_path: Path) -> None:
    tables = changed(small_run, tmp_path)
    restate_metric(tables, METRIC, DAYS)
    before = rows(small_run, "profile_days", MEASURE)
    assert rows(tables, "profile_days", MEASURE) == before
    assert estimates(tables, of_metric=False) == estimates(small_run, of_metric=False)
    now, then = estimates(tables, of_metric=True), estimates(small_run, of_metric=True)
    assert now.keys() == then.keys()
    everybody = (METRIC, "ratio", "all", "all")
    assert 0 < now[everybody]["control_mean"] < 0.9 * then[everybody]["control_mean"]
    versions = [{r["metric_version"] for r in found.values()} for found in (now, then)]
    assert all(len(each) == 1 for each in versions) and versions[0] != versions[1]
    assert versions[0] == {tables.project.catalogue.version(METRIC)}

    restated = {name: rows(tables, name) for name in ("profile_days", "exposure_day_measures")}
    roll_up_profile_days(tables, DAYS)
    assert {name: rows(tables, name) for name in restated} == restated


def test_what_cannot_be_restated_is_one_line_and_nothing_is_written(
    small_run: Tables, tmp_path: Path
) -> None:
    tables = changed(small_run, tmp_path)
    later = Days(ANALYSIS_DAY, ANALYSIS_DAY.replace(day=ANALYSIS_DAY.day + 1))
    before = rows(tables, "profile_days")
    with pytest.raises(
        InputError, match=r"day 2026-03-16 is not in profile_days; run roll_up_profile_days --day"
    ):
        restate_metric(tables, METRIC, later)
    with pytest.raises(InputError, match=r"metric 'crashes' is not in metrics.yml; known: play_starts_7d, "):
        restate_metric(tables, "crashes", DAYS)
    assert rows(tables, "profile_days") == before
