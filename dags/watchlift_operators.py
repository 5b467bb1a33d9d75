"""What the DAGs share: where things are, how a job is submitted, and when a failure is worth another try."""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, RetryDecision, RetryPolicy

HOME = Path(os.environ.get("WATCHLIFT_HOME", Path(__file__).resolve().parent.parent))
CONF_DIR = os.environ.get("WATCHLIFT_CONF_DIR", str(HOME / "conf"))
DATA_DIR = os.environ.get("WATCHLIFT_DATA_DIR", str(HOME / "data"))
SPARK_CONF = os.environ.get("WATCHLIFT_SPARK_CONF", str(HOME / "conf" / "spark" / "laptop.conf"))

PROFILE_DAYS = Asset("watchlift://profile_days")
DEFAULT_ARGS = {"owner": "experimentation", "retries": 2, "retry_delay": timedelta(minutes=2)}
FOLDERS = ("--conf-dir", CONF_DIR, "--data-dir", DATA_DIR)


def midnight_after(variable: str) -> datetime | None:
    """The end of the day that an environment variable names, or None where it is not set."""
    day = os.environ.get(variable)
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1) if day else None


class RetryUnlessTheJobDecided(RetryPolicy):
    """Retry a crash; do not retry a verdict.

    A job that failed an audit, or was given bad input, ends with one line `error: …`: the same data would give the
    same line. Anything else (a lost driver, no memory, a full cluster) is Spark's or the machine's, and may pass.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - the signature is Airflow's
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        verdicts = re.findall(r"^error: .*$", str(exception), flags=re.MULTILINE)
        return RetryDecision.fail(reason=verdicts[-1]) if verdicts else RetryDecision.default()


def spark_job(
    task_id: str, job: str, pool: str, outlets: Sequence[Asset] = (), partition: str = "--day"
) -> SparkSubmitOperator:
    """The task that submits jobs/<job>.py for the run's partition; the application is named after both."""
    return SparkSubmitOperator(
        task_id=task_id,
        name=f"watchlift-{job}-{{{{ partition_key }}}}",
        application=str(HOME / "jobs" / f"{job}.py"),
        # The run's own id says whether it was scheduled, triggered by hand or part of a backfill.
        application_args=[partition, "{{ partition_key }}", "--reason", "{{ run_id }}", *FOLDERS],
        conn_id="spark_default",
        properties_file=SPARK_CONF,
        pool=pool,
        outlets=list(outlets),
        retry_policy=RetryUnlessTheJobDecided(),
    )
