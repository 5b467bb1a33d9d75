"""Airflow on this machine: scheduler, dag processor, triggerer and API server over SQLite, for one data folder.

    python -m scripts.airflow_local --data-dir data [--port 8080] [--first-day D --last-day D]     (make airflow)

Runs until Ctrl-C or until a part of it dies, and ends all of its processes, tasks included. Listens on 127.0.0.1 only.
Log in as `admin` with the password that it prints; it is made once per data folder and kept in
`airflow/passwords.json` there, readable by its owner alone.
"""

import argparse
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from subprocess import Popen
from types import FrameType

from scripts import processes
from scripts.airflow_api import USER, AirflowApi
from scripts.environment import Settings, environment
from scripts.errors import RunError

DAGS = ("hourly_exposures", "daily_metrics", "experiment_readouts")
COMPONENTS: Mapping[str, Sequence[str]] = {
    # Logs are read from the disk: no log servers, whose fixed ports another Airflow may hold.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("api-server",),
}
START_SECONDS = 180


def airflow_environment(settings: Settings, first_day: date | None, last_day: date | None) -> dict[str, str]:
    """The environment of Airflow's processes: its settings, this project's paths, the Spark connection."""
    address = f"http://127.0.0.1:{settings.port}"
    options = {
        "CORE__DAGS_FOLDER": settings.root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 4,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords_file(settings),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{settings.airflow_home / 'airflow.db'}",
        "API__HOST": "127.0.0.1",
        "API__PORT": settings.port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,  # each reading of the DAGs takes processor time from the jobs
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 2,
        "LOGGING__BASE_LOG_FOLDER": settings.airflow_home / "logs",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    own = environment(settings, quick_start=not settings.is_cluster)
    own |= {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
    days = {"WATCHLIFT_FIRST_DAY": first_day, "WATCHLIFT_LAST_DAY": last_day}
    return own | {
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": settings.master}),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        **{name: str(day) for name, day in days.items() if day},
    }


def passwords_file(settings: Settings) -> Path:
    return settings.airflow_home / "passwords.json"


def ready_file(settings: Settings) -> Path:
    """It exists while Airflow is up and knows the DAGs: what other scripts wait for."""
    return settings.airflow_home / "ready"


def password(settings: Settings) -> str:
    """The password of this data folder's Airflow, made at the first call."""
    path = passwords_file(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            json.dump({USER: secrets.token_urlsafe(9)}, file)
    known: str = json.loads(path.read_text(encoding="utf-8"))[USER]
    return known


def api_of(settings: Settings) -> AirflowApi:
    return AirflowApi(settings.port, passwords_file(settings))


def start(settings: Settings, own: Mapping[str, str]) -> dict[str, Popen[bytes]]:
    """Prepare the database and start the four components. Their logs are `airflow-*.log` under the data folder."""
    launch = Launcher(settings, own)
    migration = launch("db-migrate", ("db", "migrate"))
    if migration.wait() != 0:
        raise RunError(f"Airflow's database could not be prepared; see {launch.log('db-migrate')}")
    return {name: launch(name, arguments) for name, arguments in COMPONENTS.items()}


class Launcher:
    """Starts Airflow commands with one environment, each into a log of its own."""

    def __init__(self, settings: Settings, own: Mapping[str, str]) -> None:
        self.settings, self.own = settings, own

    def log(self, name: str) -> Path:
        return self.settings.logs / f"airflow-{name}.log"

    def __call__(self, name: str, arguments: Sequence[str]) -> Popen[bytes]:
        command = [str(Path(sys.executable).with_name("airflow")), *arguments]
        return processes.start(command, self.settings.data_dir, self.own, self.log(name))


def wait_until_ready(settings: Settings, parts: Mapping[str, Popen[bytes]]) -> None:
    """Return once all parts are healthy, the DAGs are known and the pools exist. Raises RunError else."""
    api, deadline = api_of(settings), time.monotonic() + START_SECONDS
    while not (api.is_healthy() and set(DAGS) <= api.dag_ids()):
        check_alive(settings, parts)
        if time.monotonic() > deadline:
            errors = api.import_errors() if api.is_healthy() else []
            why = "; ".join(errors) or f"see the logs in {settings.logs}"
            raise RunError(f"Airflow was not ready after {START_SECONDS} s: {why}")
        time.sleep(0.5)
    api.create_pools(settings.root / "dags" / "pools.json")


def check_alive(settings: Settings, parts: Mapping[str, Popen[bytes]]) -> None:
    for name, process in parts.items():
        if process.poll() is not None:
            log = settings.logs / f"airflow-{name}.log"
            raise RunError(f"Airflow's {name} ended with exit code {process.returncode}; see {log}")


def refuse_second_run(settings: Settings) -> None:
    """Two runs on one data folder would write over each other."""
    others = processes.belonging_to(settings.data_dir)
    if others:
        pids = ", ".join(str(process.pid) for process in others[:3])
        raise RunError(
            f"a run on {settings.data_dir} is still there (process {pids}); stop it with `make stop`"
        )


def serve(settings: Settings, first_day: date | None, last_day: date | None) -> None:
    """Start, tell where it is, and stay until a part dies or somebody asks to stop."""
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    ready_file(settings).unlink(missing_ok=True)
    secret = password(settings)
    parts = start(settings, airflow_environment(settings, first_day, last_day))
    wait_until_ready(settings, parts)
    ready_file(settings).touch()
    print(f"Airflow is at http://127.0.0.1:{settings.port}  user: {USER}  password: {secret}", flush=True)
    print(f"data: {settings.data_dir}  logs: {settings.logs}  stop: Ctrl-C", flush=True)
    while True:
        check_alive(settings, parts)
        time.sleep(1.0)


def interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run Airflow with the DAGs on a data folder until Ctrl-C.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--master", default="local[*]", help="Spark master of the connection spark_default")
    parser.add_argument("--first-day", type=date.fromisoformat, help="first day that catch-up runs")
    parser.add_argument("--last-day", type=date.fromisoformat, help="last day that catch-up runs")
    parser.add_argument("--conf-dir", type=Path, help="another configuration than the project's")
    options = parser.parse_args(argv)
    own_conf = options.conf_dir.absolute() if options.conf_dir else None
    settings = Settings(options.data_dir.absolute(), options.master, options.port, own_conf=own_conf)
    signal.signal(signal.SIGTERM, interrupted)
    part_of_a_run = processes.MARK in os.environ
    try:
        if not part_of_a_run:
            refuse_second_run(settings)
        serve(settings, options.first_day, options.last_day)
    except KeyboardInterrupt:
        return 0
    except (RunError, OSError) as error:
        print(f"airflow: {error}", file=sys.stderr)
        return 1
    finally:
        if not part_of_a_run:
            processes.stop_undisturbed(settings.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
