"""The hour in one application: merge the exposures that have landed, then compare the arms with their shares."""

import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from jobs.arguments import Days, job_parser, parse_hour, run
from jobs.audit_landed import audit_landed
from jobs.epochs import require_unchanged, running
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.monitor_srm import check_sample_ratio
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.configuration.project import load_project


def monitor_hour(tables: Tables, hour: datetime) -> None:
    """`hour`: its beginning. Exposures of its ingest day are merged as far as they have landed; safe to repeat.

    The first hour of a day merges what the day before has left. The day's profiles are loaded before, as by the daily
    run: they tell households and tenure. The arms are compared also where too many rows were quarantined, which fails
    the job after that.
    """
    day = hour.date()
    _load_profiles(tables, day)
    landed = ingest_exposures(tables, Days(day if hour.hour else day - timedelta(days=1), day)).landed
    for experiment in running(tables, day):
        check_sample_ratio(tables, experiment, hour + timedelta(hours=1), "hour")
    audit_landed(tables, landed)


def _load_profiles(tables: Tables, day: date) -> None:
    """Once: a snapshot of many profiles is not loaded every hour."""
    newest = tables.greatest("profiles", "snapshot_day")
    if newest is None or newest < day:
        ingest_profiles(tables, Days(day, day))


def _work(arguments: Sequence[str]) -> None:
    parser = job_parser(__doc__)
    parser.add_argument("--hour", type=parse_hour, required=True, help="the hour, YYYY-MM-DDTHH (UTC)")
    parser.add_argument("--reason", help="why, kept with every commit")
    parsed = parser.parse_args(arguments)
    project = load_project(parsed.conf_dir, parsed.data_dir)
    with spark_session("monitor_hour") as spark:
        tables = Tables(spark, project, reason=parsed.reason)
        tables.create()
        monitor_hour(tables, parsed.hour)
        require_unchanged(tables, [parsed.hour.date()])


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


if __name__ == "__main__":
    sys.exit(main())
