"""Three experiments through the DAGs in a real Airflow, from their registration to a decision.

    python -m scripts.rollout --data-dir DIR [--port 8080] [--profiles 12000] [--seed 11]     (make rollout)

One lifts plays: it is to ramp to 50% and ship. One harms rebuffering by twice its margin, from the stage of 5% on: it
is to be rolled back before 20%. One does nothing: it is to stop. In the middle of a look the scheduler and all beneath
it are killed; in the end late data come for a day of before, which is backfilled. The service exposes whom the table
`allocations` says. The first thing that differs from what was expected ends it with one line and exit code 1.
Everything it starts is ended with it, also on Ctrl-C.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psutil

from jobs.arguments import WorkFailed
from jobs.delta_reader import allocations_of
from metrics.assignment import in_force
from metrics.configuration.project import Project, load_project
from metrics.enrollment import start_of
from metrics.errors import InputError
from scripts import data_folder, processes
from scripts.airflow_local import api_of, interrupted, ready_file, refuse_second_run
from scripts.dag_runs import DagRuns, start_airflow
from scripts.environment import ROOT, Settings, environment
from scripts.errors import RunError
from scripts.findings import as_table
from scripts.incident.landing import land_rows, land_snapshot
from scripts.progress import Progress
from scripts.rollout.checks import Checks
from scripts.rollout.service import HARMS, LIFTS, NULL, START, Service, write_experiments
from scripts.submit import submit

ONE_DAY = timedelta(days=1)
HISTORY_DAYS = 14
KILLED_ON, LAST_DAY = START + 7 * ONE_DAY, START + 8 * ONE_DAY
LATE_FOR, LATE_VISITS = KILLED_ON, 400
DAGS = ("experiment_readouts", "daily_metrics")
# A scheduler that died is noticed sooner than in production, where minutes do not matter.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
}
MOST_SECONDS = 900.0


@dataclass
class Replay:
    settings: Settings
    project: Project
    service: Service
    checks: Checks
    progress: Progress
    runs: DagRuns

    def days(self) -> None:
        """The ramp: each day is lived by the shares of the day before's decision."""
        for n in range((LAST_DAY - START).days + 1):
            day = START + n * ONE_DAY
            self.live(day)
            if day == KILLED_ON:
                self.kill_in_a_look(day)
            else:
                self.runs.run("daily_metrics", str(day), until="experiment_readouts")

    def live(self, day: date) -> None:
        open_ = {}
        for name in (LIFTS, HARMS, NULL):
            now = in_force(allocations_of(self.project, name), start_of(day))
            if now and now.exposed_share:
                open_[name] = now
        told = ", ".join(f"{name} at {each.exposed_share:g}" for name, each in open_.items())
        self.progress.say(f"{day}: {told or 'nothing is open'}")
        land_snapshot(self.service.people, self.settings.data_dir, day)
        self.service.live(day, open_)

    def kill_in_a_look(self, day: date) -> None:
        """SIGKILL the scheduler and all that runs beneath it between the first experiment's look and the last one's.

        Then Airflow starts again.
        """
        self.runs.api.trigger("daily_metrics", str(day))
        self._wait_for_a_look(day)
        last = sum(look.analysis_day == day for look in self.checks.looks(LIFTS))
        victims = [each for each in processes.belonging_to(self.settings.data_dir) if _is_scheduler(each)]
        below = [child for victim in victims for child in victim.children(recursive=True)]
        processes.signal_all([*victims, *below], kill=True, known=set())
        self.progress.say(
            f"killed: the scheduler and {len(below)} processes beneath it, in the middle of a look"
        )
        processes.stop(self.settings.data_dir)
        self.checks.findings.expect(f"{day}: looks of {LIFTS} when killed", str(last), "0")
        ready_file(self.settings).unlink(missing_ok=True)
        told, self.runs = self.runs.teller, up(self.settings, self.progress)
        self.runs.teller = told
        self.runs.wait("experiment_readouts", [str(day)])

    def _wait_for_a_look(self, day: date) -> None:
        deadline = time.monotonic() + MOST_SECONDS
        before = len(self.checks.looks(NULL))  # the first in the order of the files
        while len(self.checks.looks(NULL)) == before:
            if time.monotonic() > deadline:
                raise RunError(f"no look of {day} was taken within {MOST_SECONDS:.0f} s")
            self.runs.look_on()
            time.sleep(0.2)

    def come_late(self) -> None:
        """Events of a day of before come with an upload that is added to its folder, and its run is made again."""
        before = {name: self.checks.looks(name) for name in (LIFTS, HARMS, NULL)}
        self.progress.say(f"late: {LATE_VISITS} visits of {LATE_FOR}, and {LATE_FOR} is run again")
        folder = self.settings.data_dir / "landing" / "events" / f"ingest_day={LATE_FOR}" / "hour=23"
        land_rows(self.service.late(LATE_FOR, LATE_VISITS), folder / "late-0.json.gz")
        self.runs.run("daily_metrics", str(LATE_FOR), until="experiment_readouts")
        for name in (LIFTS, NULL):
            self.checks.kept(name, before[name], [LATE_FOR, LAST_DAY])
        self.checks.kept(HARMS, before[HARMS], [])

    def check_the_path(self) -> None:
        ramp = dict(zip((START + n * ONE_DAY for n in range(4)), (0.01, 0.05, 0.2, 0.5), strict=True))
        for name in (LIFTS, NULL):
            self.checks.path(name, ramp)
        self.checks.path(HARMS, {START: 0.01, START + ONE_DAY: 0.05, START + 2 * ONE_DAY: 0.0})
        self.checks.ended(LIFTS, "ship", ["rollback", "stop"])
        self.checks.ended(HARMS, "rollback", ["ship", "stop"])
        self.checks.ended(NULL, "stop", ["ship", "rollback"])

    def check_the_ledgers(self) -> None:
        for experiment in self.project.experiments:
            self.checks.ledger(experiment)
            self.checks.replayed(experiment.id)


def _is_scheduler(process: psutil.Process) -> bool:
    try:
        return "scheduler" in process.cmdline()[:4] or "airflow scheduler" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def up(settings: Settings, progress: Progress) -> DagRuns:
    """Airflow, with the DAGs on."""
    airflow = start_airflow(settings, None, START, IMPATIENT)
    runs = DagRuns(api_of(settings), airflow, settings, progress)
    runs.unpause(DAGS)
    return runs


def watchlift(settings: Settings, progress: Progress, *arguments: str) -> None:
    """A command of the console, its answer as a person sees it."""
    progress.say(f"watchlift {' '.join(arguments)}")
    command = [str(Path(sys.executable).with_name("watchlift")), *arguments]
    command += ["--conf-dir", str(settings.conf_dir), "--data-dir", str(settings.data_dir)]
    if subprocess.run(command, env=environment(settings), check=False).returncode != 0:
        raise RunError(f"watchlift {arguments[0]} failed; its own line is above")


def replay_rollout(settings: Settings, profiles: int, seed: int) -> None:
    """History, registration, opening, the ramp, the late data."""
    progress = Progress()
    shutil.copytree(ROOT / "conf", settings.conf_dir, ignore=shutil.ignore_patterns("experiments"))
    write_experiments(settings.conf_dir / "experiments")
    project = load_project(settings.conf_dir, settings.data_dir)
    service, eve = Service.of(profiles, settings.data_dir, seed), START - ONE_DAY
    progress.say(f"history: {profiles:,} profiles, {HISTORY_DAYS} days to {eve}, seed {seed}")
    for n in range(HISTORY_DAYS):
        service.live(START - (HISTORY_DAYS - n) * ONE_DAY, {})
    land_snapshot(service.people, settings.data_dir, eve)
    submit(settings, "run_day", ["--from", str(START - HISTORY_DAYS * ONE_DAY), "--to", str(eve)], progress)
    for name in (LIFTS, HARMS, NULL):
        watchlift(settings, progress, "preregister", name)
        watchlift(settings, progress, "allocate", name, "--valid-from", str(START))
    checks = Checks(project)
    replay = Replay(settings, project, service, checks, progress, up(settings, progress))
    replay.days()
    for name in (LIFTS, HARMS, NULL):
        checks.one_version(name, "though a look was killed")
    replay.check_the_path()
    replay.come_late()
    replay.check_the_ledgers()
    twice = {str(day): 2 for day in (LATE_FOR, LAST_DAY)}
    days = [START + n * ONE_DAY for n in range((LAST_DAY - START).days + 1)]
    for name, n_days in ((LIFTS, len(days)), (HARMS, 2), (NULL, len(days))):
        runs = {f"{name} {day}": twice.get(str(day), 1) for day in days[:n_days]}
        checks.runs_in_mlflow(name, {f"{name} pre-registration": 1, **runs})
        watchlift(settings, progress, "decisions", name)
    print(f"\n{as_table(checks.findings.all)}\nTables and logs: {settings.data_dir}")
    print(f"Time: {progress.seconds:.0f} s")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay a rollout of three experiments.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--profiles", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    data_dir = options.data_dir.absolute()
    settings = Settings(data_dir, port=options.port, own_conf=data_dir / "conf")
    signal.signal(signal.SIGTERM, interrupted)
    try:
        refuse_second_run(settings)
        data_folder.fresh(settings.data_dir, "rollout")
    except (RunError, OSError) as error:
        return failed(error)
    try:
        replay_rollout(settings, options.profiles, options.seed)
    except KeyboardInterrupt:
        print("rollout: stopped", file=sys.stderr)
        return 130
    except (RunError, InputError, WorkFailed, OSError) as error:
        return failed(error)
    finally:
        processes.stop_undisturbed(settings.data_dir)
    return 0


def failed(error: Exception) -> int:
    print(f"rollout: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
