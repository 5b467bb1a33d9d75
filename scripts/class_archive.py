"""Make an archive of the Java classes that Spark and Delta load, once, at set-up: every later start saves seconds.

Class data sharing (`-XX:ArchiveClassesAtExit`): a small Spark application that touches what the jobs touch is run, and
the JVM leaves the classes it loaded in a file. The file is used through the environment (SPARK_SUBMIT_OPTS, see
scripts/environment.py); a JVM that finds it made for another Java or class path ignores it. So it is never needed:
where it cannot be made, set-up goes on without.

    python -m scripts.class_archive .venv/spark-classes.jsa
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jobs.java import SILENT_ARCHIVE
from scripts.environment import Settings, environment

TRAINING = Path(__file__).with_name("class_training.py")


def archiving_command(archive: Path, folder: Path) -> list[str]:
    """The spark-submit that leaves the archive behind when its JVM ends."""
    return [
        *("spark-submit", "--master", "local[2]", "--driver-memory", "1g"),
        *("--driver-java-options", f"-XX:ArchiveClassesAtExit={archive} {SILENT_ARCHIVE}"),
        *("--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=2"),
        *("--conf", "spark.databricks.delta.snapshotPartitions=2"),
        *(str(TRAINING), str(folder)),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    (name,) = sys.argv[1:] if argv is None else argv
    archive = Path(name).resolve()
    archive.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = archiving_command(archive, Path(folder))
        own = environment(Settings(Path(folder)))
        done = subprocess.run(command, env=own, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0 and archive.is_file():
        print(f"class archive: {archive.stat().st_size / 2**20:.0f} MiB")
    else:
        archive.unlink(missing_ok=True)
        print("class archive: could not be made, which only costs a few seconds at each start of Spark")
    return 0


if __name__ == "__main__":
    sys.exit(main())
