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
from metrics.enrollment import EnrollmentSlice, blocked
from metrics.rollup.exposures import first_exposures
from metrics.rows import SrmCheck
from metrics.statistics.srm_checks import srm_checks

log = logging.getLogger("watchlift.monitor_srm")


def monitor_srm(tables: Tables, days: Days) -> None:
    for day in days.all:
        for experiment in running(tables, day):
            check_sample_ratio(tables, experiment, end_of(day), "day")


def check_sample_ratio(tables: Tables, experiment: Experiment, window_end: datetime, kind: str) -> None:
    """Replace the checks of the windows that end then, the cumulative one and the last of the kind ("hour", "day").

    A stratum of which they have no profile any more goes. Slices that trigger are blocked.
    """
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(window_end.date()))
    exposed = first_exposures(exposures.where(F.col("exposed_at") < F.lit(window_end)), [experiment])
    checks = srm_checks(exposed, experiment, window_end, (kind,))
    rows = [{**asdict(check), "window_end_day": window_end.date()} for check in checks]
    where: Where = {"experiment_id": [experiment.id], "window_end_day": [window_end.date()]}
    of_day = tables.read("srm_checks").where(
        (F.col("experiment_id") == experiment.id) & (F.col("window_end_day") == F.lit(window_end.date()))
    )
    ours = (F.col("window_end") == F.lit(window_end)) & F.col("window_kind").isin("cumulative", kind)
    tables.replace("srm_checks", of_day.where(~ours).unionByName(tables.frame("srm_checks", rows)), where)
    triggered = [check for check in checks if check.triggered]
    log.info(
        "%s %s: %d sample-ratio checks, %d triggered", experiment.id, window_end, len(checks), len(triggered)
    )
    if triggered:
        _block(tables, experiment, triggered)


def _block(tables: Tables, experiment: Experiment, triggered: Sequence[SrmCheck]) -> None:
    """What is blocked stays so until a restart, whatever later windows show; a slice without a row is open."""
    status = tables.read("enrollment_status").where(F.col("experiment_id") == experiment.id)
    # As a number: Python's own moments would be those of this machine's zone.
    rows = status.withColumn("since", F.unix_micros("since")).collect()
    before = {
        EnrollmentSlice(**row.asDict() | {"since": datetime.fromtimestamp(row["since"] / 1e6, UTC)})
        for row in rows
    }
    after = blocked(before, triggered)
    if after == before:
        return
    where: Where = {"experiment_id": [experiment.id]}
    written = [
        asdict(each) for each in sorted(after, key=lambda each: (each.epoch, each.slice, each.slice_value))
    ]
    tables.replace("enrollment_status", tables.frame("enrollment_status", written), where)
    for each in after - before:
        log.error("ALERT %s: enrolment of %s is blocked: %s", experiment.id, each.name, each.reason)


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("monitor_srm", __doc__, monitor_srm, argv)


if __name__ == "__main__":
    sys.exit(main())
