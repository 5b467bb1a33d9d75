"""What the whole day starts from: its landing files, and the tables as they were before it."""

import math
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import yaml
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.experiments import drawn_measures
from benchmarks.service import EXPOSED_ONE_IN, copied
from jobs.arguments import Days
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project, load_project
from metrics.simulation.settings import Faults
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT

# The day is so many after the experiment's start: windows of seven days are complete of those enrolled by then.
DAYS_IN = 9
# The simulator makes some twelve events of an active profile.
EVENTS_EACH = 2
# Copies among the landing files, and rows that break a rule. None is late: the days before were never ingested.
FAULTS = Faults(duplicates=0.02, broken=0.004, null_keys=0.004)
_ACTIVE = 0.4
# Half of the profiles, the last stage, over the enrolment of 14 days.
_ENROLLED_A_DAY_ONE_IN = 28
_EVENTS_PER_FILE = 1_000_000
_PROFILES_PER_FILE = 2_000_000


@dataclass(frozen=True)
class WholeDay:
    """One size of it in a folder: `landing` holds the day's files, `before` a data folder with the tables before it."""

    spark: SparkSession
    folder: Path

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @cached_property
    def before(self) -> Tables:
        return Tables(self.spark, self.project("before"))

    @cached_property
    def experiment(self) -> Experiment:
        (experiment,) = self.before.project.experiments
        return experiment

    @property
    def day(self) -> date:
        return self.experiment.start + timedelta(days=DAYS_IN)

    @property
    def days(self) -> Days:
        return Days(self.day, self.day)

    def project(self, name: str) -> Project:
        return load_project(self.folder / "conf", self.folder / name)

    def restored(self, number: int) -> Tables:
        """The tables before the day, for a round of that number: in a folder of its own, as Delta keeps in memory what
        it knows of one. Those of other rounds go.
        """
        for old in self.folder.glob("round-*"):
            shutil.rmtree(old)
        name = f"round-{number}"
        shutil.copytree(self.folder / "before", self.folder / name, copy_function=_linked)
        tables = Tables(self.spark, self.project(name))
        tables.create()  # what is new since the data were made
        return tables


def whole_day(spark: SparkSession, folder: Path, profiles: int, copies: int) -> WholeDay:
    """The data of so many profiles and copies of them; made where they are missing."""
    made = WholeDay(spark, folder / f"{profiles}-{copies}")
    if not (made.folder / "made").exists():
        shutil.rmtree(made.folder, ignore_errors=True)
        _configure(made)
        _land(made, profiles, copies)
        _fill(made)
        (made.folder / "made").touch()  # a set-up that was killed is made anew
    return made


def _configure(made: WholeDay) -> None:
    """The project's own configuration, with landing files of Parquet that all rounds share."""
    conf_dir = made.folder / "conf"
    shutil.copytree(ROOT / "conf", conf_dir)
    sources = yaml.safe_load((conf_dir / "sources.yml").read_text(encoding="utf-8"))
    for kind in sources.values():
        for source in kind.values():
            path = source["path"].replace("{data_dir}", str(made.folder)).replace(".json.gz", ".parquet")
            source.update({"format": "parquet", "path": path})
    sources["events"]["playback"]["min_daily_rows"] = 0  # the days before were never ingested
    (conf_dir / "sources.yml").write_text(yaml.safe_dump(sources, sort_keys=False), encoding="utf-8")


def _land(made: WholeDay, profiles: int, copies: int) -> None:
    """The day's landing files: a simulated service so many times, its events EVENTS_EACH times."""
    service = Service(profiles, made.day, days=1, exposed_share=1.0, faults=FAULTS)
    simulate(made.spark, made.project("simulated"), made.experiment, service, "parquet", truth_days=0)

    def simulated(kind: str) -> DataFrame:
        landed = made.folder / "simulated" / "landing" / kind / f"ingest_day={made.day}"
        return copied(made.spark.read.parquet(str(landed)), copies)

    events = _events_of(simulated("events"), made.day)
    files = math.ceil(profiles * copies * service.sessions_per_day * 10 * EVENTS_EACH / 24 / _EVENTS_PER_FILE)
    by_hour = events.repartition(24 * files, "hour", F.pmod(F.hash("profile_id"), F.lit(files)))
    in_order = by_hour.sortWithinPartitions("hour", "ts", "event_id")
    people = simulated("profiles").repartition(math.ceil(profiles * copies / _PROFILES_PER_FILE))
    chosen = F.pmod(F.xxhash64("profile_id"), F.lit(EXPOSED_ONE_IN)) == 0
    exposures = simulated("exposures").where(chosen).withColumn("arm", _arm(made.experiment))
    for kind, rows in (
        ("events", in_order),
        ("exposures", exposures.repartition("hour")),
        ("profiles", people),
    ):
        writer = rows.write.option("compression", "zstd").partitionBy(*({"hour"} & {*rows.columns}))
        writer.parquet(str(made.landing / kind / f"ingest_day={made.day}"))


def _events_of(simulated: DataFrame, day: date) -> DataFrame:
    """Each event so many times, but for those of the next day, which the last sessions reach."""
    again = simulated.sparkSession.range(EVENTS_EACH).withColumnRenamed("id", "_again")
    moment = F.try_to_timestamp("ts")
    repeated = simulated.where(moment.isNull() | (F.to_date(moment) == F.lit(day))).crossJoin(again)
    return repeated.withColumn("event_id", F.concat("event_id", F.lit("."), "_again")).drop("_again")


def _fill(made: WholeDay) -> None:
    """Exposures, and measures of the days before, of the profiles that landed on the day."""
    tables, spark = made.before, made.spark
    tables.create()
    day = f"ingest_day={made.day}"
    people = spark.read.parquet(str(made.landing / "profiles" / day))
    today = spark.read.parquet(str(made.landing / "exposures" / day)).select("profile_id")
    before = Days(made.experiment.first_covariate_day, made.day - timedelta(days=1))
    measures = drawn_measures(tables.project.catalogue.numbers)
    of_days = people.crossJoin(spark.createDataFrame([(each,) for each in before.all], "day DATE"))
    active = of_days.where(F.rand(5) < _ACTIVE).withColumns(measures)
    tables.replace("profile_days", active, {"day": before.all})
    exposures = _exposures(people.join(today, "profile_id", how="left_anti"), made.experiment)
    tables.replace("exposures", exposures, {"day": before.all})
    # As they were written: measures of the same exposures.
    tables.replace(
        "exposure_day_measures", tables.read("exposures").withColumns(measures), {"day": before.all}
    )


def _exposures(people: DataFrame, experiment: Experiment) -> DataFrame:
    """Rows of the table of the days before: equally many each, of profiles that had signed up."""
    since = F.pmod(F.xxhash64("profile_id", F.lit("since")), F.lit(_ENROLLED_A_DAY_ONE_IN)).cast("int")
    enrolled = people.where(since < DAYS_IN).withColumn("day", F.date_add(F.lit(experiment.start), since))
    return enrolled.where("signup_day <= day").select(
        F.lit(experiment.id).alias("experiment_id"),
        "profile_id",
        F.col("day").cast("timestamp").alias("exposed_at"),
        _arm(experiment).alias("arm"),
        "household_id",
        "device",
        "region",
        F.date_diff("day", F.col("signup_day").cast("date")).alias("tenure_days"),
        F.lit("1").alias("assignment_version"),
        "day",
    )


def _arm(experiment: Experiment) -> Column:
    """Drawn for each copy of a profile anew: what copies share would look like a broken sample ratio."""
    arms = F.array(*map(F.lit, experiment.arms))
    return F.get(
        arms, F.pmod(F.xxhash64("profile_id", F.lit("arm")), F.lit(len(experiment.arms))).cast("int")
    )


def _linked(source: str, target: str) -> None:
    """A copy; of data files, which nobody changes, a second name alone."""
    if source.endswith(".parquet") and "_delta_log" not in source:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)
