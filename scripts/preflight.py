"""Look at the machine before anything starts, so that what is missing is one line with its remedy.

    python scripts/preflight.py [--data-dir data] [--port 8080] [--disk-gib 6]

Exit code 0, or 2 with one line per fault on standard error. Standard library only, and written so that any Python 3 can
read it: it is the first thing that runs, on whatever Python the machine has.
"""

import argparse
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Mapping, Sequence

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
JAVA_VERSIONS = (17, 21)
# Spark's launcher always asks for it; runtimes cut down with jlink lack it and end in a stack trace.
JAVA_MODULE = "jdk.incubator.vector"
INSTALL_JAVA = (
    "install OpenJDK 17 or 21 (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME to one"
)


def python_faults(version: "tuple[int, ...]" = sys.version_info[:2]) -> "list[str]":
    """Faults of the Python that set-up would use."""
    found = "{}.{}".format(*version)
    if not OLDEST_PYTHON <= tuple(version) <= NEWEST_PYTHON:
        return [
            "Python is {}; install Python 3.11, 3.12 or 3.13, or pass PYTHON=/path/to/python3.11".format(
                found
            )
        ]
    try:
        import ensurepip  # noqa: F401 - Debian ships it in a package of its own
        import venv  # noqa: F401
    except ImportError:
        return ["Python {0} has no venv; install it (Debian: apt-get install python{0}-venv)".format(found)]
    return []


def java_faults(environment: "Mapping[str, str]" = os.environ) -> "list[str]":
    """Faults of the Java that Spark would use: JAVA_HOME's, else the first on the path."""
    home = environment.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java", path=environment.get("PATH"))
    if not java:
        return ["Java is not on the path and JAVA_HOME is not set; " + INSTALL_JAVA]
    if home and not os.access(java, os.X_OK):
        return ["JAVA_HOME is {}, which has no bin/java; {}".format(home, INSTALL_JAVA)]
    said = output_of([java, "-version"])
    version = re.search(r'version "(\d+)', said)
    if not version:
        return [
            "{} does not tell its version (it says {!r}); {}".format(java, said[:60].strip(), INSTALL_JAVA)
        ]
    if int(version.group(1)) not in JAVA_VERSIONS:
        return ["Java at {} is version {}; {}".format(java, version.group(1), INSTALL_JAVA)]
    if JAVA_MODULE not in output_of([java, "--list-modules"]):
        return [
            "Java at {} lacks the module {}, a cut-down runtime; {}".format(java, JAVA_MODULE, INSTALL_JAVA)
        ]
    return []


def output_of(command: "list[str]") -> str:
    """What the command prints on both streams, or nothing where it cannot run."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def folder_faults(folder: str, free_gib: float) -> "list[str]":
    """Faults of a folder that will be written to: it, or its nearest parent, must be writable and have room."""
    place = nearest_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return ["folder {} is on a full disk; free {} GiB".format(place, free_gib)]
        return [
            "folder {} cannot be written ({}); make it writable or choose another".format(
                place, error.strerror
            )
        ]
    free = shutil.disk_usage(place).free / 2**30
    if free < free_gib:
        return [
            "folder {} has {:.1f} GiB free and {} are needed; free some or choose another disk".format(
                place, free, free_gib
            )
        ]
    return []


def nearest_folder(folder: str) -> str:
    """The folder itself, or the closest parent that exists."""
    place = Path(folder).resolve()
    while not place.exists():
        place = place.parent
    return str(place)


def port_faults(port: int) -> "list[str]":
    """Faults of the port of Airflow's web interface on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return [
                "port {} for Airflow is not free ({}); run `make stop` if an earlier run left one, or pass "
                "AIRFLOW_PORT={}".format(port, error.strerror, port + 1)
            ]
    return []


def main(argv: "Sequence[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(description="Check the machine before set-up or a run.")
    parser.add_argument("--data-dir", help="folder that the run will write to")
    parser.add_argument("--port", type=int, help="port that Airflow will listen on")
    parser.add_argument("--disk-gib", type=float, default=0.0, help="space that set-up needs in this folder")
    arguments = parser.parse_args(argv)
    faults = python_faults() + java_faults() + folder_faults(".", arguments.disk_gib)
    if arguments.data_dir:
        faults += folder_faults(arguments.data_dir, 2)
    if arguments.port:
        faults += port_faults(arguments.port)
    for fault in faults:
        print("preflight: " + fault, file=sys.stderr)
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
