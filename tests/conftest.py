"""One Spark session for all tests, with Delta, as small as it gets; its tests run beside all others."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.java import QUICK_START, archived_classes
from jobs.session import SETTINGS
from scripts.environment import FEW_ROWS

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
# Python workers run this interpreter, not whatever python3 the path has.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ["TZ"] = "UTC"
time.tzset()

TEST_SETTINGS = {
    **FEW_ROWS,
    "spark.default.parallelism": "1",
    "spark.ui.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
    "spark.driver.memory": "3g",
    # Thousands of small queries: a quick start, and twice a command's room for compiled code.
    "spark.driver.extraJavaOptions": f"{archived_classes()} {QUICK_START} -XX:ReservedCodeCacheSize=512m",
    # One session lives through some thousands of queries: what their pages would show is not kept.
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.ui.retainedTasks": "1",
    "spark.sql.ui.retainedExecutions": "1",
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Of the two processes that share the tests, one has all those with the Spark session."""
    if "spark" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("spark"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    builder = SparkSession.builder.master("local[2]").appName("watchlift-tests")
    warehouse = tmp_path_factory.mktemp("warehouse")
    for key, value in {**SETTINGS, **TEST_SETTINGS, "spark.sql.warehouse.dir": str(warehouse)}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The team's shared folder beside the project, with reference numbers; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the project: the reference data is not part of the repository")
    return folder
