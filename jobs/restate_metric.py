"""Apply a changed definition of one metric to days that were rolled up before, and estimate what rests on them."""

import logging
import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.arguments import Days, day_parser, days_of, run
from jobs.audit_table import audit_tables
from jobs.epochs import spans
from jobs.event_commits import noted
from jobs.restatement import stale_days
from jobs.run_experiments import run_analyses
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.configuration.catalogue import Metric
from metrics.configuration.project import load_project
from metrics.errors import InputError
from metrics.rollup.exposures import exposed_on
from metrics.rollup.profile_days import exposure_day_measures, profile_days

log = logging.getLogger("watchlift.restate_metric")
ROLLED_UP = ("profile_days", "exposure_day_measures")


def restate_metric(tables: Tables, metric: str, days: Days) -> None:
    """Roll the days' events up for the metric's measures alone: all other columns stay as they are.

    Then the analysis days are estimated again that rest on what changed, and those from the first of the days on that
    have numbers of an earlier version of the metric. Raises InputError, before anything is written, for a day that was
    not rolled up since its events changed.
    """
    catalogue = tables.project.catalogue
    if metric not in catalogue.metrics:
        known = ", ".join(catalogue.metrics)
        raise InputError(f"metric '{metric}' is not in metrics.yml; known: {known}")
    _require_rolled_up(tables, days)
    _restate(tables, catalogue.metrics[metric], days.all)
    audit_tables(tables, ROLLED_UP, days.all)
    run_analyses(tables, [*stale_days(tables), *_of_another_version(tables, metric, days)])


def _of_another_version(tables: Tables, metric: str, days: Days) -> list[date]:
    """Analysis days from the first of the days on, which windows of the others reach into."""
    later = (F.col("metric") == metric) & (F.col("analysis_day") >= F.lit(days.first))
    of_metric = tables.read("estimates").where(later)
    version = F.lit(tables.project.catalogue.version(metric))
    older = of_metric.where(~F.col("metric_version").eqNullSafe(version)).select("analysis_day").distinct()
    return [row["analysis_day"] for row in older.collect()]


def _require_rolled_up(tables: Tables, days: Days) -> None:
    there = {
        row["day"] for row in tables.read_days("profile_days", days.all).select("day").distinct().collect()
    }
    due = noted(tables).to_roll_up
    for day in days.all:
        if day not in there or day in due:
            was = "is to be rolled up again" if day in due else "is not in profile_days"
            raise InputError(f"day {day} {was}; run roll_up_profile_days --day {day} first")


def _restate(tables: Tables, metric: Metric, days: Sequence[date]) -> None:
    changed = tables.project.catalogue.of_measures(metric.measures)
    events, exposures = tables.read_days("events", days), tables.read("exposures")
    first = exposed_on(exposures, spans(tables), days)
    rolled_up = (profile_days(events, changed), exposure_day_measures(events, first, changed))
    for name, fresh in reversed(list(zip(ROLLED_UP, rolled_up, strict=True))):
        before = tables.read_days(name, days)
        tables.replace(name, _with_measures(before, fresh, tables.declared[name].key, metric), {"day": days})
    log.info("%s: restated %s", metric.name, ", ".join(metric.measures))


def _with_measures(before: DataFrame, fresh: DataFrame, key: Sequence[str], metric: Metric) -> DataFrame:
    """The rows as they were, with the metric's measures anew."""
    return before.drop(*metric.measures).join(fresh.select(*key, *metric.measures), list(key), how="left")


def _work(arguments: Sequence[str]) -> None:
    parser = day_parser(__doc__)
    parser.add_argument("--metric", required=True, help="the metric whose definition changed")
    parsed = parser.parse_args(arguments)
    days = days_of(parsed)
    if not parsed.reason:
        raise InputError("no reason given; pass --reason, which is kept with every commit")
    project = load_project(parsed.conf_dir, parsed.data_dir)
    with spark_session("restate_metric") as spark:
        tables = Tables(spark, project, reason=parsed.reason)
        tables.create()
        restate_metric(tables, parsed.metric, days)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


if __name__ == "__main__":
    sys.exit(main())
