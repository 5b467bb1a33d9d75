"""Which epoch of an experiment a day falls into, and which experiments run on it."""

import logging
from collections.abc import Iterable
from datetime import date

from jobs.tables import Tables
from metrics.configuration.experiment import Experiment
from metrics.enrollment import RESTART, Restarts

log = logging.getLogger("watchlift.epochs")
_STATUS = "enrollment_status"
_READ = ("experiment_id", "epoch", "slice", "slice_value", "reason")


def restarts_of(tables: Tables) -> Restarts:
    """By delta-rs, again each time: a restart counts from its commit on."""
    return Restarts.of(tables.few_rows(_STATUS, {"slice": [RESTART]}, _READ))


def running(tables: Tables, day: date) -> list[Experiment]:
    """Experiments in the epoch of that day, between their start and the day on which their last profile has matured."""
    found = _running(tables, restarts_of(tables), day)
    if not found:
        log.info("no experiment runs on %s", day)
    return found


def running_on_any(tables: Tables, days: Iterable[date]) -> list[Experiment]:
    """Each experiment that runs on one of the days, once, as it was registered."""
    restarts = restarts_of(tables)
    ids = {experiment.id for day in days for experiment in _running(tables, restarts, day)}
    return [experiment for experiment in tables.project.experiments if experiment.id in ids]


def enrolments(tables: Tables) -> list[tuple[date, date]]:
    """The first and the last day of each enrolment, of every epoch."""
    restarts = restarts_of(tables)
    epochs = [epoch for each in tables.project.experiments for epoch in restarts.epochs(each)]
    return [(epoch.opens, epoch.last_enrollment_day) for epoch in epochs]


def _running(tables: Tables, restarts: Restarts, day: date) -> list[Experiment]:
    epochs = [restarts.as_of(each, day) for each in tables.project.experiments]
    return [epoch for epoch in epochs if epoch.is_running(day, tables.project.catalogue)]
