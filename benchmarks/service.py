"""A simulated day of as many events as a benchmark asks for, in the product's own tables."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.arguments import Days
from jobs.roll_up_profile_days import roll_up_days
from jobs.run_day import run_day
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.rollup.events import first_copies
from metrics.schemas import PROFILE_HASH
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT

# As on a day in the middle of an enrolment of two weeks.
EXPOSED_ONE_IN = 10
# More than the ids of any simulated service.
_IDS_APART = 10**10


def one_day(spark: SparkSession, folder: Path, profiles: int, copies: int) -> tuple[Tables, Days]:
    """The tables of the experiment's first day, on which exposures begin; made where they are missing.

    About six events a profile are simulated and ingested once, and the rows multiplied: each copy has profiles,
    households and events of its own, and is laid out in files as ingestion does it.
    """
    tables = Tables(spark, load_project(ROOT / "conf", folder / f"{profiles}-{copies}"))
    experiment = tables.project.experiments[0]
    service = Service(profiles, experiment.start, days=1, exposed_share=1.0)
    days = Days(service.first_day, service.last_day)
    made = tables.project.data_dir / "made"
    tables.create()
    if not made.exists():
        if copies == 1:
            simulate(spark, tables.project, experiment, service, file_format="json", truth_days=0)
            run_day(tables, days)
        else:
            _multiply(one_day(spark, folder, profiles, 1)[0], tables, days, copies)
        made.touch()  # a set-up that was killed is made anew
    return tables, days


def _multiply(one: Tables, tables: Tables, days: Days, copies: int) -> None:
    exposed = max(1, copies // EXPOSED_ONE_IN)
    tables.overwrite("profiles", copied(one.read("profiles"), copies))
    tables.replace("exposures", copied(one.read("exposures"), exposed), {"day": days.all})
    events = first_copies(copied(one.read("events"), copies))
    tables.replace("events", events, {"ingest_day": days.all})
    roll_up_days(tables, days.all)


def copied(rows: DataFrame, copies: int) -> DataFrame:
    """The rows so many times, with ids of their own."""
    multiplied = rows.crossJoin(rows.sparkSession.range(copies).withColumnRenamed("id", "_copy"))
    apart = F.col("_copy") * _IDS_APART
    ids = {name: F.col(name) + apart for name in ("profile_id", "household_id")}
    if "event_id" in rows.columns:
        ids["event_id"] = F.concat("event_id", F.lit("-"), "_copy")  # null where it was
    multiplied = multiplied.withColumns(ids).drop("_copy")
    if "profile_hash" in rows.columns:
        return multiplied.withColumn("profile_hash", F.expr(PROFILE_HASH))
    return multiplied
