"""Many experiments on one roll-up, beside one of them (P8).

    python -m benchmarks.experiments --profiles 1000000 --experiments 50

Each enrols its own share of the profiles, in a layer of its own, and is analysed whole: windows, audits, sample ratios,
estimates, decision. The measures of 27 days are drawn, not simulated.
"""

import shutil
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import yaml
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from benchmarks.measuring import Aim, Measured, aimed, benchmark_parser, compared, kept_folder, publish, timed
from jobs.arguments import Days
from jobs.run_experiments import run_experiments
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.configuration.project import load_project
from scripts.environment import ROOT, Settings, take_over

START, ENROLMENT_DAYS, COVARIATE_DAYS = date(2026, 3, 2), 7, 14
# The last window is complete.
ANALYSIS_DAY = START + timedelta(days=ENROLMENT_DAYS + 5)
_ACTIVE = 0.4


def configuration(conf_dir: Path, experiments: int) -> Path:
    """The project's own, with so many copies of its experiment."""
    shutil.rmtree(conf_dir, ignore_errors=True)
    shutil.copytree(ROOT / "conf", conf_dir)
    (own,) = conf_dir.glob("experiments/*.yml")
    values = yaml.safe_load(own.read_text(encoding="utf-8"))
    own.unlink()
    for n in range(experiments):
        changed = {"id": _name(n), "layer": _name(n), "start": START, "enrollment_days": ENROLMENT_DAYS}
        text = yaml.safe_dump(values | changed, sort_keys=False)
        (conf_dir / "experiments" / f"{_name(n)}.yml").write_text(text, encoding="utf-8")
    sources = yaml.safe_load((conf_dir / "sources.yml").read_text(encoding="utf-8"))
    for source in sources["events"].values():
        source["min_daily_rows"] = 0  # the days were never ingested
    (conf_dir / "sources.yml").write_text(yaml.safe_dump(sources, sort_keys=False), encoding="utf-8")
    return conf_dir


def fill(tables: Tables, profiles: int, experiments: int) -> None:
    """Exposures, and measures of every day that the experiments look at; where they are missing."""
    tables.create()
    made = tables.project.data_dir / "made"
    if made.exists():
        return
    days = Days(START - timedelta(days=COVARIATE_DAYS), ANALYSIS_DAY)
    spark, measures = tables.spark, tables.project.catalogue.numbers
    people = spark.range(1, profiles + 1).select(
        F.col("id").alias("profile_id"), F.floor(F.col("id") / 2).cast("bigint").alias("household_id")
    )
    drawn = drawn_measures(measures)
    of_days = people.crossJoin(spark.createDataFrame([(day,) for day in days.all], "day DATE"))
    active = of_days.where(F.rand(5) < _ACTIVE).withColumns(drawn)
    tables.replace("profile_days", active, {"day": days.all})
    since = F.pmod(F.xxhash64("profile_id"), F.lit(ENROLMENT_DAYS)).cast("int")
    exposures = people.select(
        F.concat(F.lit("e"), F.lpad(F.pmod("profile_id", F.lit(experiments)).cast("string"), 3, "0")).alias(
            "experiment_id"
        ),
        "profile_id",
        "household_id",
        F.date_add(F.lit(START), since).alias("day"),
        F.element_at(F.array(F.lit("control"), F.lit("treatment")), _either()).alias("arm"),
        F.element_at(F.array(F.lit("tv"), F.lit("web")), _either()).alias("device"),
        F.element_at(F.array(F.lit("eu"), F.lit("us")), _either()).alias("region"),
        F.lit(400).alias("tenure_days"),
        F.lit("1").alias("assignment_version"),
    ).withColumn("exposed_at", F.col("day").cast("timestamp"))
    tables.replace("exposures", exposures, {"day": days.all})
    first = exposures.select("day", "experiment_id", "profile_id", "household_id")
    tables.replace("exposure_day_measures", first.withColumns(drawn), {"day": days.all})
    made.touch()


def _name(n: int) -> str:
    return f"e{n:03d}"


def drawn_measures(names: Sequence[str]) -> dict[str, Column]:
    """A whole number for each measure, with a long tail; an active profile's, so that `active` is 1."""
    return {**{name: _whole(i) for i, name in enumerate(names)}, "active": F.lit(1.0)}


def _whole(seed: int) -> Column:
    return F.floor(-F.log(1 - F.rand(seed)) * 4).cast("double")


def _either() -> Column:
    return (F.floor(F.rand() * 2) + 1).cast("int")


def measure(spark: SparkSession, folder: Path, profiles: int, experiments: int, rounds: int) -> Measured:
    many = Tables(spark, load_project(configuration(folder / "conf", experiments), folder))
    # In tables of its own: audits read all rows of the day.
    one = Tables(spark, load_project(configuration(folder / "one" / "conf", 1), folder / "one"))
    for tables in (many, one):
        fill(tables, profiles, experiments)
    day = Days(ANALYSIS_DAY, ANALYSIS_DAY)
    measured = compared(
        f"{experiments} experiments, {profiles:,} profiles",
        lambda: timed(lambda: run_experiments(many, day)),
        f"one of them, {profiles // experiments:,} profiles",
        lambda: timed(lambda: run_experiments(one, day)),
        rounds,
        aimed(experiments >= 50 and profiles >= 1_000_000, Aim("P8", "ratio", 6)),
    )
    rows = many.read("estimates").where("segment = 'all' AND estimator = 'cuped' AND status <> 'no_data'")
    assert rows.select("experiment_id").distinct().count() == experiments
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Many experiments on one roll-up.")
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--experiments", type=int, default=50)
    options = parser.parse_args(argv)
    settings = Settings(kept_folder(options.folder))
    take_over(settings)
    with spark_session("experiments") as spark:
        found = measure(spark, settings.data_dir, options.profiles, options.experiments, options.rounds)
    publish([found], options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
