"""The demo's own logic: which folder it may empty, which days go where, what it says of a failure."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.java import QUICK_START
from scripts import data_folder, demo
from scripts.airflow_api import AirflowApi, TaskState
from scripts.airflow_local import airflow_environment, password, passwords_file
from scripts.dag_runs import DagRuns, Teller, raise_failure, task_log
from scripts.environment import ROOT, Settings, environment
from scripts.errors import RunError
from scripts.progress import LogFollower, Progress, follow


def test_the_last_two_days_go_through_the_dags_and_the_rest_through_one_backfill() -> None:
    plan = demo.Plan(28)
    assert plan.last == date(2026, 3, 15)
    assert plan.backfilled_to == date(2026, 3, 13)
    assert plan.by_dag == [date(2026, 3, 14), date(2026, 3, 15)]


def test_a_new_folder_is_made_and_marked_and_later_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    data_folder.fresh(folder)
    (folder / "tables").mkdir()
    (folder / "tables" / "part.parquet").touch()
    (folder / "notes.txt").touch()
    data_folder.fresh(folder)
    assert [path.name for path in folder.iterdir()] == [data_folder.marker("demo")]


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.tex"
    kept.touch()
    with pytest.raises(RunError, match="holds things that the demo did not make"):
        data_folder.fresh(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_of_another_script_is_refused(tmp_path: Path) -> None:
    data_folder.fresh(tmp_path / "data")
    with pytest.raises(RunError, match="holds things that the incident did not make"):
        data_folder.fresh(tmp_path / "data", "incident")


def test_a_link_inside_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "data"
    data_folder.fresh(folder)
    (folder / "link").symlink_to(outside)
    data_folder.fresh(folder)
    assert (outside / "kept").exists()
    assert not (folder / "link").is_symlink()


def test_a_link_as_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "target")
    with pytest.raises(RunError, match="is not a plain folder"):
        data_folder.fresh(tmp_path / "data")


def test_too_few_days_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--days", "10", "--data-dir", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err == "demo: DAYS is 10; the windows of the experiment need at least 22\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("master", ["spark://127.0.0.1:1", "spark://127.0.0.1"])
def test_a_master_that_does_not_answer_is_refused_before_anything_is_emptied(master: str) -> None:
    with pytest.raises(RunError, match=rf"no Spark master answers at {master} .*make cluster"):
        demo.check_master(master)


def test_a_follower_gives_each_complete_line_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower = LogFollower(log)
    assert follower.new_lines() == []
    log.write_text("one\ntw")
    assert follower.new_lines() == ["one"]
    log.write_text("one\ntwo\n")
    assert follower.new_lines() == ["two"]
    assert follower.new_lines() == []


def test_a_job_that_fails_is_told_by_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    code = """
print("2026-03-01 00:00:00,000 watchlift.run_day day 2026-03-01: 5 rows")
print("26/03/01 WARN Utils: noise")
print("error: no landing files; run simulate_service")
raise SystemExit(2)
"""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output)
        with pytest.raises(
            RunError, match=r"^run_day failed: no landing files; run simulate_service \(log: "
        ):
            follow(process, "run_day", log, Progress())
    assert "  run_day: day 2026-03-01: 5 rows" in capsys.readouterr().out


def test_the_spark_of_a_run_is_this_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", "/opt/another-spark")
    monkeypatch.setenv("SPARK_CONF_DIR", "/opt/another-spark/conf")
    own = environment(Settings(tmp_path))
    assert own["SPARK_HOME"].endswith("pyspark")
    assert "SPARK_CONF_DIR" not in own
    assert own["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert own["WATCHLIFT_SPARK_CONF"].endswith("conf/spark/laptop.conf")
    assert own["SPARK_LOCAL_IP"] == "127.0.0.1"


def test_a_cluster_elsewhere_must_reach_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_LOCAL_IP", raising=False)
    own = environment(Settings(tmp_path, "spark://cluster.example:7077"))
    assert "SPARK_LOCAL_IP" not in own
    assert own["WATCHLIFT_SPARK_CONF"].endswith("conf/spark/cluster.conf")


def test_airflow_listens_here_only_with_a_password_that_only_the_owner_reads(tmp_path: Path) -> None:
    settings = Settings(tmp_path, "spark://127.0.0.1:7077", 8091)
    own = airflow_environment(settings, date(2026, 3, 14), None)
    assert own["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert own["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert json.loads(own["AIRFLOW_CONN_SPARK_DEFAULT"]) == {
        "conn_type": "spark",
        "host": "spark://127.0.0.1:7077",
    }
    assert own["WATCHLIFT_FIRST_DAY"] == "2026-03-14"
    assert "WATCHLIFT_LAST_DAY" not in own
    assert password(settings) == password(settings)
    assert passwords_file(settings).stat().st_mode & 0o077 == 0


def test_a_day_starts_quickly_here_and_is_compiled_well_on_a_cluster(tmp_path: Path) -> None:
    here, cluster = (
        airflow_environment(Settings(tmp_path, m), None, None) for m in ("local[*]", "spark://c:7077")
    )
    assert "-XX:TieredStopAtLevel=1" in here["SPARK_SUBMIT_OPTS"]
    assert "TieredStopAtLevel" not in cluster.get("SPARK_SUBMIT_OPTS", "")


def state(name: str = "running", task_id: str = "load_and_audit_day") -> TaskState:
    return TaskState("daily_metrics", "2026-03-14", task_id, name, "scheduled__1", 1)


def test_a_change_of_state_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(Settings(tmp_path), Progress())
    for name in ("waiting", "running", "running", "success"):
        teller.tell([state(name)])
    lines = [line.split("] ")[1].strip() for line in capsys.readouterr().out.splitlines()]
    start = "daily_metrics 2026-03-14: load_and_audit_day"
    assert lines == [f"{start} running", f"{start} success"]


def test_a_crash_is_told_when_it_is_tried_again_beside_what_the_job_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tmp_path)
    write_task_log(
        settings,
        "2026-03-15 02:00:01,000 watchlift.run_day 5 rows",
        "java.lang.OutOfMemoryError: heap",
        "::endgroup::",
    )
    teller = Teller(settings, Progress())
    teller.tell([state("running")])
    teller.tell([state("up_for_retry")])
    said = capsys.readouterr().out
    assert said.count("2026-03-14 run_day: 5 rows") == 1
    assert "is tried again in two minutes; it crashed: java.lang.OutOfMemoryError: heap" in said


def write_task_log(settings: Settings, *events: str) -> None:
    log = task_log(state("failed"), settings)
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps({"event": event}) + "\n" for event in events))


def test_a_failed_task_is_told_by_the_jobs_line_and_its_log(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    write_task_log(
        settings,
        "Spark-Submit cmd: spark-submit",
        "error: events of 2026-03-14: nulls in profile_id",
        "Task failed\ntrace",
    )
    with pytest.raises(
        RunError, match=r"failed: events of 2026-03-14: nulls in profile_id \(log: .*attempt=1\.log"
    ):
        raise_failure([state("success"), state("failed")], settings)


def test_a_task_that_crashed_is_told_by_airflows_last_line(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    write_task_log(settings, "Killed by the system\nmore")
    with pytest.raises(RunError, match="load_and_audit_day of 2026-03-14 failed: Killed by the system "):
        raise_failure([state("failed")], settings)


RUNS = [
    {"dag_id": "experiment_readouts", "dag_run_id": "b", "partition_key": "2026-03-14", "state": "success"},
    {"dag_id": "experiment_readouts", "dag_run_id": "a", "partition_key": "2026-03-15", "state": "running"},
    {"dag_id": "daily_metrics", "dag_run_id": "a", "partition_key": "2026-03-15", "state": "success"},
]
TASKS = [
    {
        "dag_id": "experiment_readouts",
        "dag_run_id": "a",
        "task_id": "render_readouts",
        "state": None,
        "try_number": 0,
    },
    {
        "dag_id": "daily_metrics",
        "dag_run_id": "a",
        "task_id": "load_and_audit_day",
        "state": "success",
        "try_number": 1,
    },
]


class Airflow(AirflowApi):
    """Airflow's answers as of now; with each look the readouts of the last day are nearer to their end."""

    looks = 0

    def _get(self, path: str) -> Any:
        if path.startswith("/api/v2/dags/~/dagRuns/~/taskInstances"):
            return {"task_instances": TASKS}
        assert path.startswith("/api/v2/dags/~/dagRuns?")
        self.looks += 1
        return {
            "dag_runs": [RUNS[0], {**RUNS[1], "state": "success"} if self.looks > 2 else RUNS[1], RUNS[2]]
        }


def test_tasks_belong_to_the_run_of_their_own_dag(tmp_path: Path) -> None:
    states = Airflow(8080, tmp_path).states()
    assert [(run.dag_id, run.partition_key, run.state) for run in states] == [
        ("experiment_readouts", "2026-03-14", "success"),
        ("daily_metrics", "2026-03-15", "success"),
        ("experiment_readouts", "2026-03-15", "running"),
    ]
    tasks = [[(task.task_id, task.state, task.partition_key) for task in run.tasks] for run in states]
    assert tasks == [
        [],
        [("load_and_audit_day", "success", "2026-03-15")],
        [("render_readouts", "waiting", "2026-03-15")],
    ]


def test_the_demo_waits_for_the_readouts_of_every_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.dag_runs.LOOK_AGAIN_SECONDS", 0.0)
    api = Airflow(8080, tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        runs = DagRuns(api, alive, Settings(tmp_path), Progress())
        runs.wait("experiment_readouts", ["2026-03-14", "2026-03-15"])
        alive.kill()
    assert api.looks == 3


def test_java_starts_with_the_options_of_the_settings() -> None:
    text = (ROOT / "conf" / "spark" / "laptop.conf").read_text(encoding="utf-8")
    (options,) = [
        line.split(maxsplit=1)[1]
        for line in text.splitlines()
        if line.startswith("spark.driver.extraJavaOptions")
    ]
    command = ["java", *options.split(), *QUICK_START.split(), "-version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
