"""The daily metrics: one run per day, one Spark application per run."""

from datetime import timedelta

from airflow.sdk import DAG, CronPartitionTimetable

from watchlift_operators import DEFAULT_ARGS, PROFILE_DAYS, midnight_after, spark_job

RUNBOOK = """
### Daily metrics

One run per ingest day, its partition key the day (`YYYY-MM-DD`), at 02:00 UTC of the next day, when the last hourly
landing files are in. `load_and_audit_day` is one Spark application (`jobs/run_day.py`): ingest, audit, roll-up, audit.
Only its success emits the asset `watchlift://profile_days`, which starts `experiment_readouts` for the same day.

**When `load_and_audit_day` fails**

1. Read the last line of its log. `error: …` is the job's own verdict: a failed audit or bad input. It is not retried,
   because the same data gives the same verdict. Anything else (a lost driver, no memory) is retried twice.
2. A failed audit: `data_quality_results` has every expectation of the day with what was observed; rows that broke a
   rule are in `events_quarantine` with their reasons. Nothing downstream has run, and no readout was made of it.
3. `… is damaged` in its log: that landing file was left out of a run that went on; it is in `events_quarantine`, too.
4. Mend the landing files (or `conf/sources.yml`), then clear the task. The job replaces the day, so clearing is safe;
   later ingest days that share an event day with it are loaded again by the job itself. Of a day that was done, and
   whose files, configuration and tables are as they were then, it says that nothing changed, and succeeds.

**Backfill** `airflow backfill create --dag-id daily_metrics --from-date 2026-03-01 --to-date 2026-03-14T12:00`: a range
of partition dates, which are at 02:00 of their day, so that the last day needs an hour after that. Many days at once
are cheaper in one application: `spark-submit … jobs/run_day.py --from … --to …`.

**A run without a partition key** (a manual trigger that leaves it empty) is refused by the job.
"""


# A day is run on the morning after it: the partition is one tick before the run. With a first day, every day since is
# made up, also those missed while the scheduler was down; so production sets WATCHLIFT_FIRST_DAY, and no last day.
first_morning, last_midnight = midnight_after("WATCHLIFT_FIRST_DAY"), midnight_after("WATCHLIFT_LAST_DAY")

with DAG(
    dag_id="daily_metrics",
    schedule=CronPartitionTimetable("0 2 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    start_date=first_morning,
    end_date=last_midnight + timedelta(hours=12) if last_midnight else None,
    catchup=first_morning is not None,
    max_active_runs=1,  # one day at a time, in ascending order
    default_args=DEFAULT_ARGS,
    tags=["watchlift", "metrics"],
    doc_md=RUNBOOK,
):
    spark_job("load_and_audit_day", job="run_day", pool="watchlift_ingest", outlets=[PROFILE_DAYS])
