"""Which epoch of an experiment a day falls into, and which experiments run on it."""

import logging
from datetime import date

from jobs.tables import Tables
from metrics.configuration.experiment import Experiment
from metrics.enrollment import RESTART, Restarts
from metrics.rollup.exposures import Span

log = logging.getLogger("watchlift.epochs")
_STATUS = "enrollment_status"
_READ = ("experiment_id", "epoch", "slice", "slice_value", "reason")


def restarts_of(tables: Tables) -> Restarts:
    """By delta-rs, again each time: a restart counts from its commit on."""
    return Restarts.of(tables.few_rows(_STATUS, {"slice": [RESTART]}, _READ))


def running(tables: Tables, day: date) -> list[Experiment]:
    """Experiments in the epoch of that day, between their start and the day on which their last profile has matured."""
    restarts = restarts_of(tables)
    epochs = [restarts.as_of(each, day) for each in tables.project.experiments]
    found = [epoch for epoch in epochs if epoch.is_running(day, tables.project.catalogue)]
    if not found:
        log.info("no experiment runs on %s", day)
    return found


def spans(tables: Tables) -> dict[str, Span]:
    """The first and the last day on which each experiment runs, over all its epochs."""
    restarts, catalogue = restarts_of(tables), tables.project.catalogue
    return {
        each.id: (each.start, restarts.epochs(each)[-1].planned_end(catalogue))
        for each in tables.project.experiments
    }


def enrolments(tables: Tables) -> list[Span]:
    """The first and the last day of each enrolment, of every epoch."""
    restarts = restarts_of(tables)
    epochs = [epoch for each in tables.project.experiments for epoch in restarts.epochs(each)]
    return [(epoch.opens, epoch.last_enrollment_day) for epoch in epochs]
