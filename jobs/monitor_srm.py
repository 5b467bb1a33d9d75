"""Compare each experiment's arms with their planned shares, as of the end of a day or hour, overall and per stratum."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.epochs import refuse_changed, running
from jobs.tables import Tables, Where
from metrics.configuration.experiment import Experiment
from metrics.enrollment import blocked, end_of
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
    checks = srm_checks(exposed, experiment, window_end, (kind,), experiment.epoch, columns=experiment.strata)
    rows = [{**asdict(check), "window_end_day": window_end.date()} for check in checks]
    # These windows alone: a day and the hours of the next share a partition, and may be written at once.
    where: Where = {
        "experiment_id": [experiment.id],
        "window_end_day": [window_end.date()],
        "window_end": [window_end],
        "window_kind": ["cumulative", kind],
    }
    tables.replace_rows("srm_checks", rows, where)
    triggered = [check for check in checks if check.triggered]
    log.info(
        "%s %s: %d sample-ratio checks, %d triggered", experiment.id, window_end, len(checks), len(triggered)
    )
    if triggered:
        _block(tables, experiment, triggered)


def _block(tables: Tables, experiment: Experiment, triggered: Sequence[SrmCheck]) -> None:
    """What is blocked stays so until a restart, whatever later windows show; a slice without a row is open."""
    key = ("epoch", "slice", "slice_value")
    status = tables.few_rows("enrollment_status", {"experiment_id": [experiment.id]}, key)
    known = {tuple(row[name] for name in key) for row in status}
    now = [replace(each, run=tables.reason) for each in blocked(triggered)]
    new = [each for each in now if (each.epoch, each.slice, each.slice_value) not in known]
    for each in new:  # before it is written: rather an alarm twice than none
        log.error("ALERT %s", each.alert)
    if new:
        rows = [asdict(each) for each in new]
        tables.insert_rows("enrollment_status", rows, {"experiment_id": [experiment.id]})


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("monitor_srm", __doc__, refuse_changed(monitor_srm), argv)


if __name__ == "__main__":
    sys.exit(main())
