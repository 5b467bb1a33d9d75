"""`watchlift allocate`: what it refuses before anything is written, an override without a reason above all."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import pytest

from metrics.assignment import allocate
from metrics.configuration.project import load_project
from metrics.enrollment import start_of
from tests.jobs.result_tables import write_configuration, write_rows
from tests.result_rows import EXPERIMENT

START = date(2026, 3, 2)


@pytest.fixture
def folders(tmp_path: Path) -> str:
    return f"--conf-dir {write_configuration(tmp_path / 'conf')} --data-dir {tmp_path / 'data'}"


def open_from(tmp_path: Path, day: date) -> None:
    (experiment,) = load_project(tmp_path / "conf", tmp_path / "data").experiments
    opened = asdict(allocate(experiment, 0.05, start_of(day)))
    write_rows(tmp_path / "data", "allocations", [opened], ["experiment_id"])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("nothing --valid-from 2026-03-02", "experiment 'nothing' is not in "),
        ("homepage", "the following arguments are required: --valid-from"),
        ("homepage --valid-from 2026-02-30", "day '2026-02-30' is not a date"),
        (
            "homepage --valid-from 2026-03-02 --share 0.6",
            "--share is 0.6; give 0, or 0.0001 to 0.5, the last of its rollout.stages",
        ),
        ("homepage --valid-from 2026-03-02 --share -0.1", "--share is -0.1; give 0, or 0.0001 to 0.5"),
        ("homepage --valid-from 2026-03-02 --share 0.00001", "--share is 1e-05; give 0, or 0.0001 to 0.5"),
        (
            "homepage --valid-from 2026-03-01",
            "--valid-from is 2026-03-01; 'homepage' begins on 2026-03-02 and ends on 2026-03-21: give a day of these",
        ),
        ("homepage --valid-from 2026-03-22", "--valid-from is 2026-03-22; 'homepage' begins on 2026-03-02"),
        (
            "homepage --valid-from 2026-03-02 --accept plays --reason x",
            "--accept is 'plays'; metrics of 'homepage' that roll back: play_starts_7d, crash_rate",
        ),
        ("homepage --valid-from 2026-03-02 --accept crash_rate", "give --reason"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    asked: str, words: str, folders: str, refusal: Callable[[str], str], tmp_path: Path
) -> None:
    assert words in refusal(f"allocate {asked} {folders}")
    assert not (tmp_path / "data").exists()


def test_observational_data_have_no_arms_to_give(tmp_path: Path, refusal: Callable[[str], str]) -> None:
    conf = write_configuration(tmp_path / "conf", EXPERIMENT + "randomized_by: none\n")
    line = f"allocate homepage --valid-from 2026-03-02 --conf-dir {conf} --data-dir {tmp_path / 'data'}"
    assert "is observational: nobody is assigned" in refusal(line)


@pytest.mark.parametrize("reason", ["", "--reason= "])
@pytest.mark.parametrize("share", ["0", "0.2"])
def test_who_overrides_the_gate_says_why(
    reason: str, share: str, folders: str, refusal: Callable[[str], str], tmp_path: Path
) -> None:
    """Also where what is to be taken back is still to come: it was opened by a decision, too."""
    open_from(tmp_path, START + timedelta(days=2))
    tables = {path.name for path in (tmp_path / "data" / "tables").iterdir()}
    for day in (START, START + timedelta(days=4)):
        line = f"allocate homepage --share {share} --valid-from {day} {folders}"
        assert "give --reason to set its share by people" in refusal(f"{line} {reason}")
    assert {path.name for path in (tmp_path / "data" / "tables").iterdir()} == tables
