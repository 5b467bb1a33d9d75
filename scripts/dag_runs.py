"""An Airflow beside a script: starting it, and watching runs until they succeed, or telling why one did not."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scripts import processes
from scripts.airflow_api import AirflowApi, RunState, TaskState
from scripts.airflow_local import ready_file
from scripts.environment import Settings, environment
from scripts.errors import RunError
from scripts.progress import LogFollower, Progress, job_message

MOST_SECONDS = 3600.0
LOOK_AGAIN_SECONDS = 1.0
VERDICT = re.compile(r"error: ")
EXCEPTION = re.compile(r"[\w.$]+(Error|Exception): ")
TOLD = ("running", "success", "failed", "upstream_failed", "up_for_retry", "skipped")


def start_airflow(
    settings: Settings, first_day: date | None, last_day: date, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Airflow in a process that owns its parts; `variables` are further ones of its environment.

    Without a first day nothing is caught up on, and with a last day that is past no run comes by itself.
    """
    command = [sys.executable, "-m", "scripts.airflow_local", "--data-dir", str(settings.data_dir)]
    command += ["--port", str(settings.port), "--master", settings.master]
    command += ["--last-day", str(last_day), *(["--first-day", str(first_day)] if first_day else [])]
    command += ["--conf-dir", str(settings.conf_dir)]
    own = environment(settings) | {"PYTHONPATH": str(settings.root)} | dict(variables or {})
    return processes.start(command, settings.data_dir, own, settings.logs / "airflow.log")


@dataclass
class DagRuns:
    """The runs of an Airflow that `start_airflow` started."""

    api: AirflowApi
    airflow: subprocess.Popen[bytes]
    settings: Settings
    progress: Progress

    def __post_init__(self) -> None:
        self.teller = Teller(self.settings, self.progress)

    def unpause(self, dag_ids: Sequence[str]) -> None:
        """Let the DAGs run as soon as Airflow is there, in this order: a triggered one first, to miss no event."""
        while not ready_file(self.settings).exists():
            check_running(self.airflow, self.settings)
            self.progress.still("waiting for Airflow")
            time.sleep(0.3)
        for dag_id in dag_ids:
            self.api.unpause(dag_id)

    def run(self, dag_id: str, partition_key: str, until: str | None = None) -> None:
        """Trigger the DAG for a partition and wait for it; or for `until`, a DAG that follows it."""
        last = until or dag_id
        before = self._succeeded(last, self.api.states())[partition_key]
        self.api.trigger(dag_id, partition_key)
        self.wait(last, [partition_key], before + 1)

    def wait(self, dag_id: str, partition_keys: Sequence[str], times: int = 1) -> None:
        """Return once so many of the DAG's runs of each partition succeeded, telling each task's changes of state.

        Raises RunError where a task of any DAG failed.
        """
        deadline = time.monotonic() + MOST_SECONDS
        while True:
            check_running(self.airflow, self.settings)
            runs = self.api.states()
            tasks = [task for run in runs for task in run.tasks]
            self.teller.tell(tasks)
            raise_failure(tasks, self.settings)
            succeeded = self._succeeded(dag_id, runs)
            if all(succeeded[key] >= times for key in partition_keys):
                return
            if time.monotonic() > deadline:
                raise RunError(
                    f"the DAGs did not finish within {MOST_SECONDS:.0f} s; see the logs in {self.settings.logs}"
                )
            running = [f"{task.task_id} of {task.partition_key}" for task in tasks if task.state == "running"]
            self.progress.still(f"running: {', '.join(running) or 'only the scheduler'}")
            time.sleep(LOOK_AGAIN_SECONDS)

    def look_on(self) -> None:
        """Tell what changed since the last time. Raises RunError where a task failed."""
        check_running(self.airflow, self.settings)
        tasks = [task for run in self.api.states() for task in run.tasks]
        self.teller.tell(tasks)
        raise_failure(tasks, self.settings)

    def _succeeded(self, dag_id: str, runs: Sequence[RunState]) -> Counter[str]:
        return Counter(run.partition_key for run in runs if (run.dag_id, run.state) == (dag_id, "success"))


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
