"""The incident, replayed through the DAGs in a real Airflow: triggered, blocked, alerted, restarted, decided anew.

    python -m scripts.incident --data-dir DIR [--port 8080] [--exposures 420000] [--seed 5]     (make incident)

On the first day of homepage_ranking the log loses exposures of the treatment on Android WebView: 51.3% of those that
are left are the control's, and half elsewhere. Each step is compared with what the script itself landed; the first that
differs ends it with one line and exit code 1. Everything it starts is ended with it, also on Ctrl-C.
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.arguments import WorkFailed
from metrics.configuration.experiment import Experiment, Restart
from metrics.configuration.project import load_project
from metrics.errors import InputError
from scripts import data_folder, processes
from scripts.airflow_local import api_of, interrupted, refuse_second_run
from scripts.dag_runs import DagRuns, start_airflow
from scripts.environment import Settings, environment
from scripts.errors import RunError
from scripts.findings import as_table
from scripts.incident import landing
from scripts.incident.checks import Checks
from scripts.incident.landing import HOURS, Incident
from scripts.incident.webhook import Webhook
from scripts.progress import Progress
from scripts.submit import submit

EXPERIMENT = "homepage_ranking"
REASON = "the log lost exposures of the treatment on Android WebView"
CONNECTION = "incident_webhook"
MORE_HOURS = 2  # monitored after the one that blocks, and of the new epoch; the daily run brings the others
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Replay:
    """What the steps share. The new epoch is of the day after the experiment's first."""

    settings: Settings
    checks: Checks
    incident: Incident
    restart: Restart
    rng: np.random.Generator
    progress: Progress

    @property
    def experiment(self) -> Experiment:
        return self.checks.experiment

    @property
    def first_day(self) -> date:
        return self.experiment.start

    @property
    def second_day(self) -> date:
        return self.restart.valid_from

    @property
    def mature_day(self) -> date:
        """On it the first outcomes of the new epoch are known of every metric."""
        metrics = self.experiment.metrics(self.checks.project.catalogue)
        return self.second_day + max(metric.window or 1 for metric in metrics) * ONE_DAY - ONE_DAY


def run_replay(replay: Replay, runs: DagRuns, webhook: Webhook) -> None:
    """The steps in their order."""
    load_days(replay, replay.experiment.first_covariate_day, replay.first_day - ONE_DAY)
    runs.unpause(["experiment_readouts", "daily_metrics", "hourly_exposures"])
    run_first_day(replay, runs, webhook)
    watchlift(replay, "srm", EXPERIMENT)
    watchlift(replay, "restart", EXPERIMENT, "--valid-from", str(replay.second_day), "--reason", REASON)
    run_second_day(replay, runs)
    run_to_maturity(replay, runs)
    replay.checks.alerts("alerts in the end", webhook.messages)
    watchlift(replay, "srm", EXPERIMENT)


def run_first_day(replay: Replay, runs: DagRuns, webhook: Webhook) -> None:
    """The incident: hour by hour until a slice is blocked, some hours more, then the whole day."""
    first, checks = replay.incident.first, replay.checks
    replay.progress.say(
        f"incident: {len(first):,} exposures of {replay.first_day}; the log lost {replay.incident.lost:,} more"
    )
    land_profiles(replay, replay.first_day)
    hour = run_until_blocked(replay, runs)
    checks.trigger(landing.up_to(first, hour), end_of_hour(replay.first_day, hour))
    checks.alerts("alerts by the webhook", webhook.messages)
    later = [each for each in HOURS if each > hour]
    run_hours(replay, runs, first, later[:MORE_HOURS])
    checks.alerts("alerts by later hours", webhook.messages)
    run_day(replay, runs, first, later[MORE_HOURS:])
    checks.first_day(first)


def run_second_day(replay: Replay, runs: DagRuns) -> None:
    """The new epoch: some hours, then the whole day."""
    second, anew = replay.incident.second, sum(replay.incident.expected.values())
    replay.progress.say(
        f"new epoch: {len(second):,} exposures of {replay.second_day}, {anew:,} of profiles never exposed before"
    )
    land_profiles(replay, replay.second_day)
    run_hours(replay, runs, second, HOURS[:MORE_HOURS])
    run_day(replay, runs, second, HOURS[MORE_HOURS:])
    replay.checks.exposures(replay.second_day, second)
    check_new_epoch(replay, replay.second_day)


def run_to_maturity(replay: Replay, runs: DagRuns) -> None:
    """The days until outcomes of the new epoch are known of every metric, the last of them through the DAGs."""
    load_days(replay, replay.second_day + ONE_DAY, replay.mature_day - ONE_DAY)
    land_days(replay, replay.mature_day, replay.mature_day)
    run_readout(runs, replay.mature_day)
    check_new_epoch(replay, replay.mature_day)


def load_days(replay: Replay, first: date, last: date) -> None:
    """Days of plays alone, in one Spark application."""
    replay.progress.say(
        f"load: a few plays a day, {first} to {last}, in one run of run_day (1 Spark application)"
    )
    land_days(replay, first, last)
    submit(replay.settings, "run_day", ["--from", str(first), "--to", str(last)], replay.progress)


def land_days(replay: Replay, first: date, last: date) -> None:
    """A few plays on each day, and the profiles on the last."""
    for n in range((last - first).days + 1):
        visits = landing.visits(replay.incident.people, first + n * ONE_DAY, replay.rng)
        land_plays(replay, visits)
    land_profiles(replay, last)


def land_profiles(replay: Replay, day: date) -> None:
    landing.land_snapshot(replay.incident.people, replay.settings.data_dir, day)


def land_plays(replay: Replay, visits: pd.DataFrame) -> None:
    landing.land(landing.plays(visits, replay.rng), "ts", "events", replay.settings.data_dir)


def run_until_blocked(replay: Replay, runs: DagRuns) -> int:
    """Run the first day hour by hour. Returns the first that blocked a slice."""
    for hour in HOURS:
        run_hours(replay, runs, replay.incident.first, [hour])
        if replay.checks.blocked():
            return hour
    raise RunError(f"{len(replay.incident.first):,} exposures blocked no slice; give more by --exposures")


def run_hours(replay: Replay, runs: DagRuns, exposures: pd.DataFrame, hours: Iterable[int]) -> None:
    """The exposures of each hour come, then the monitor runs."""
    day, data_dir = exposures["exposed_at"].iloc[0].date(), replay.settings.data_dir
    for hour in hours:
        landing.land(exposures, "exposed_at", "exposures", data_dir, [hour])
        runs.run("hourly_exposures", f"{day}T{hour:02d}")


def run_day(replay: Replay, runs: DagRuns, exposures: pd.DataFrame, left: Iterable[int]) -> None:
    """The hours that are left of a day come, then its metrics and its readout run."""
    landing.land(exposures, "exposed_at", "exposures", replay.settings.data_dir, left)
    land_plays(replay, landing.visits_of(exposures, replay.rng))
    run_readout(runs, exposures["exposed_at"].iloc[0].date())


def run_readout(runs: DagRuns, day: date) -> None:
    runs.run("daily_metrics", str(day), until="experiment_readouts")


def check_new_epoch(replay: Replay, day: date) -> None:
    known = [
        metric.name
        for metric in replay.experiment.metrics(replay.checks.project.catalogue)
        if metric.window is None or day >= replay.mature_day
    ]
    replay.checks.new_epoch(day, replay.restart.epoch, replay.incident.expected, known)


def watchlift(replay: Replay, *arguments: str) -> None:
    """A command of the console, its answer as a person sees it."""
    replay.progress.say(f"watchlift {' '.join(arguments)}")
    settings = replay.settings
    command = [str(Path(sys.executable).with_name("watchlift")), *arguments]
    command += ["--conf-dir", str(settings.conf_dir), "--data-dir", str(settings.data_dir)]
    if subprocess.run(command, env=environment(settings), check=False).returncode != 0:
        raise RunError(f"watchlift {arguments[0]} failed; its own line is above")


def end_of_hour(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC) + timedelta(hours=1)


def replay_incident(settings: Settings, exposures: int, seed: int) -> None:
    """Airflow comes up while the first days are drawn and loaded."""
    progress, project = Progress(), load_project(settings.conf_dir, settings.data_dir)
    experiment, rng = project.experiment(EXPERIMENT), np.random.default_rng(seed)
    restart = Restart(1, experiment.start + ONE_DAY, REASON)
    with Webhook(progress) as webhook:
        connection = json.dumps({"conn_type": "http", "host": webhook.address})
        variables = {
            "WATCHLIFT_ALERT_CONNECTIONS": CONNECTION,
            f"AIRFLOW_CONN_{CONNECTION.upper()}": connection,
        }
        airflow = start_airflow(settings, None, experiment.start, variables)
        progress.say(f"Airflow comes up in the background at http://127.0.0.1:{settings.port}")
        progress.say(f"draw: who is exposed, {exposures:,} on the first day, seed {seed}")
        drawn = landing.incident(experiment, restart, exposures, rng)
        replay = Replay(settings, Checks(project, experiment), drawn, restart, rng, progress)
        run_replay(replay, DagRuns(api_of(settings), airflow, settings, progress), webhook)
    print(f"\n{as_table(replay.checks.findings.all)}\nTables and logs: {settings.data_dir}")
    print(f"Time: {progress.seconds:.0f} s")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay the incident.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--exposures", type=int, default=420_000, help="of the first day, before some are lost"
    )
    parser.add_argument("--seed", type=int, default=5)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    settings = Settings(options.data_dir.absolute(), port=options.port)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        refuse_second_run(settings)
        data_folder.fresh(settings.data_dir, "incident")
    except (RunError, OSError) as error:
        return failed(error)
    try:
        replay_incident(settings, options.exposures, options.seed)
    except KeyboardInterrupt:
        print("incident: stopped", file=sys.stderr)
        return 130
    except (RunError, InputError, WorkFailed, OSError) as error:
        return failed(error)
    finally:
        processes.stop_undisturbed(settings.data_dir)
    return 0


def failed(error: Exception) -> int:
    print(f"incident: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
