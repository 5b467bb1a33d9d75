"""Every process of a run ends with it, whatever it started in turn; nobody else's does."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from scripts import processes

# A parent that leaves a grandchild in a session of its own, as Airflow's tasks and their Spark do.
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("started", flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(60)
"""
# Titles of processes are written where the environment is, unless told otherwise: the mark must survive.
TITLED = """
import setproctitle, time
setproctitle.setproctitle("airflow scheduler " + "x" * 200)
print("started", flush=True)
time.sleep(60)
"""


def start(code: str, folder: Path) -> "subprocess.Popen[bytes]":
    log = folder / "log"
    process = processes.start([sys.executable, "-c", code], folder, {}, log)
    deadline = time.monotonic() + 30
    while b"started" not in log.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_stop_ends_what_was_started_and_what_that_started(tmp_path: Path) -> None:
    parent = start(PARENT, tmp_path)
    both = processes.belonging_to(tmp_path)
    assert len(both) == 2
    assert processes.stop(tmp_path) == 2
    parent.wait(5)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in both)


def test_the_child_of_a_killed_parent_is_still_found(tmp_path: Path) -> None:
    parent = start(PARENT, tmp_path)
    parent.kill()
    parent.wait()
    assert processes.stop(tmp_path) == 1


@pytest.mark.parametrize("code", [STUBBORN, TITLED], ids=["ignores SIGTERM", "sets its title"])
def test_difficult_ones_end_too(tmp_path: Path, code: str) -> None:
    process = start(code, tmp_path)
    assert processes.stop(tmp_path, patience=0.5) == 1
    assert not psutil.pid_exists(process.pid)


def test_another_folders_processes_are_left_alone(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    mine, other = (start(STUBBORN, tmp_path / name) for name in ("mine", "other"))
    try:
        assert processes.stop(tmp_path / "mine", patience=0.0) == 1
        assert not psutil.pid_exists(mine.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_nothing_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert processes.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing was running\n"
