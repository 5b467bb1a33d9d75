"""Put Delta's jars beside Spark's own, once, at set-up: afterwards no job resolves a package.

The jars are listed with their hashes in requirements-jars.lock. They are resolved through the Ivy inside pyspark, in a
private folder, so that no Maven is needed and a half-filled ~/.m2 cannot break the resolution. They end up in
`<venv>/delta-jars` and, linked, in pyspark's own `jars/`: every spark-submit and every executor of this environment
has them.

Runs on the environment's Python: `python -m scripts.fetch_jars [--jars .venv/delta-jars]`.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.environment import ROOT, Settings, environment, spark_home
from scripts.errors import RunError

# What Spark's distribution holds already (jackson, hadoop, parquet, ...); only Delta's own six jars are needed.
EXCLUDED = "org.*:*,com.*:*,commons-*:*,javax.*:*,io.airlift:*,io.unitycatalog:unitycatalog-hadoop"


class Jar(NamedTuple):
    """One line of requirements-jars.lock."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path) -> list[Jar]:
    """The jars of a lock file, in file order. Raises RunError on a malformed line."""
    jars = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or len(words[0]) != 64 or words[1].count(":") != 2:
            raise RunError(
                f"{path.name} line {number}: '{line}' is not 'sha256  group:artifact:version'; restore the file"
            )
        jars.append(Jar(words[0], *words[1].split(":")))
    return jars


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """The jars that are absent from the folder, or there with other bytes than the lock states."""
    paths = {jar: folder / jar.file_name for jar in jars}
    return [jar for jar, path in paths.items() if not path.is_file() or sha256_of(path) != jar.sha256]


def resolve(jars: Sequence[Jar], ivy: Path) -> Path:
    """Resolve the first jar and what comes with it through pyspark's Ivy; returns the folder of the jars."""
    no_op = ivy / "no_op.py"
    no_op.write_text("", encoding="utf-8")
    command = [
        str(spark_home() / "bin" / "spark-submit"),
        *("--master", "local[1]", "--driver-memory", "512m"),
        *("--conf", f"spark.jars.ivy={ivy}", "--conf", "spark.ui.enabled=false"),
        # Ivy looks into ~/.m2 first, where a POM without its jar would break the resolution.
        *("--driver-java-options", f"-Duser.home={ivy}"),
        *("--packages", jars[0].coordinate, "--exclude-packages", EXCLUDED),
        str(no_op),
    ]
    done = subprocess.run(
        command, env=environment(Settings(ivy)), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        log = ivy.parent / "fetch_jars.log"
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        raise RunError(
            f"{jars[0].coordinate} could not be fetched (log: {log}); check that Maven Central can be reached, "
            "or set DEFAULT_ARTIFACT_REPOSITORY to a mirror, then run `make setup` again"
        )
    return ivy / "jars"


def place(jars: Sequence[Jar], resolved: Path, folder: Path) -> None:
    """Move the resolved jars into the folder under their Maven names, after checking each hash."""
    for jar in jars:
        source = resolved / f"{jar.group}_{jar.file_name}"  # how Ivy names what it retrieves
        if not source.is_file():
            raise RunError(
                f"{jar.coordinate} did not come with {jars[0].coordinate}; correct requirements-jars.lock"
            )
        found = sha256_of(source)
        if found != jar.sha256:
            raise RunError(
                f"{jar.coordinate} has sha256 {found}, but requirements-jars.lock states {jar.sha256}; "
                "do not use it: check the repository that it came from"
            )
        shutil.move(source, folder / jar.file_name)


def remove_others(jars: Sequence[Jar], folder: Path, class_path: Path) -> None:
    """Take away the jars of an earlier lock: two versions of Delta on one class path fail in strange ways."""
    locked = {jar.file_name for jar in jars}
    for stale in (path for path in folder.glob("*.jar") if path.name not in locked):
        (class_path / stale.name).unlink(missing_ok=True)
        stale.unlink()


def link_into(jars: Sequence[Jar], folder: Path, class_path: Path) -> None:
    """Give Spark the jars: hard links, or copies where the file system has none."""
    for jar in jars:
        target = class_path / jar.file_name
        target.unlink(missing_ok=True)
        try:
            os.link(folder / jar.file_name, target)
        except OSError:
            shutil.copyfile(folder / jar.file_name, target)


def fetch(lock: Path, folder: Path, class_path: Path) -> list[Jar]:
    """Make the folder and Spark's class path hold exactly the locked jars; returns those that had to be fetched."""
    jars = read_lock(lock)
    folder.mkdir(parents=True, exist_ok=True)
    absent = missing(jars, folder)
    if absent:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="ivy-") as ivy:
            place(jars, resolve(jars, Path(ivy)), folder)
    remove_others(jars, folder, class_path)
    link_into(jars, folder, class_path)
    return absent


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Fetch Delta's jars, checked by hash, onto the class path of pyspark."
    )
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements-jars.lock")
    parser.add_argument("--jars", type=Path, default=ROOT / ".venv" / "delta-jars")
    arguments = parser.parse_args(argv)
    try:
        fetched = fetch(arguments.lock, arguments.jars.resolve(), spark_home() / "jars")
    except (RunError, OSError) as error:
        print(f"jars: {error}", file=sys.stderr)
        return 2
    print(f"Delta's jars: {len(fetched)} fetched, all hashes as locked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
