"""The weekly upkeep of the tables: small files together, sorted by profile, and old files away."""

from datetime import UTC, datetime

from airflow.sdk import DAG, CronPartitionTimetable

from watchlift_operators import DEFAULT_ARGS, spark_job

RUNBOOK = """
### Weekly maintenance

On Sundays at 06:00 UTC, its partition key that Sunday. `maintain_tables` is one Spark application
(`jobs/maintain_tables.py`): it puts the small files of each settled day together, sorted by profile, writes a
checkpoint of each table that changed, and removes files that no version of the last 7 days needs. Rows stay as they
are. A day is settled when no ingest of that Sunday or later can add to it (`max_days_late` in `conf/sources.yml`).

It takes the slot of the daily ingestion (pool `watchlift_ingest`): neither runs beside the other.

**When `maintain_tables` fails**: nothing is lost, and nothing waits for it; clear the task, or leave it to the next
week, which does what is left. `left for the next run` in its log: a job outside of the pool, such as a backfill by
hand, wrote to the same days; that job was not harmed.

**By hand** `spark-submit … jobs/maintain_tables.py --day 2026-03-15`. Erasure of profiles is by hand, too: see README.
"""

with DAG(
    dag_id="weekly_maintenance",
    schedule=CronPartitionTimetable("0 6 * * 0", timezone="UTC", key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a week that was missed is made up by the next
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["watchlift", "upkeep"],
    doc_md=RUNBOOK,
):
    spark_job("maintain_tables", job="maintain_tables", pool="watchlift_ingest")
