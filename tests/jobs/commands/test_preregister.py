"""`watchlift preregister` where the experiment was registered before: its answer, its page, its refusals."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from metrics.configuration.project import load_project
from metrics.rows import PowerRow
from tests.jobs.result_tables import write_configuration, write_rows
from tests.result_rows import EXPERIMENT


def power_row(
    spec_hash: str, metric: str = "play_starts_7d", stratum: str = "all", **numbers: float
) -> dict[str, Any]:
    known = {"baseline_mean": 10.0, "baseline_sd": 12.5, "icc": 0.11, "rho": 0.6, "n_per_arm": 190_000.4}
    told = json.dumps(
        {
            "status": "ok",
            "spec_hash": spec_hash,
            "exposed_from": "2026-02-23",
            "enrollment_days": 1,
            "covariate_days": 7,
            "ramp": [
                {"share": 0.05, "day": 2, "finds": None},
                {"share": 0.2, "day": 4, "finds": 0.00125},
            ],
        }
    )
    known |= {"mde_relative": 0.023, "days_needed": 44.0, "max_information": 985.0}
    return asdict(PowerRow("homepage", metric, stratum, assumptions=told, **{**known, **numbers}))


@pytest.fixture
def folders(tmp_path: Path) -> str:
    conf, data = (
        write_configuration(tmp_path / "conf", EXPERIMENT.replace("A re-ranked", "A <re-ranked>")),
        tmp_path / "data",
    )
    of_file = load_project(conf, data).experiments[0].spec_hash
    rows = [
        power_row(of_file),
        power_row(of_file, stratum="eu|web"),
        power_row(of_file, "crash_rate", baseline_mean=0.01, mde_relative=0.03),
    ]
    write_rows(data, "power", rows, ["experiment_id"])
    return f"--conf-dir {conf} --data-dir {data}"


def test_it_tells_what_can_be_found_and_warns(
    folders: str, text_of: Callable[[str], str], ask: Callable[[str], Any], tmp_path: Path
) -> None:
    text = text_of(f"preregister homepage {folders}")
    lines = text.splitlines()
    assert lines[0].startswith("homepage: registered, experiment file ")
    assert any(
        line.split() == ["play_starts_7d", "10", "12.5", "0.11", "0.6", "190,000", "44", "2.30%"]
        for line in lines
    )
    assert any(line.startswith("eu|web ") for line in lines)
    told = "the planned enrolment finds 2.30%, the design seeks 1.00%; that takes 44 days"
    assert f"warning: play_starts_7d: {told}" in " ".join(text.split())
    assert next(line for line in lines if line.startswith("by the end of")).split() == [
        "by",
        "the",
        "end",
        "of",
        "5%,",
        "day",
        "2",
        "20%,",
        "day",
        "4",
    ], lines
    assert "crash_rate" in text and "2.5 x margin" in text
    answer = ask(f"preregister homepage {folders}")
    assert [row["metric"] for row in answer["power"]] == ["play_starts_7d", "play_starts_7d", "crash_rate"]
    assert len(answer["warnings"]) == 1  # a margin of 0.0005 is 5% of the crash rate
    page = (tmp_path / "data" / "readouts" / "homepage" / "preregistration.html").read_text()
    assert "A &lt;re-ranked&gt; homepage" in page
    assert "190,000" in page and "eu|web" in page and "Shipped: at the last stage" in page
    assert "None" not in page and "nan" not in page
    # z 2.80 finds 2.3% with power 80%: of 1% it sees 2.80 / 2.3, which leaves the boundary of 1.96 far off.
    assert "<td>2.30%</td><td>23%</td>" in page and "<td>3.00%</td><td>100%</td>" in page
    assert page.count("the planned enrolment finds 2.30%, the design seeks 1.00%; that takes 44 days.") == 1
    assert page.count('aria-label="Chance to find an effect of ') == 2
    assert "What a stratum alone finds by the last day of a stage" in page
    # 0.00125 is 2.5 margins of 0.0005, and 12.5% of the rate of 0.01 if that were the primary.
    assert "<td>–</td><td>2.5 × margin</td>" in page and "20%<small>to day 4</small>" in page
    client = MlflowClient(f"sqlite:///{tmp_path}/data/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("homepage")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])  # asked for twice
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["preregistration.html"]


def test_an_unknown_experiment_is_refused_in_a_line(folders: str, refusal: Callable[[str], str]) -> None:
    assert refusal(f"preregister nothing {folders}").startswith("error: experiment 'nothing' is not in ")


def test_after_an_amendment_the_page_says_what_its_numbers_were_registered_for(
    folders: str, ask: Callable[[str], Any], tmp_path: Path
) -> None:
    page = tmp_path / "data" / "readouts" / "homepage" / "preregistration.html"
    ask(f"preregister homepage {folders}")
    assert "as registered by file" not in page.read_text()
    was = load_project(tmp_path / "conf", tmp_path / "data").experiments[0].spec_hash
    file = tmp_path / "conf" / "experiments" / "homepage.yml"
    record = f"amendments: [{{date: 2026-03-04, reason: A larger effect., was: {was}}}]\n"
    file.write_text(f"{file.read_text()}design: {{mde_relative: 0.02}}\n{record}")
    ask(f"preregister homepage {folders}")
    assert f"as registered by file {was}" in page.read_text()
    assert "Amended on 2026-03-04: A larger effect." in page.read_text()
