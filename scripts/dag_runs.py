"""Watching the demo's runs in Airflow until they succeed, or telling why one did not."""

import json
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.airflow_api import AirflowApi, TaskState
from scripts.airflow_local import DAGS, ready_file
from scripts.environment import Settings
from scripts.errors import RunError
from scripts.progress import LogFollower, Progress, job_message

MOST_SECONDS = 3600.0
LOOK_AGAIN_SECONDS = 1.0
LAST_DAG = "experiment_readouts"
VERDICT = re.compile(r"error: ")
EXCEPTION = re.compile(r"[\w.$]+(Error|Exception): ")
TOLD = ("running", "success", "failed", "upstream_failed", "up_for_retry", "skipped")


def unpause(
    api: AirflowApi, airflow: subprocess.Popen[bytes], settings: Settings, progress: Progress
) -> None:
    """Let the DAGs run as soon as Airflow is there: the triggered one first, so that no asset event is missed."""
    while not ready_file(settings).exists():
        check_running(airflow, settings)
        progress.still("waiting for Airflow")
        time.sleep(0.3)
    for dag_id in reversed(DAGS):
        api.unpause(dag_id)


def await_runs(
    api: AirflowApi,
    airflow: subprocess.Popen[bytes],
    partition_keys: Sequence[str],
    settings: Settings,
    progress: Progress,
) -> None:
    """Return once the readouts of all partitions succeeded, telling each task's changes of state on the way."""
    teller = Teller(settings, progress)
    deadline = time.monotonic() + MOST_SECONDS
    while True:
        check_running(airflow, settings)
        runs = api.states()
        tasks = [task for run in runs for task in run.tasks]
        teller.tell(tasks)
        raise_failure(tasks, settings)
        succeeded = {run.partition_key for run in runs if run.dag_id == LAST_DAG and run.state == "success"}
        if succeeded.issuperset(partition_keys):
            return
        if time.monotonic() > deadline:
            raise RunError(
                f"the DAGs did not finish within {MOST_SECONDS:.0f} s; see the logs in {settings.logs}"
            )
        running = [f"{task.task_id} of {task.partition_key}" for task in tasks if task.state == "running"]
        progress.still(f"running: {', '.join(running) or 'only the scheduler'}")
        time.sleep(LOOK_AGAIN_SECONDS)


def check_running(airflow: subprocess.Popen[bytes], settings: Settings) -> None:
    """Raises RunError with Airflow's own last line where it has ended."""
    if airflow.poll() is not None:
        log = settings.logs / "airflow.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise RunError(
            lines[-1] if lines else f"Airflow ended with exit code {airflow.returncode}; see {log}"
        )


class Teller:
    """Tells each task's changes of state, and what its job logs, once each."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings, self.progress = settings, progress
        self.states: dict[tuple[str, str], str] = {}
        self.logs: dict[Path, LogFollower] = {}

    def tell(self, tasks: Sequence[TaskState]) -> None:
        for task in tasks:
            self._tell_log(task)
            key = (task.run_id, task.task_id)
            if task.state in TOLD and self.states.get(key) != task.state:
                self.states[key] = task.state
                self.progress.say(f"  {task.dag_id} {task.partition_key}: {task.task_id} {self._told(task)}")

    def _told(self, task: TaskState) -> str:
        if task.state != "up_for_retry":
            return task.state
        return f"is tried again in two minutes; it crashed: {cause_in(task_log(task, self.settings))}"

    def _tell_log(self, task: TaskState) -> None:
        if task.try_number == 0:
            return
        log = task_log(task, self.settings)
        for line in self.logs.setdefault(log, LogFollower(log)).new_lines():
            if message := job_message(message_of(line)):
                self.progress.say(f"    {task.partition_key} {message}")


def raise_failure(tasks: Sequence[TaskState], settings: Settings) -> None:
    """Raises RunError with the failed task's own one-line error and its log."""
    for task in tasks:
        if task.state == "failed":
            log = task_log(task, settings)
            raise RunError(f"{task.task_id} of {task.partition_key} failed: {cause_in(log)} (log: {log})")


def task_log(task: TaskState, settings: Settings) -> Path:
    """Where Airflow keeps the log of a task's last attempt."""
    folder = settings.airflow_home / "logs" / f"dag_id={task.dag_id}" / f"run_id={task.run_id}"
    return folder / f"task_id={task.task_id}" / f"attempt={task.try_number}.log"


def cause_in(log: Path) -> str:
    """The job's own line `error: …` in a task's log; else the last exception; else the last thing it said."""
    messages = [message for message in messages_in(log) if message and not message.startswith("::")]
    for pattern in (VERDICT, EXCEPTION):
        if found := [message for message in messages if pattern.match(message)]:
            return found[-1].removeprefix("error: ").splitlines()[0]
    return messages[-1].splitlines()[0] if messages else "it left no log"


def messages_in(log: Path) -> list[str]:
    return [message_of(line) for line in LogFollower(log).new_lines()]


def message_of(line: str) -> str:
    """The text of a line of a task's log; lines that are no JSON are text themselves."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry.get("event", "")).strip() if isinstance(entry, dict) else line
