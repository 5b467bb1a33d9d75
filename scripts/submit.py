"""Running one of the jobs by spark-submit, as the README does by hand."""

import sys
from collections.abc import Sequence
from pathlib import Path

from scripts import processes
from scripts.environment import Settings, environment
from scripts.progress import Progress, follow


def command_of(
    settings: Settings,
    job: str,
    arguments: Sequence[str],
    properties_file: Path,
    spark: Sequence[str] = (),
    conf_dir: Path | None = None,
) -> list[str]:
    """`spark`: further options of spark-submit; `conf_dir`: another than the project's."""
    return [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", settings.master),
        *("--properties-file", str(properties_file)),
        *(*spark, settings.job(job), *arguments),
        *("--conf-dir", str(conf_dir or settings.conf_dir), "--data-dir", str(settings.data_dir)),
    ]


def submit(
    settings: Settings,
    job: str,
    arguments: Sequence[str],
    progress: Progress,
    properties_file: Path | None = None,
) -> None:
    """Run a job and wait for it, with the master's own properties file unless another is named.

    Raises RunError with the job's one line where it fails.
    """
    command = command_of(settings, job, arguments, properties_file or settings.properties_file)
    log = settings.logs / f"{job}.log"
    log.unlink(missing_ok=True)  # what an earlier run said is not this one's
    process = processes.start(command, settings.data_dir, environment(settings), log)
    follow(process, job, log, progress)
