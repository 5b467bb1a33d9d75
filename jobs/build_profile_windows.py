"""Build each running experiment's profile windows as of an analysis day."""

import sys
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.epochs import refuse_changed, running
from jobs.event_commits import noted
from jobs.restatement import audited_inputs
from jobs.tables import Tables
from metrics.configuration.experiment import Experiment
from metrics.errors import InputError
from metrics.rollup.exposures import first_exposures
from metrics.rollup.profile_windows import profile_windows

KEPT_ANALYSIS_DAYS = 7


def build_profile_windows(tables: Tables, days: Days) -> None:
    """Replace the (experiment, analysis day) partitions of every experiment that runs on the days."""
    for day in days.all:
        for experiment in running(tables, day):
            build_windows(tables, experiment, day)


def build_windows(tables: Tables, experiment: Experiment, analysis_day: date) -> None:
    require_days(tables, experiment, analysis_day)
    inputs = audited_inputs(tables, experiment, analysis_day)
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(analysis_day))
    windows = profile_windows(
        first_exposures(exposures, [experiment]),
        tables.read("profile_days"),
        tables.read("exposure_day_measures"),
        experiment,
        tables.project.catalogue,
        analysis_day,
    )
    windows = windows.withColumn("audited_inputs", F.lit(inputs))
    tables.replace(
        "profile_windows", windows, {"experiment_id": [experiment.id], "analysis_day": [analysis_day]}
    )
    oldest = analysis_day - timedelta(days=KEPT_ANALYSIS_DAYS - 1)
    kept = tables.partitions("profile_windows", ["experiment_id", "analysis_day"])
    if any(name == experiment.id and day < oldest for name, day in kept):
        tables.delete(
            "profile_windows", f"experiment_id = '{experiment.id}' AND analysis_day < DATE'{oldest}'"
        )


def require_days(tables: Tables, experiment: Experiment, analysis_day: date) -> None:
    """A day that was never loaded would count as one on which nobody did anything, or hardly anybody: late rows of it
    may have come with another.
    """
    if all(source.min_daily_rows == 0 for source in tables.project.sources.events):
        return  # days without rows are normal
    present = {day for (day,) in tables.partitions("profile_days", ["day"])}
    present &= noted(tables).loaded.union(day for (day,) in tables.partitions("events", ["ingest_day"]))
    missing = [day for day in Days(experiment.opens, analysis_day).all if day not in present]
    if missing:
        raise InputError(
            f"experiment '{experiment.id}' on {analysis_day}: day {missing[0]} is not in profile_days "
            f"({len(missing)} missing); load it with run_day --day {missing[0]} first"
        )


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("build_profile_windows", __doc__, refuse_changed(build_profile_windows), argv)


if __name__ == "__main__":
    sys.exit(main())
