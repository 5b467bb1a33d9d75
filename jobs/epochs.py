"""Which epoch of an experiment a day falls into, and which experiments run on it."""

import logging
from collections.abc import Callable, Iterable
from datetime import date

from jobs.arguments import Days
from jobs.registration import changed_files
from jobs.tables import Tables, Where
from metrics.assignment import Allocation, allocation_of, is_closed
from metrics.configuration.experiment import Experiment
from metrics.enrollment import RESTART, Restarts, start_of
from metrics.errors import InputError
from metrics.rollup.exposures import Span

log = logging.getLogger("watchlift.epochs")
_STATUS = "enrollment_status"
_READ = ("experiment_id", "epoch", "slice", "slice_value", "reason")


def restarts_of(tables: Tables) -> Restarts:
    """By delta-rs, again each time: a restart counts from its commit on."""
    return Restarts.of(tables.few_rows(_STATUS, {"slice": [RESTART]}, _READ))


def running(tables: Tables, day: date) -> list[Experiment]:
    """Experiments in the epoch of that day, between their start and the day on which their last profile has matured.

    From a rollback on, or since people closed it, nobody is treated: estimates are of the data up to then, and a day
    that begins closed has none. One whose file changed under way is left out; `refuse_changed` says so at the end, so
    that others run.
    """
    restarts, closed = restarts_of(tables), {*_closed(tables, day), *changed_files(tables.project)}
    epochs = [restarts.as_of(each, day) for each in tables.project.experiments]
    found = [
        epoch
        for epoch in epochs
        if epoch.is_running(day, tables.project.catalogue) and epoch.id not in closed
    ]
    if not found:
        log.info("no experiment runs on %s", day)
    return found


def refuse_changed(step: Callable[[Tables, Days], object]) -> Callable[[Tables, Days], None]:
    """The step, and then InputError where the file of an experiment of these days changed under way."""

    def then_refuse(tables: Tables, days: Days) -> None:
        step(tables, days)
        require_unchanged(tables, days.all)

    return then_refuse


def require_unchanged(tables: Tables, days: Iterable[date]) -> None:
    """Raises InputError where the file of an experiment of these days changed under way."""
    restarts, changed = restarts_of(tables), changed_files(tables.project)
    for day in days:
        for each in tables.project.experiments:
            if each.id in changed and restarts.as_of(each, day).is_running(day, tables.project.catalogue):
                raise InputError(changed[each.id])


def _closed(tables: Tables, day: date) -> set[str]:
    """Experiments whose share is 0 when the day begins."""
    of_these: Where = {"experiment_id": [each.id for each in tables.project.experiments]}
    columns = tuple(tables.declared["allocations"].columns)
    by_experiment: dict[str, list[Allocation]] = {}
    for row in tables.few_rows("allocations", of_these, columns):
        by_experiment.setdefault(row["experiment_id"], []).append(allocation_of(row))
    return {name for name, found in by_experiment.items() if is_closed(found, start_of(day))}


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
