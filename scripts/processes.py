"""Starting processes that belong to a data folder, and ending every one of them, whatever they started in turn.

Each carries the folder in its environment, and so does what it starts: that is how they are found again, also after the
command that started them was killed. Nothing else is ever signalled.

    python -m scripts.processes data .venv/cluster      (make stop)
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "WATCHLIFT_RUN"
# Airflow's processes give themselves titles, which setproctitle would write over their environment, the mark included.
KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}


def start(
    command: Sequence[str], data_dir: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own (Ctrl-C reaches only us), its output in the log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            env={**environment, **KEEP_ENVIRONMENT, MARK: str(data_dir)},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def belonging_to(data_dir: Path) -> list[psutil.Process]:
    """The living processes that were started for this folder, this one excepted."""
    return [process for process in psutil.process_iter() if _mark(process) == str(data_dir)]


def _mark(process: psutil.Process) -> str | None:
    if process.pid == psutil.Process().pid:
        return None
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None  # gone meanwhile, or another user's


def stop(data_dir: Path, patience: float = 10.0) -> int:
    """End every process of the folder: asked first, then killed. Returns how many there were."""
    ended: set[int] = set()
    deadline = time.monotonic() + patience
    while remaining := belonging_to(data_dir):
        signal_all(remaining, kill=time.monotonic() > deadline, known=ended)
        ended |= {process.pid for process in remaining}
        psutil.wait_procs(remaining, timeout=1.0)
    return len(ended)


def stop_undisturbed(data_dir: Path) -> int:
    """The same, at a command's own end: a second Ctrl-C or a second request to stop does not leave half behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return stop(data_dir)


def ask_to_end(data_dir: Path) -> None:
    """Begin to end every process of the folder, without waiting; `stop` does the rest."""
    signal_all(belonging_to(data_dir), kill=False, known=set())


def signal_all(processes: Iterable[psutil.Process], kill: bool, known: set[int]) -> None:
    """Kill, or ask once: those that were asked before are left to finish."""
    for process in processes:
        try:
            if kill:
                process.kill()
            elif process.pid not in known:
                process.terminate()
        except psutil.NoSuchProcess:
            continue


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Stop what earlier runs on these folders left running.")
    parser.add_argument("folders", type=Path, nargs="+")
    count = sum(stop(folder.absolute()) for folder in parser.parse_args(argv).folders)
    print(f"{count} processes stopped" if count else "nothing was running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
