"""The few calls of Airflow's REST API that the demo and the incident need, on the standard library."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from scripts.errors import RunError

USER = "admin"


class TaskState(NamedTuple):
    """What a task of a run is doing. `state` is Airflow's word, or 'waiting' before it has one."""

    dag_id: str
    partition_key: str
    task_id: str
    state: str
    run_id: str
    try_number: int


class RunState(NamedTuple):
    """A run of a DAG: Airflow's word for its state, and its tasks."""

    dag_id: str
    partition_key: str
    state: str
    tasks: list[TaskState]


@dataclass
class AirflowApi:
    """Airflow's REST API on this machine, logged in at the first call that needs it."""

    port: int
    passwords: Path
    _token: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_healthy(self) -> bool:
        """Whether the API answers and the scheduler, the dag processor and the triggerer are alive."""
        try:
            parts = self._send("GET", "/api/v2/monitor/health", token=None)
        except (OSError, ValueError):
            return False
        needed = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((parts.get(name) or {}).get("status") == "healthy" for name in needed)

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self._get("/api/v2/dags?limit=100")["dags"]}

    def import_errors(self) -> list[str]:
        """The last line of each DAG file's import error, with its file."""
        errors = self._get("/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, partition_key: str) -> None:
        """Start a run of one partition, which the schedule may know nothing of."""
        self._call(
            "POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "partition_key": partition_key}
        )

    def create_pools(self, definitions: Path) -> None:
        """Create the pools of a file in the form of `airflow pools import`; existing ones stay as they are."""
        existing = {pool["name"] for pool in self._get("/api/v2/pools?limit=100")["pools"]}
        for name, pool in json.loads(definitions.read_text(encoding="utf-8")).items():
            if name not in existing:
                self._call("POST", "/api/v2/pools", {"name": name, **pool})

    def states(self) -> list[RunState]:
        """The runs of all DAGs with their tasks, a hundred at most, in the order of the partition keys.

        Two requests, because each takes processor time from the jobs.
        """
        runs = self._get("/api/v2/dags/~/dagRuns?limit=100")["dag_runs"]
        tasks = self._get("/api/v2/dags/~/dagRuns/~/taskInstances?limit=100")["task_instances"]
        states = [_run_state(run, [task for task in tasks if _run_of(task) == _run_of(run)]) for run in runs]
        return sorted(states, key=lambda run: (run.partition_key, run.dag_id))

    def _get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            if self._token is None:
                self._token = self._log_in()
            return self._send(method, path, self._token, body)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:200]
            raise RunError(
                f"Airflow answered {error.code} to {method} {path}: {said}; see the log of api-server"
            ) from error
        except OSError as error:
            raise RunError(
                f"Airflow at {self.address} does not answer ({error}); see the log of api-server"
            ) from error

    def _log_in(self) -> str:
        password = json.loads(self.passwords.read_text(encoding="utf-8"))[USER]
        token: str = self._send("POST", "/auth/token", None, {"username": USER, "password": password})[
            "access_token"
        ]
        return token

    def _send(self, method: str, path: str, token: str | None, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = json.dumps(body).encode() if body is not None else None
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )  # a proxy cannot reach this machine's own
        with direct.open(request, data=data, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


def _run_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["dag_id"], entry["dag_run_id"]


def _run_state(run: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> RunState:
    dag_id, run_id = _run_of(run)
    key = str(run["partition_key"])
    states = [
        TaskState(dag_id, key, task["task_id"], task["state"] or "waiting", run_id, task["try_number"])
        for task in tasks
    ]
    return RunState(dag_id, key, run["state"], states)
