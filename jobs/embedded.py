"""A Spark of its own for a command in a terminal: local, quick to start, quiet, and told nothing by the shell."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.java import QUICK_START, archived_classes
from jobs.session import spark_session

QUIET = f"-Dlog4j2.configurationFile={Path(__file__).with_name('quiet.log4j2.properties')}"
SETTINGS = {
    "spark.driver.memory": "4g",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@contextmanager
def embedded_spark(name: str) -> Iterator[SparkSession]:
    """A local session on all cores. What PYSPARK_SUBMIT_ARGS of the environment says wins, such as memory."""
    options = {
        **SETTINGS,
        "spark.driver.extraJavaOptions": f"{archived_classes()} {QUICK_START} {QUIET}".strip(),
    }
    arguments = [part for key, value in options.items() for part in ("--conf", f"{key}={value}")]
    given = os.environ.get("PYSPARK_SUBMIT_ARGS", "").removesuffix("pyspark-shell")
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[*] {shlex.join(arguments)} {given} pyspark-shell"
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with spark_session(name) as spark:
        yield spark
