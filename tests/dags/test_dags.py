"""The DAGs as Airflow reads them: schedules, the gate, keys, and what an operator of them relies on."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAG_FOLDER = ROOT / "dags"
# Airflow reads its settings once per process, at import: these DAGs are loaded in a process of their own, which also
# shows what loading them imports.
LOAD = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
folder = Path(sys.argv[1])
bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags")
def described(task):
    fields = {name: getattr(task, name, None) for name in task.template_fields}
    return {"owner": task.owner, "pool": task.pool, "retries": task.retries, "type": type(task).__name__,
            "outlets": [outlet.name for outlet in task.outlets], "rule": task.trigger_rule.value,
            "upstream": sorted(task.upstream_task_ids),
            "policy": type(task.retry_policy).__name__, "templates": json.dumps(fields, default=str)}
def scheduled(dag):
    table = dag.timetable
    condition = getattr(table, "asset_condition", None)
    assets = [condition.name] if condition else []
    return {"type": type(table).__name__, "cron": getattr(table, "expression", None),
            "key": getattr(table, "key_format", None), "offset": getattr(table, "run_offset", None), "assets": assets}
dags = {dag.dag_id: {"schedule": scheduled(dag), "tags": sorted(dag.tags), "doc": dag.doc_md or "",
                     "start": str(dag.start_date), "end": str(dag.end_date), "catchup": dag.catchup,
                     "runs": dag.max_active_runs, "tasks": {t.task_id: described(t) for t in dag.tasks}}
        for dag in bag.dags.values()}
spark = sorted(m for m in sys.modules if m.split(".")[0] in ("pyspark", "delta", "jobs", "metrics", "expectations"))
print("LOADED" + json.dumps({"errors": bag.import_errors, "dags": dags, "imported": spark}))
"""


def load(folder: Path, **variables: str) -> dict[str, Any]:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("WATCHLIFT_", "AIRFLOW"))
    }
    own |= {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **variables}
    command = [sys.executable, "-c", LOAD, str(DAG_FOLDER)]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False, cwd=folder)
    assert "LOADED" in done.stdout, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout.split("LOADED")[1])
    return loaded


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    days = {"WATCHLIFT_FIRST_DAY": "2026-03-14", "WATCHLIFT_LAST_DAY": "2026-03-15"}
    return load(tmp_path_factory.mktemp("airflow"), **days)


@pytest.fixture(scope="module")
def dags(loaded: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = loaded["dags"]
    return found


def tasks_of(dags: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for dag in dags.values():
        yield from dag["tasks"].items()


def test_all_dags_load_without_error_and_without_importing_spark_or_a_job(loaded: dict[str, Any]) -> None:
    assert loaded["errors"] == {}
    assert sorted(loaded["dags"]) == [
        "daily_metrics",
        "experiment_readouts",
        "hourly_exposures",
        "weekly_maintenance",
    ]
    assert loaded["imported"] == []


def test_daily_metrics_is_partitioned_by_the_day_before_the_run(dags: dict[str, Any]) -> None:
    schedule = dags["daily_metrics"]["schedule"]
    assert schedule["type"] == "CronPartitionTimetable"
    assert (schedule["cron"], schedule["offset"], schedule["key"]) == ("0 2 * * *", -1, "%Y-%m-%d")


def test_days_run_one_at_a_time(dags: dict[str, Any]) -> None:
    assert [dag["runs"] for dag in dags.values()] == [1, 1, 1, 1]
    pools = json.loads((DAG_FOLDER / "pools.json").read_text(encoding="utf-8"))
    assert pools["watchlift_ingest"]["slots"] == 1


def test_upkeep_is_weekly_for_its_own_day_and_never_beside_an_ingestion(dags: dict[str, Any]) -> None:
    schedule = dags["weekly_maintenance"]["schedule"]
    assert schedule["type"] == "CronPartitionTimetable"
    assert (schedule["cron"], schedule["offset"], schedule["key"]) == ("0 6 * * 0", None, "%Y-%m-%d")
    assert dags["weekly_maintenance"]["catchup"] is False
    daily, weekly = (dags[name]["tasks"].values() for name in ("daily_metrics", "weekly_maintenance"))
    assert {task["pool"] for task in (*daily, *weekly)} == {"watchlift_ingest"}


def test_exposures_are_hourly_for_the_hour_that_ended_and_never_beside_an_ingestion(
    dags: dict[str, Any],
) -> None:
    hourly = dags["hourly_exposures"]
    schedule = hourly["schedule"]
    assert (schedule["cron"], schedule["offset"], schedule["key"]) == ("10 * * * *", -1, "%Y-%m-%dT%H")
    assert hourly["catchup"] is False
    task = hourly["tasks"]["monitor_exposures"]
    assert task["pool"] == "watchlift_ingest"
    assert json.loads(task["templates"])["application_args"][:2] == ["--hour", "{{ partition_key }}"]


def test_catch_up_runs_exactly_from_the_first_to_the_last_day(dags: dict[str, Any]) -> None:
    daily = dags["daily_metrics"]
    assert daily["catchup"] is True
    # The run of 2026-03-14 is at 02:00 on the 15th, that of the last day, the 15th, at 02:00 on the 16th.
    assert daily["start"] == "2026-03-15 00:00:00+00:00"
    assert daily["end"] == "2026-03-16 12:00:00+00:00"


def test_the_last_hour_is_that_of_the_last_day(dags: dict[str, Any]) -> None:
    # Its run is at 00:10 on the 16th.
    assert dags["hourly_exposures"]["end"] == "2026-03-16 00:30:00+00:00"


@pytest.mark.slow
def test_production_has_no_last_day(tmp_path: Path) -> None:
    daily = load(tmp_path, WATCHLIFT_FIRST_DAY="2026-03-14")["dags"]["daily_metrics"]
    assert (daily["end"], daily["catchup"]) == ("None", True)


def test_only_the_audited_day_emits_the_asset_and_the_readouts_wait_for_it(dags: dict[str, Any]) -> None:
    emitting = {name: task["outlets"] for name, task in tasks_of(dags) if task["outlets"]}
    assert emitting == {"load_and_audit_day": ["watchlift://profile_days"]}
    schedule = dags["experiment_readouts"]["schedule"]
    assert (schedule["type"], schedule["assets"]) == (
        "PartitionedAssetTimetable",
        ["watchlift://profile_days"],
    )


def test_the_readout_follows_the_estimates(dags: dict[str, Any]) -> None:
    tasks = dags["experiment_readouts"]["tasks"]
    assert tasks["estimate_experiments"]["upstream"] == []
    assert tasks["render_readouts"]["upstream"] == ["estimate_experiments"]


def test_alerts_are_sent_also_where_the_monitor_failed_which_fails_the_run(dags: dict[str, Any]) -> None:
    for name, monitor in (
        ("hourly_exposures", "monitor_exposures"),
        ("experiment_readouts", "estimate_experiments"),
    ):
        tasks = dags[name]["tasks"]
        assert (tasks["send_alerts"]["upstream"], tasks["send_alerts"]["rule"]) == ([monitor], "all_done")
        others = [task for task in tasks.values() if task["upstream"] == [monitor]]
        assert "all_success" in {task["rule"] for task in others}


def test_every_task_has_an_owner_a_pool_that_exists_and_retries(dags: dict[str, Any]) -> None:
    pools = json.loads((DAG_FOLDER / "pools.json").read_text(encoding="utf-8"))
    for name, task in tasks_of(dags):
        assert task["owner"] == "experimentation", name
        assert task["pool"] in pools, name
        assert task["retries"] == 2, name


def test_every_spark_task_tells_a_verdict_from_a_crash(dags: dict[str, Any]) -> None:
    spark = {name: task["policy"] for name, task in tasks_of(dags) if task["type"] == "SparkSubmitOperator"}
    expected = ["load_and_audit_day", "estimate_experiments", "maintain_tables", "monitor_exposures"]
    assert spark == dict.fromkeys(expected, "RetryUnlessTheJobDecided")


def test_every_task_gets_the_partition_key_and_none_the_logical_date(dags: dict[str, Any]) -> None:
    for name, task in tasks_of(dags):
        key = "{{ run_id }}" if name == "send_alerts" else "{{ partition_key }}"
        assert task["type"] == "EmptyOperator" or key in task["templates"], name
        assert "{{ ds" not in task["templates"], name


def test_the_jobs_are_named_by_path_and_exist(dags: dict[str, Any]) -> None:
    named = {
        "load_and_audit_day": "run_day",
        "estimate_experiments": "run_experiments",
        "render_readouts": "render_readout",
        "maintain_tables": "maintain_tables",
        "monitor_exposures": "monitor_hour",
        "send_alerts": "list_alerts",
    }
    for name, task in tasks_of(dags):
        if task["type"] == "EmptyOperator":
            continue
        assert f"/jobs/{named[name]}.py" in task["templates"]
        assert (ROOT / "jobs" / f"{named[name]}.py").is_file()


def test_the_readout_is_rendered_by_the_workers_python_whatever_bashrc_puts_on_the_path(
    dags: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho another python\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / ".bashrc").write_text(f'PATH="{tmp_path}:$PATH"\n', encoding="utf-8")
    rendered = json.loads(dags["experiment_readouts"]["tasks"]["render_readouts"]["templates"])
    # As the worker does: from no shell, with a socket as its input.
    variables = {name: value for name, value in os.environ.items() if name != "SHLVL"}
    variables |= {**rendered["env"], "HOME": str(tmp_path), "DATA_DIR": str(tmp_path), "DAY": "2026-03-14"}
    ours, theirs = socket.socketpair()

    def bash(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            env=variables,
            stdin=theirs.fileno(),
            capture_output=True,
            text=True,
            check=False,
        )

    with ours, theirs:
        if bash("python").stdout != "another python\n":
            pytest.skip("this machine's bash does not read ~/.bashrc where its input is a socket")
        done = bash(rendered["bash_command"])
    assert "another python" not in done.stdout
    assert "error: " in done.stderr  # the job's own: there is no table in this folder


def test_every_dag_has_tags_and_a_runbook_that_says_what_to_do_on_failure(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        assert "watchlift" in dag["tags"], name
        for task in dag["tasks"]:
            assert f"**When `{task}` fails**" in dag["doc"], task
