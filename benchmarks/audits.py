"""How much processor time a day's audits take beside its roll-up.

    python -m benchmarks.audits --profiles 100000 --copies 60 --rounds 2

One simulated day of about six events a profile is ingested once, and its rows are multiplied: each copy has profiles,
households and events of its own, and is laid out in files as ingestion does it. One copy in ten is first exposed on the
day. Then the day's audits and its roll-up run in turn, in one Spark session. Both end with their commits.
"""

import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measuring import Measured, benchmark_parser, compared, kept_folder, publish, timed
from jobs.arguments import Days
from jobs.audit_table import audit_tables
from jobs.roll_up_profile_days import roll_up_days
from jobs.run_day import run_day
from jobs.session import spark_session
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.rollup.events import first_copies
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT, Settings, take_over

# As run_day asks for them: before the roll-up, and after it.
BEFORE, AFTER = ("profiles", "exposures", "events"), ("profile_days", "exposure_day_measures")


# As on a day in the middle of an enrolment of two weeks.
EXPOSED_ONE_IN = 10
# More than the ids of any simulated service.
_IDS_APART = 10**10


def one_day(tables: Tables, profiles: int, copies: int) -> Days:
    """The tables of the experiment's first day, on which exposures begin; made where they are missing."""
    experiment = tables.project.experiments[0]
    service = Service(profiles, experiment.start, days=1, exposed_share=1.0)
    day = Days(service.first_day, service.last_day)
    tables.create()
    if tables.read("profile_days").isEmpty():
        simulate(tables.spark, tables.project, experiment, service, file_format="json", truth_days=0)
        run_day(tables, day)
        if copies > 1:
            tables.overwrite("profiles", _copies(tables.read("profiles"), copies))
            exposed = max(1, copies // EXPOSED_ONE_IN)
            tables.replace("exposures", _copies(tables.read("exposures"), exposed), {"day": day.all})
            events = first_copies(_copies(tables.read("events"), copies))
            tables.replace("events", events, {"ingest_day": day.all})
            roll_up_days(tables, day.all)
    return day


def _copies(rows: DataFrame, copies: int) -> DataFrame:
    """The rows so many times, with ids of their own."""
    copied = rows.crossJoin(rows.sparkSession.range(copies).withColumnRenamed("id", "_copy"))
    apart = F.col("_copy") * _IDS_APART
    ids = {name: F.col(name) + apart for name in ("profile_id", "household_id")}
    if "event_id" in rows.columns:
        ids["event_id"] = F.concat_ws("-", "event_id", "_copy")
    return copied.withColumns(ids).drop("_copy")


def measure(tables: Tables, profiles: int, copies: int, rounds: int) -> list[Measured]:
    """Each table's audit, and all of a day's, against the roll-up."""
    days = one_day(tables, profiles, copies).all

    def roll_up() -> tuple[float, float]:
        return timed(lambda: roll_up_days(tables, days))

    def audits() -> None:
        audit_tables(tables, BEFORE, days)
        audit_tables(tables, AFTER, days)

    events = tables.read_days("events", days).count()
    measured = [compared(f"the day's audits, {events:,} events", audits, "the roll-up", roll_up, rounds)]
    for name in (*BEFORE, *AFTER):
        before = jobs_run(tables.spark)
        audit_tables(tables, [name], days)
        n = jobs_run(tables.spark) - before
        audit = partial(audit_tables, tables, [name], days)
        measured.append(compared(f"audit of {name}, {n} Spark jobs", audit, "the roll-up", roll_up, rounds))
    return measured


def jobs_run(spark: SparkSession) -> int:
    """Spark jobs that the application has run so far."""
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Processor time of a day's audits beside its roll-up.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=4, help="of each simulated row")
    options = parser.parse_args(argv)
    own = Settings(kept_folder(options.folder))
    take_over(own)
    with spark_session("audits") as spark:
        publish(
            measure(
                Tables(spark, load_project(ROOT / "conf", own.data_dir)),
                options.profiles,
                options.copies,
                options.rounds,
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
