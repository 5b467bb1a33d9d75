"""The whole path of the product on a synthetic service: landing files, Airflow, spark-submit, Delta, audits, readout.

    python -m scripts.demo --profiles 20000 --days 28 --seed 7 --master 'local[*]' --data-dir data     (make demo)

Spark is not started once a day: one backfill run of the daily job loads all days but the last two, which then go
through the DAGs in a real Airflow. Everything it starts is ended with it, also on Ctrl-C.
"""

import argparse
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from scripts import data_folder, processes
from scripts.airflow_local import api_of, interrupted, refuse_second_run
from scripts.dag_runs import DagRuns, start_airflow
from scripts.environment import Settings, environment
from scripts.errors import RunError
from scripts.progress import Progress
from scripts.submit import submit

FIRST_DAY = date(2026, 2, 16)  # two weeks of history before the experiment's start
EXPERIMENT = "homepage_ranking"
DAG_DAYS = 2
FEWEST_DAYS = 22  # two weeks of history, a week's window, and one day more


class Plan(NamedTuple):
    """Which days exist, and which of them go through the DAGs."""

    days: int

    @property
    def last(self) -> date:
        return FIRST_DAY + timedelta(days=self.days - 1)

    @property
    def by_dag(self) -> list[date]:
        return [self.last - timedelta(days=n) for n in reversed(range(DAG_DAYS))]

    @property
    def backfilled_to(self) -> date:
        return self.by_dag[0] - timedelta(days=1)


def run_demo(settings: Settings, plan: Plan, profiles: int, seed: int, progress: Progress) -> None:
    """The steps of the demo in their order; Airflow comes up beside the first ones."""
    airflow = start_airflow(settings, plan.by_dag[0], plan.last)
    progress.say(f"Airflow comes up in the background at http://127.0.0.1:{settings.port}")
    progress.say(
        f"simulate: {profiles:,} profiles, {plan.days} days from {FIRST_DAY}, seed {seed} (1 Spark application)"
    )
    size = [
        "--profiles",
        str(profiles),
        "--seed",
        str(seed),
        "--days",
        str(plan.days),
        "--from",
        str(FIRST_DAY),
        "--truth-days",
        str(DAG_DAYS),
    ]
    submit(settings, "simulate_service", size, progress)
    progress.say(f"backfill: {FIRST_DAY} to {plan.backfilled_to} in one run of run_day (1 Spark application)")
    submit(settings, "run_day", ["--from", str(FIRST_DAY), "--to", str(plan.backfilled_to)], progress)
    progress.say(
        f"daily DAGs: {' and '.join(map(str, plan.by_dag))} through Airflow (2 Spark applications each)"
    )
    runs = DagRuns(api_of(settings), airflow, settings, progress)
    runs.unpause(["experiment_readouts", "daily_metrics"])
    runs.wait("experiment_readouts", [str(day) for day in plan.by_dag])


def check_master(master: str) -> None:
    """Raises RunError where a master is named and none listens there: Spark itself would take a minute to say so."""
    if not master.startswith("spark://"):
        return
    host, _, port = master.removeprefix("spark://").split(",")[0].partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Spark master answers at {master} ({error}); start one with `make cluster`"
        ) from error


def show_readout(settings: Settings, plan: Plan, progress: Progress) -> None:
    """The readout in the terminal, and what ran to make it."""
    progress.say("readout:")
    command = [str(Path(sys.executable).with_name("watchlift")), "readout", EXPERIMENT]
    command += ["--conf-dir", str(settings.conf_dir), "--data-dir", str(settings.data_dir)]
    sys.stdout.flush()
    if subprocess.run(command, env=environment(settings), check=False).returncode != 0:
        raise RunError(f"the readout could not be shown; run it again: watchlift {' '.join(command[1:])}")
    applications = 2 + 2 * DAG_DAYS
    print(
        f"\nWhat ran: {applications} Spark applications. The service was simulated by one; the first "
        f"{plan.days - DAG_DAYS} days were loaded by one backfill run of jobs/run_day.py;\nthe last {DAG_DAYS} days "
        "each went through Airflow: daily_metrics (run_day), then, triggered by its asset, experiment_readouts "
        "(run_experiments, and render_readout without Spark)."
    )
    for page in sorted(settings.data_dir.glob(f"readouts/**/*{plan.last}*.html")):
        print(f"HTML readout: {page}")
    print(f"Tables and logs: {settings.data_dir}\nTime: {progress.seconds:.0f} s")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the demo.")
    parser.add_argument("--profiles", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options, progress = parse(argv), Progress()
    settings = Settings(options.data_dir.absolute(), options.master, options.port)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        if options.days < FEWEST_DAYS:
            raise RunError(
                f"DAYS is {options.days}; the windows of the experiment need at least {FEWEST_DAYS}"
            )
        refuse_second_run(settings)
        check_master(settings.master)
        data_folder.fresh(settings.data_dir)
    except (RunError, OSError) as error:
        return failed(error)
    try:
        run_demo(settings, Plan(options.days), options.profiles, options.seed, progress)
        # Airflow takes some seconds, during which the readout is shown.
        processes.ask_to_end(settings.data_dir)
        show_readout(settings, Plan(options.days), progress)
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    except (RunError, OSError) as error:
        return failed(error)
    finally:
        processes.stop_undisturbed(settings.data_dir)
    return 0


def failed(error: Exception) -> int:
    print(f"demo: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
