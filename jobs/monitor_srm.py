"""Compare each experiment's arms with their planned shares, as of the end of a day, overall and per stratum."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta

from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.build_profile_windows import running
from jobs.tables import Tables, Where
from metrics.configuration.experiment import Experiment
from metrics.rollup.exposures import first_exposures
from metrics.statistics.srm_checks import srm_checks

log = logging.getLogger("watchlift.monitor_srm")


def monitor_srm(tables: Tables, days: Days) -> None:
    for day in days.all:
        for experiment in running(tables, day):
            check_sample_ratio(tables, experiment, day)


def check_sample_ratio(tables: Tables, experiment: Experiment, day: date) -> None:
    """Replace the checks of the window that ends with the day: a stratum that it has no profile of any more goes."""
    window_end = end_of(day)
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(day))
    checks = srm_checks(first_exposures(exposures, [experiment]), experiment, window_end)
    rows = [{**asdict(check), "window_end_day": window_end.date()} for check in checks]
    where: Where = {"experiment_id": [experiment.id], "window_end_day": [window_end.date()]}
    of_day = tables.read("srm_checks").where(
        (F.col("experiment_id") == experiment.id) & (F.col("window_end_day") == F.lit(window_end.date()))
    )
    others = of_day.where(F.col("window_end") != F.lit(window_end))
    tables.replace("srm_checks", others.unionByName(tables.frame("srm_checks", rows)), where)
    triggered = [check for check in checks if check.triggered]
    log.info("%s %s: %d sample-ratio checks, %d triggered", experiment.id, day, len(checks), len(triggered))


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("monitor_srm", __doc__, monitor_srm, argv)


if __name__ == "__main__":
    sys.exit(main())
