"""`watchlift decisions`: the path of the rollout, each of the gate's decisions replayed, those of people told apart."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from metrics.enrollment import start_of
from metrics.gate import Facts, GuardrailVerdict
from tests.jobs.result_tables import write_configuration, write_rows
from tests.result_rows import EXPERIMENT

DAY = date(2026, 3, 10)


def decision(number: int, action: str, stage_to: float, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "experiment_id": "homepage",
        "epoch": 0,
        "decided_for": start_of(DAY + timedelta(days=number)),
        "input_version": f"v{number}",
        "stage_from": 0.05,
        "stage_to": stage_to,
        "action": action,
        "reasons": [
            f"Reason {number}, which is told in a sentence that takes more than one line of a terminal."
        ],
        "inputs": json.dumps(inputs),
        "run": "a run",
        "refused": None,
    }


def facts(low: float) -> dict[str, Any]:
    """Of a stage that lasted long enough, with harm at twice its margin if it lies above 0 for certain."""
    guardrail = GuardrailVerdict("crash_rate", "treatment", "undecided", 0.001, 0.002, low, 0.003)
    found = Facts(0.05, 2, (0.05, 0.5), 2, True, True, False, (), (guardrail,), ())
    return asdict(found) | {"futility": 0.1, "arm": None}


@pytest.fixture
def folders(tmp_path: Path) -> str:
    conf, data = write_configuration(tmp_path / "conf", EXPERIMENT), tmp_path / "data"
    rows = [
        decision(0, "advance", 0.5, facts(-0.001)),
        decision(1, "advance", 0.5, facts(0.001)),  # not what follows from its facts
        decision(2, "override", 0.05, {"accepted": ["crash_rate"]}),
        decision(2, "hold", 0.05, facts(-0.001)) | {"input_version": "late"},
        decision(3, "hold", 0.05, {"of": "an earlier version"}),
        decision(4, "rollback", 0.0, facts(0.001)),
    ]
    write_rows(data, "rollout_decisions", rows, ["experiment_id"])
    return f"--conf-dir {conf} --data-dir {data}"


def test_each_decision_is_shown_with_what_its_facts_lead_to(
    folders: str, text_of: Callable[[str], str], ask: Callable[[str], Any]
) -> None:
    text = text_of(f"decisions homepage {folders}")
    assert [line.split()[-1] for line in text.splitlines()[1:7]] == [
        "same",
        "OTHER",
        "OTHER",
        "people",
        "-",
        "same",
    ]
    assert "the last, of 2026-03-14:\n  Reason 4, which" in text
    found = ask(f"decisions homepage {folders}")["decisions"]
    assert [each["is_replayed"] for each in found] == [True, False, False, None, None, True]
    assert [each["input_version"] for each in found[2:4]] == ["late", "v2"]
    assert found[3]["inputs"] == {"accepted": ["crash_rate"]}


def test_nothing_decided_yet_is_said(tmp_path: Path, text_of: Callable[[str], str]) -> None:
    conf = write_configuration(tmp_path / "conf", EXPERIMENT)
    assert (
        text_of(f"decisions homepage --conf-dir {conf} --data-dir {tmp_path}")
        == "homepage: nothing decided yet\n"
    )
