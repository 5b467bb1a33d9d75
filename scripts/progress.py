"""What is shown while something long works: lines with the seconds since its start."""

import re
import subprocess
import time
from pathlib import Path

from scripts.errors import RunError

# Lines of the jobs' own log, as jobs/arguments.py formats them: "2026-03-01 00:00:00,000 watchlift.job message".
JOB_LINE = re.compile(r"^\S+ \S+ watchlift\.(\w+) (.*)$")
STILL_RUNNING_SECONDS = 15.0


class Progress:
    """Prints lines; says that something still runs when nothing was said for a while."""

    def __init__(self) -> None:
        self.started = self.said = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        print(f"[{self.seconds:4.0f} s] {text}", flush=True)
        self.said = time.monotonic()

    def still(self, what: str) -> None:
        """Say that it still runs, but not too often."""
        if time.monotonic() - self.said > STILL_RUNNING_SECONDS:
            self.say(f"… {what}")


class LogFollower:
    """Gives the complete lines that were added to a log file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0

    def new_lines(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as log:
            log.seek(self.offset)
            added = log.read()
        complete = added[: added.rfind(b"\n") + 1]
        self.offset += len(complete)
        return complete.decode(errors="replace").splitlines()


def job_message(line: str) -> str | None:
    """A job's own log line without its time, or None for anything else."""
    match = JOB_LINE.match(line)
    return f"{match.group(1)}: {match.group(2)}" if match else None


def follow(process: subprocess.Popen[bytes], what: str, log: Path, progress: Progress) -> None:
    """Show a job's own log lines until it ends. Raises RunError with its one-line error where it fails."""
    follower, last_error = LogFollower(log), ""
    while True:
        ended = process.poll() is not None
        for line in follower.new_lines():
            if message := job_message(line):
                progress.say(f"  {message}")
            elif line.startswith("error: "):
                last_error = line
        if ended:
            break
        progress.still(f"running: {what}")
        time.sleep(0.3)
    if process.returncode != 0:
        cause = last_error or f"exit code {process.returncode}"
        raise RunError(f"{what} failed: {cause.removeprefix('error: ')} (log: {log})")
