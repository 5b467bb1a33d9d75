"""A Spark standalone cluster on this machine, from the pip package: a master and two workers of one core each.

    python -m scripts.standalone [--port 7077]      (make cluster; then make demo MASTER=spark://127.0.0.1:7077)

Returns once both workers have registered; `make stop` ends it. Logs and work folders are in .venv/cluster.
"""

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

from scripts import processes
from scripts.environment import Settings, environment
from scripts.errors import RunError

WORKERS = 2
START_SECONDS = 120
FOLDER = Path(sys.prefix) / "cluster"
PACKAGE = "org.apache.spark.deploy"


def start(port: int, ui_port: int) -> list[Popen[bytes]]:
    """Start the master and the workers, each with a log of its own."""
    master = f"spark://127.0.0.1:{port}"
    own = environment(Settings(FOLDER, master)) | {
        "SPARK_WORKER_DIR": str(FOLDER / "work"),
        "SPARK_NO_DAEMONIZE": "1",
    }
    spark_class = str(Path(sys.executable).with_name("spark-class"))
    of_master = [f"{PACKAGE}.master.Master", "--host", "127.0.0.1"]
    of_master += ["--port", str(port), "--webui-port", str(ui_port)]
    of_worker = [f"{PACKAGE}.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "2g"]
    of_worker += ["--webui-port", "0", master]
    commands = {"master": of_master} | {f"worker-{n}": of_worker for n in range(1, WORKERS + 1)}
    return [
        processes.start([spark_class, *command], FOLDER, own, FOLDER / f"{name}.log")
        for name, command in commands.items()
    ]


def registered(ui_port: int) -> int:
    """How many workers the master knows as alive; 0 while it does not answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{ui_port}/json/", timeout=5) as answer:
            workers = json.loads(answer.read())["workers"]
    except (OSError, ValueError):
        return 0
    return sum(worker["state"] == "ALIVE" for worker in workers)


def wait_until_ready(parts: Sequence[Popen[bytes]], ui_port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while registered(ui_port) < WORKERS:
        if any(part.poll() is not None for part in parts) or time.monotonic() > deadline:
            raise RunError(
                f"the cluster did not start; see the logs in {FOLDER} (a port in use? pass --port)"
            )
        time.sleep(0.3)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Start a Spark master and two workers on this machine.")
    parser.add_argument("--port", type=int, default=7077)
    parser.add_argument("--ui-port", type=int, default=8180)
    options = parser.parse_args(argv)
    try:
        if processes.belonging_to(FOLDER):
            raise RunError("a cluster is already there; stop it with `make stop`")
        wait_until_ready(start(options.port, options.ui_port), options.ui_port)
    except (RunError, OSError) as error:
        processes.stop(FOLDER)
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    print(
        f"cluster: spark://127.0.0.1:{options.port} with {WORKERS} workers; http://127.0.0.1:{options.ui_port}"
    )
    print(f"use it: make demo MASTER=spark://127.0.0.1:{options.port}   end it: make stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
