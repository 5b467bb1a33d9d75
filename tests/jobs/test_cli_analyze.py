"""`watchlift analyze` as a process of its own: what a program reads from it, and what a person is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import main
from metrics.configuration.units import load_unit_experiment

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "units" / "pricing_test.yml"


@pytest.mark.slow
def test_the_example_gives_one_document_and_nothing_else() -> None:
    command = [sys.executable, "-m", "jobs.cli", "analyze", str(EXAMPLE), "--replicates", "200"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert set(document) == {"estimates", "srm_checks", "interactions"}
    design = load_unit_experiment(EXAMPLE).design
    assert {row["metric"] for row in document["estimates"]} == set(design.metric_names)
    assert {row["status"] for row in document["estimates"]} == {"ok"}
    assert "ERROR" not in done.stderr and "Exception" not in done.stderr


def test_faults_are_said_before_spark_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yml"
    path.write_text(EXAMPLE.read_text().replace("gate_40: 0.5", "gate_40: 0.4"))
    assert main(["analyze", str(path), "--format", "json"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "error: spec.yml: arms: shares add up to 0.9; they must add up to 1\n"
    assert json.loads(printed.out)["error"] == printed.err.removeprefix("error: ").strip()


@pytest.mark.parametrize("replicates", ["0", "ten", "99"])
def test_too_few_replicates_are_refused(replicates: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(EXAMPLE), "--replicates", replicates]) == 2
    assert f"'{replicates}' replicates; give a whole number from 100" in capsys.readouterr().err
