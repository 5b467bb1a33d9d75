"""Which failures of a submit are tried again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DAG_FOLDER = Path(__file__).resolve().parents[2] / "dags"
# In a process of its own: importing Airflow here would set up its home and logging for all other tests.
EVALUATE = """
import json, sys
from watchlift_operators import RetryUnlessTheJobDecided
policy = RetryUnlessTheJobDecided()
decisions = [policy.evaluate(RuntimeError(text), try_number=1, max_tries=2) for text in json.loads(sys.argv[1])]
print("DECIDED" + json.dumps([[d.action.value, d.reason] for d in decisions]))
"""
FAILURES = {
    "failed audit": (
        "Cannot execute: spark-submit. Error code is: 1.\nLast spark-submit output:\n"
        "06:00:01 watchlift.audit_table events: 9 of 11\nerror: events of 2026-03-14: nulls in profile_id",
        ["fail", "error: events of 2026-03-14: nulls in profile_id"],
    ),
    "bad input": (
        "Cannot execute: spark-submit. Error code is: 2.\nerror: day 'None' is not a date",
        ["fail", "error: day 'None' is not a date"],
    ),
    "killed": (
        "Cannot execute: spark-submit. Error code is: 137.\n26/03/15 ERROR Executor: heap",
        ["default", None],
    ),
    "another job wrote": ("Error code is: 1.\nconflict: table events: another job wrote", ["default", None]),
    "not the job's own line": ("Error code is: 1.\nan error: in the middle of a line", ["default", None]),
}


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str | None]]:
    own = {
        **os.environ,
        "PYTHONPATH": str(DAG_FOLDER),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
    }
    command = [sys.executable, "-c", EVALUATE, json.dumps([message for message, _ in FAILURES.values()])]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert "DECIDED" in done.stdout, done.stderr
    return dict(zip(FAILURES, json.loads(done.stdout.split("DECIDED")[1]), strict=True))


@pytest.mark.parametrize("failure", FAILURES)
def test_a_verdict_of_the_job_is_final_and_a_crash_is_not(
    failure: str, decisions: dict[str, list[str | None]]
) -> None:
    assert decisions[failure] == FAILURES[failure][1]
