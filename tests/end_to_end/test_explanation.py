"""Each deciding estimate of a run follows from its stored moments by the formula that `watchlift explain` shows."""

import json

import pytest

from jobs.cli import main
from jobs.tables import Tables
from tests.end_to_end.conftest import CONF

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_every_metric_is_explained_to_the_last_digits(
    small_run: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    project = small_run.project
    experiment = project.experiments[0]
    for metric in experiment.metric_names:
        folders = ["--conf-dir", str(CONF), "--data-dir", str(project.data_dir)]
        assert main(["explain", experiment.id, metric, "--format", "json", *folders]) == 0
        told = json.loads(capsys.readouterr().out)["explanation"]
        assert told["formula"]["effect"] == pytest.approx(told["estimate"]["effect"], rel=1e-9)
        assert told["formula"]["std_error"] == pytest.approx(told["estimate"]["std_error"], rel=1e-9)
        arms = told["population"]["arms"].values()
        assert all(0 < arm["matured"] <= arm["exposed"] for arm in arms)
