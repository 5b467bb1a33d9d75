"""The fault harness at a small size: it finds what is wrong, and nothing is wrong after drivers were killed."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from jobs.tables import Tables
from metrics.configuration.project import load_project
from scripts.environment import ROOT
from scripts.faults.comparison import Difference, difference
from scripts.faults.jobs import JOBS

KILLED = ("run_experiments", "run_day", "monitor_hour")  # the longest first: two are killed at a time
KILLS = 2
NAMES = ("exposures", "profiles")


def written(spark: SparkSession, folder: Path, exposures: Sequence[int], profiles: Sequence[int]) -> Tables:
    for name, ids in zip(NAMES, (exposures, profiles), strict=True):
        rows: list[dict[str, Any]] = [{"profile_id": each, "country": "NL"} for each in ids]
        write_deltalake(str(folder / "tables" / name), pa.Table.from_pylist(rows))
    return Tables(spark, load_project(ROOT / "conf", folder))


@pytest.mark.spark
def test_a_lost_and_a_doubled_row_are_found(spark: SparkSession, tmp_path: Path) -> None:
    clean = written(spark, tmp_path / "clean", [1, 2, 2], [1, 2, 3])
    same = written(spark, tmp_path / "same", [2, 1, 2], [3, 2, 1])
    assert not difference(same, clean, NAMES)
    found = written(spark, tmp_path / "found", [1], [1, 2, 3, 3])
    assert difference(found, clean, NAMES) == Difference(lost={"exposures": 2}, doubled={"profiles": 1})


@pytest.mark.spark
def test_of_looks_a_superseded_version_may_stay_but_none_twice(spark: SparkSession, tmp_path: Path) -> None:
    def looks(name: str, *versions: str) -> Tables:
        for table, rows in (("estimates", ["in-2"]), ("looks", versions)):
            content = pa.table({"input_version": pa.array(rows, pa.string())})
            write_deltalake(str(tmp_path / name / "tables" / table), content)
        return Tables(spark, load_project(ROOT / "conf", tmp_path / name))

    clean = looks("clean", "in-2-a")
    assert not difference(looks("again", "in-1-a", "in-2-a"), clean, ["looks"])
    twice = difference(looks("twice", "in-2-a", "in-2-a"), clean, ["looks"])
    assert twice == Difference(lost={}, doubled={"looks": 1})
    assert difference(looks("lost", "in-1-a"), clean, ["looks"]) == Difference(lost={"looks": 1}, doubled={})


def test_every_job_that_writes_to_tables_is_killed() -> None:
    """Others make empty tables, landing files or pages, or only read; `cli` writes a row or two, by people's hands."""
    others = {"create_tables", "simulate_service", "render_readout", "list_alerts", "cli"}
    found = {path.stem for path in (ROOT / "jobs").glob("*.py") if "\ndef main(" in path.read_text()}
    assert found - others == set(JOBS)


@pytest.mark.slow
def test_drivers_killed_at_random_moments_leave_the_tables_as_they_should_be(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.faults", "--only", *(f"kill_{job}" for job in KILLED)]
    done = subprocess.run(
        [*command, "--kills", str(KILLS), "--profiles", "60", "--work-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    for job in KILLED:
        row = rf"SIGKILL of the driver, {job}: [1-9] kills, \d after its end \| {KILLS + 1} \| 0 \| 0 \| –"
        assert re.search(row, done.stdout), done.stdout
