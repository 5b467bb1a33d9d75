"""Running a job by spark-submit in a process of its own, which may be killed."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.tables import Tables
from scripts import processes, submit
from scripts.environment import FEW_ROWS, ROOT, Settings, environment, spark_options
from scripts.progress import LogFollower, job_message

_WATCHED = 0.05


class Run:
    """One spark-submit of a job."""

    def __init__(
        self,
        tables: Tables,
        job: str,
        arguments: Sequence[str],
        master: str = "local[2]",
        name: str | None = None,
    ) -> None:
        project = tables.project
        settings = Settings(project.data_dir, master)
        self.log = project.data_dir / "logs" / f"{name or job}.log"
        self.log.unlink(missing_ok=True)
        self._lines = LogFollower(self.log)
        command = command_of(settings, job, arguments, project.conf_dir)
        self.process = processes.start(command, project.data_dir, environment_of(settings), self.log)

    def wait_for_lines(self, count: int) -> None:
        """Until the job logged that many lines, or ended. Its first comes once its session is there."""
        while self.process.poll() is None and count > 0:
            count -= sum(job_message(line) is not None for line in self._lines.new_lines())
            time.sleep(_WATCHED)

    def kill_after(self, lines: int, seconds: float) -> bool:
        """SIGKILL to all of it, that long after so many lines and the first; False where it ended before."""
        self.wait_for_lines(lines + 1)
        try:
            self.process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return True

    def wait(self) -> str | None:
        """Until its end: the job's one-line error, or None where there was none."""
        if self.process.wait() == 0:
            return None
        lines = self.log.read_text(errors="replace").splitlines()
        found = (line for line in reversed(lines) if line.startswith(("error: ", "conflict: ")))
        return next(found, f"exit code {self.process.returncode}")


def command_of(settings: Settings, job: str, arguments: Sequence[str], conf_dir: Path) -> list[str]:
    properties = settings.properties_file
    return submit.command_of(settings, job, arguments, properties, spark_options(FEW_ROWS), conf_dir)


def environment_of(settings: Settings) -> Mapping[str, str]:
    """Jobs import this tree, whatever wheel is installed."""
    return {**environment(settings, quick_start=True), "PYTHONPATH": str(ROOT)}
