"""The exposures of each hour, and whether the arms are split as planned."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronPartitionTimetable

from watchlift_alerts import alert_task
from watchlift_operators import DEFAULT_ARGS, midnight_after, spark_job

RUNBOOK = """
### Hourly exposures

Ten minutes after each hour, its partition key the hour that ended (`YYYY-MM-DDTHH`). `monitor_exposures` is one Spark
application (`jobs/monitor_hour.py`): it merges the exposures of that day as far as they have landed, compares each
running experiment's arms with their planned shares (table `srm_checks`), and blocks a slice that does not fit
(`enrollment_status`, which the assignment service reads). A slice without a row there is open.

**`ALERT …` in its log**: a slice is blocked. `watchlift srm EXPERIMENT` shows hour by hour what was known, which slice,
since when and how many profiles were exposed by then. It stays blocked, also if later hours fit, until the cause is
mended and `watchlift restart EXPERIMENT --valid-from DAY --reason …` opens a new epoch.

Alerts are sent by `send_alerts`, by the connections (http or smtp) that the worker's WATCHLIFT_ALERT_CONNECTIONS names.

**When `send_alerts` fails**: its log has the alerts, and which connection did not take them; mend that, clear the task.

**When `hour_monitored` fails**: `monitor_exposures` did.

**When `monitor_exposures` fails**: clear it, or leave it to the next hour, which merges what is left of the day (the
first hour of a day also that of the day before); the daily run does, too. It takes the slot of the daily ingestion
(pool `watchlift_ingest`): neither runs beside the other. Hours that pass meanwhile have no check of their own; the next
one is of everything up to its end.
"""

# Production sets no last day. A replay of old days does: their hours are triggered by hand, and no present one comes.
last_midnight = midnight_after("WATCHLIFT_LAST_DAY")

with DAG(
    dag_id="hourly_exposures",
    schedule=CronPartitionTimetable("10 * * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%dT%H"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=last_midnight + timedelta(minutes=30) if last_midnight else None,
    catchup=False,  # the next hour merges what was missed, and its cumulative check covers it
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["watchlift", "experiments"],
    doc_md=RUNBOOK,
):
    monitor_exposures = spark_job(
        "monitor_exposures", job="monitor_hour", pool="watchlift_ingest", partition="--hour"
    )
    # Alerts go out also where the monitor failed; the run has then failed all the same.
    hour_monitored = EmptyOperator(task_id="hour_monitored", pool="watchlift_alerts")
    monitor_exposures >> [alert_task(), hour_monitored]
