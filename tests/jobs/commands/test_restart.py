"""`watchlift restart`: what it refuses, what it keeps, and what other commands say after it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.delta_reader import allocations_of
from metrics.bucketing import arm_of, arm_salt, bucket
from metrics.configuration.experiment import Restart
from metrics.configuration.project import load_project
from metrics.enrollment import row_of_restart
from tests.jobs.result_tables import write_configuration, write_srm
from tests.result_rows import srm_check

DAY = date(2026, 3, 6)


@pytest.fixture
def folders(tmp_path: Path) -> str:
    return f"--conf-dir {write_configuration(tmp_path / 'conf')} --data-dir {tmp_path / 'data'}"


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("nothing --valid-from 2026-03-06 --reason x", "error: experiment 'nothing' is not in "),
        (
            "homepage --valid-from 2026-03-02 --reason x",
            "error: --valid-from 2026-03-02 is not after 2026-03-02, on which epoch 0 of 'homepage' begins; "
            "give a later day\n",
        ),
        (
            "homepage --valid-from 2026-03-22 --reason x",
            "error: --valid-from 2026-03-22 is after 2026-03-21, on which 'homepage' ends; register a new experiment\n",
        ),
        ("homepage --valid-from yesterday --reason x", "error: argument --valid-from: "),
        ("homepage --valid-from 2026-03-06", "error: the following arguments are required: --reason"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    asked: str, line: str, folders: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"restart {asked} {folders}".split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_an_empty_reason_is_refused(folders: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["restart", "homepage", "--valid-from", "2026-03-06", "--reason", "  ", *folders.split()]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("error: the reason has 0 characters; give 1 to 500")


def test_after_a_restart_arms_and_the_timeline_are_those_of_the_new_epoch(
    folders: str, tmp_path: Path, text_of: Callable[[str], str]
) -> None:
    write_srm(
        tmp_path / "data",
        [srm_check(triggered=True), srm_check(epoch=1)],
        [row_of_restart("homepage", Restart(1, DAY, "salt reused"))],
    )
    old, new = (arm_salt("homepage", epoch) for epoch in (0, 1))
    for epoch, salt in (("", new), ("--epoch 0", old)):
        number = bucket(salt, 42)
        arm = arm_of(number, {"control": 0.5, "treatment": 0.5})
        assert text_of(f"bucket --experiment homepage {epoch} {folders} 42") == f"42\t{number}\t{arm}\n"
    told = text_of(f"srm homepage {folders}")
    before, after = told.split("RESTARTED as epoch 1 from 2026-03-06: salt reused\n")
    assert "No slice is blocked." in before and "No slice is blocked." in after


@pytest.mark.slow
def test_a_restart_is_kept_once_however_often_it_is_asked_for(
    folders: str, ask: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    opened = ["allocate", "homepage", "--share", "0.2", "--valid-from", "2026-03-02", *folders.split()]
    told = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *opened], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("homepage: 0.2 of layer homepage from 2026-03-02 on\n")
    reason = ["--reason", "the salt  was reused"]
    asked = ["restart", "homepage", "--valid-from", "2026-03-06", *reason, *folders.split()]
    command = [sys.executable, "-m", "jobs.cli", *asked, "--format", "json"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = {
        "experiment_id": "homepage",
        "epoch": 1,
        "valid_from": "2026-03-06",
        "reason": "the salt was reused",
        "arm_salt": "arm:homepage:1",
        "estimated_again": [],
    }
    assert json.loads(first.stdout) == kept
    assert main([*asked, "--format", "json"]) == 0  # no second epoch, and no Spark
    assert json.loads(capsys.readouterr().out) == kept
    units = {
        row["id"]: row
        for row in ask(f"bucket --experiment homepage {folders} {' '.join(map(str, range(50)))}")
    }
    assert units[42]["bucket"] == bucket("arm:homepage:1", 42)
    inside = {unit for unit in units if bucket("layer:homepage", unit) < 2000}
    assert {unit for unit, row in units.items() if row["arm"]} == inside
    project = load_project(Path(folders.split()[1]), Path(folders.split()[3]))
    allocated = [(each.arm_salt, each.layer_buckets) for each in allocations_of(project, "homepage")]
    assert allocated == [("arm:homepage:0", ((0, 2000),)), ("arm:homepage:1", ((0, 2000),))]
    again = ["restart", "homepage", "--valid-from", "2026-03-06", "--reason", "another", *folders.split()]
    assert main(again) == 2
    assert "2026-03-06, on which epoch 1 of 'homepage' begins" in capsys.readouterr().err
