"""Faults of the machine: a disk that is full for a while, an executor that dies."""

import shlex
import subprocess
from pathlib import Path

import psutil

from scripts import processes, standalone
from scripts.environment import Settings
from scripts.faults.comparison import difference
from scripts.faults.jobs import JOBS
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run, command_of, environment_of
from scripts.faults.service import Service

_PORT, _UI_PORT = 7178, 8188
# Free at the start of the job, in percent of what it adds: for its first files, for some tables, for nearly all.
ROOMS = (5, 40, 90)


def full_disk(service: Service, room: int, job: str = "run_day") -> Outcome:
    """A job in a small file system of its own; then there is room again, and it is run again."""
    outcome = Outcome(f"a full disk in {job} (room for {room}% of what it adds), then room again", runs=2)
    tables, expected = service.copy(JOBS[job].begins, "disk"), service.tables(JOBS[job].leaves)
    data_dir = tables.project.data_dir
    used, then = _kib(data_dir), _kib(expected.project.data_dir)
    script = _script(service, job, used + (then - used) * room // 100)
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script],
        env=environment_of(Settings(data_dir, "local[2]")),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        outcome.say(f"not run: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
        return outcome
    for line in done.stdout.splitlines():
        outcome.say(line)
    if done.stdout.startswith("exit 0"):
        outcome.failed += 1
        outcome.say("the disk was never full")
    outcome.add(difference(tables, expected))
    return outcome


def _kib(folder: Path) -> int:
    """What the files take in a tmpfs, by pages of 4 KiB; folders take nothing."""
    return sum(-(-file.stat().st_size // 4096) * 4 for file in folder.rglob("*") if file.is_file())


def _script(service: Service, job: str, kib: int) -> str:
    """Where user namespaces are allowed, this needs no rights. Says how the first run ended, and the second."""
    data_dir = service.folder / "disk"
    arguments = JOBS[job].arguments(service)
    run = shlex.join(command_of(Settings(data_dir, "local[2]"), job, arguments, service.conf_dir))
    place, aside, log = (
        shlex.quote(str(path)) for path in (data_dir, f"{data_dir}-aside", f"{data_dir}.log")
    )
    tell = f"echo \"exit $?: $(grep -m1 -o 'No space left on device' {log} || tail -n1 {log})\""
    return f"""
        set -e
        rm -rf {aside} && cp -a {place} {aside}
        mount -t tmpfs -o size={kib}k,nr_inodes=0 tmpfs {place}
        cp -a {aside}/. {place}
        {run} > {log} 2>&1 && echo 'exit 0' || {tell}
        mount -o remount,size=1g {place}
        {run} > {log} 2>&1 && echo 'exit 0' || {tell}
        rm -rf {aside} && cp -a {place} {aside}
        umount {place}
        rm -rf {place}/* && cp -a {aside}/. {place}
    """


def kill_executor(service: Service) -> Outcome:
    """One of two executors of a cluster of two workers, in the middle of the job."""
    outcome, tables = (
        Outcome("an executor of a two-worker cluster killed, run_day"),
        service.copy("before", "executor"),
    )
    standalone.main(["--port", str(_PORT), "--ui-port", str(_UI_PORT)])
    try:
        run = Run(tables, "run_day", JOBS["run_day"].arguments(service), f"spark://127.0.0.1:{_PORT}")
        run.wait_for_lines(3)
        outcome.say(f"{_kill_one_executor()} executor killed")
        error = run.wait()
        outcome.runs += 1
        if error:
            outcome.say(error)
    finally:
        processes.stop(standalone.FOLDER)
    outcome.add(difference(tables, service.tables("rolled_up")))
    return outcome


def _kill_one_executor() -> int:
    for process in processes.belonging_to(standalone.FOLDER):
        try:
            if any("CoarseGrainedExecutorBackend" in part for part in process.cmdline()):
                process.kill()
                return 1
        except psutil.Error:
            continue
    return 0
