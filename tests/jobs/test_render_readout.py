import json
import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from jobs.render_readout import main
from metrics.assignment import allocate
from metrics.configuration.project import load_project
from metrics.enrollment import EnrollmentSlice, start_of
from tests.jobs.result_tables import write_configuration, write_results, write_rows, write_srm
from tests.result_rows import DAY, EXPERIMENT, srm_check


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    conf_dir = write_configuration(tmp_path / "conf")
    return ["--conf-dir", str(conf_dir), "--data-dir", str(tmp_path / "data")]


def runs(data_dir: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{data_dir}/mlflow/mlflow.db")
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def test_writes_page_text_and_json_and_logs_one_run_however_often(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data_dir = write_results(tmp_path / "data")
    folder = data_dir / "readouts" / "homepage"
    assert main([*arguments, "--day", str(DAY)]) == 0
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([*arguments, "--day", str(DAY)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sorted(first) == [f"{DAY}.html", f"{DAY}.json", f"{DAY}.txt"]
    assert json.loads(first[f"{DAY}.json"])["decision"]["action"] == "ship"
    assert b"DECISION: SHIP TREATMENT" in first[f"{DAY}.txt"]

    (run,) = runs(data_dir)
    assert run.data.metrics["play_starts_7d.effect"] == 0.5
    assert run.data.params == {
        "epoch": "0",
        "spec_hash": "abc123",
        "input_version": "in-77",
        "code_version": "0.1.0",
    }
    assert run.info.run_name == f"homepage {DAY}"
    assert len(list((data_dir / "mlflow" / "artifacts").rglob("*.html"))) == 1

    write_results(tmp_path / "data", input_version="in-78")
    assert main([*arguments, "--day", str(DAY)]) == 0
    assert len(runs(data_dir)) == 2


def test_a_run_killed_on_the_way_is_taken_up_again_and_nothing_is_doubled(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    data_dir = write_results(tmp_path / "data")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(MlflowClient, "log_artifact", killed)
        main([*arguments, "--day", str(DAY)])
    (begun,) = runs(data_dir)
    assert begun.info.status == "RUNNING"
    for _ in range(2):
        assert main([*arguments, "--day", str(DAY)]) == 0
    (run,) = runs(data_dir)
    assert (run.info.run_id, run.info.status) == (begun.info.run_id, "FINISHED")
    client = MlflowClient(f"sqlite:///{data_dir}/mlflow/mlflow.db")
    assert all(len(client.get_metric_history(run.info.run_id, name)) == 1 for name in run.data.metrics)
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == [f"{DAY}.html"]


def test_a_blocked_slice_opens_the_page(arguments: list[str], tmp_path: Path) -> None:
    data_dir = write_results(tmp_path / "data")
    tv = EnrollmentSlice("homepage", 0, "device", "tv", "blocked", "3 to 2", srm_check()["window_end"])
    write_srm(data_dir, [srm_check()], [tv])
    assert main([*arguments, "--day", str(DAY)]) == 0
    text = (data_dir / "readouts" / "homepage" / f"{DAY}.txt").read_text()
    assert "DECISION: HOLD\n  - Sample ratio broken: device tv, since 2026-03-22 00:00 UTC; 3 to 2.\n" in text


def test_a_page_older_than_its_estimates_is_made_again_on_any_day(
    arguments: list[str], tmp_path: Path
) -> None:
    """Late rows have a day estimated again when another day runs."""
    page = write_results(tmp_path / "data") / "readouts" / "homepage" / f"{DAY}.html"
    page.parent.mkdir(parents=True)
    page.write_text("of older estimates")
    assert main([*arguments, "--day", "2026-06-01"]) == 0
    assert page.read_text() == "of older estimates"
    os.utime(page, (0, 0))
    assert main([*arguments, "--day", "2026-06-01"]) == 0
    assert "<html" in page.read_text()


def test_a_running_experiment_without_estimates_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--day", str(DAY)]) == 2
    assert capsys.readouterr().err == (
        "error: experiment 'homepage' has no estimates for 2026-03-21; run jobs/estimate_effects.py for that day\n"
    )


def test_an_experiment_that_was_rolled_back_has_no_readouts_due(arguments: list[str], tmp_path: Path) -> None:
    (experiment,) = load_project(tmp_path / "conf", tmp_path / "data").experiments
    closed = [
        allocate(experiment, share, start_of(DAY - timedelta(days=n))) for n, share in ((9, 0.5), (0, 0.0))
    ]
    write_rows(tmp_path / "data", "allocations", [asdict(each) for each in closed], ["experiment_id"])
    assert main([*arguments, "--day", str(DAY)]) == 0
    assert main([*arguments, "--day", str(DAY - timedelta(days=1))]) == 2


def test_a_day_on_which_nothing_runs_is_fine_unless_asked_for(arguments: list[str]) -> None:
    assert main([*arguments, "--day", "2025-01-01"]) == 0
    assert main([*arguments, "--day", "2025-01-01", "--experiment", "homepage"]) == 2


def test_a_missing_day_and_an_unknown_experiment_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "no day given" in capsys.readouterr().err
    assert main([*arguments, "--day", str(DAY), "--experiment", "nope"]) == 2
    assert "experiment 'nope' is not in" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_results(tmp_path / "data")
    (data_dir / "readouts").write_text("a file where a folder should be")
    assert main([*arguments, "--day", str(DAY)]) == 1
    assert "cannot be written" in capsys.readouterr().err.splitlines()[-1]


def test_only_the_experiments_asked_for(arguments: list[str], tmp_path: Path) -> None:
    other = EXPERIMENT.replace("id: homepage", "id: other")
    (tmp_path / "conf" / "experiments" / "other.yml").write_text(other)
    data_dir = write_results(tmp_path / "data")
    assert main([*arguments, "--day", str(DAY), "--experiment", "homepage"]) == 0
    assert main([*arguments, "--day", str(DAY)]) == 2  # the other one runs too, and has no estimates
    assert [path.name for path in (data_dir / "readouts").iterdir()] == ["homepage"]
