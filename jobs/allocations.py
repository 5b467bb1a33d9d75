"""Writes table `allocations`, from which assignment services learn who is in an experiment."""

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from jobs.epochs import restarts_of
from jobs.tables import Tables
from metrics.assignment import Allocation, allocate, allocation_of, in_force
from metrics.configuration.experiment import Experiment

log = logging.getLogger("watchlift.allocations")


def keep_allocation(tables: Tables, experiment: Experiment, share: float, at: datetime) -> Allocation | None:
    """Have the experiment at that share of its layer from `at` on: what is in force then, None where a later one is.

    Safe to repeat, and for a day of long ago: an allocation that has a successor is history. Raises InputError where
    the layer has no room.
    """
    columns = tuple(tables.declared["allocations"].columns)
    known = [
        allocation_of(row) for row in tables.few_rows("allocations", {"layer": [experiment.layer]}, columns)
    ]
    own = [each for each in known if each.experiment_id == experiment.id]
    if any(each.effective_from > at for each in own):
        log.info("%s: its allocation of a later time stays", experiment.id)
        return None
    before = in_force((each for each in own if each.effective_from < at), at).get(experiment.id)
    others = in_force((each for each in known if each.experiment_id != experiment.id), at).values()
    holdout = tables.project.holdouts.get(experiment.layer, 0.0)
    wanted = allocate(experiment, share, at, before, _still_running(tables, others, at), holdout)
    if wanted.is_same(in_force(own, at).get(experiment.id)):
        return wanted
    rows = tables.frame("allocations", [asdict(wanted)])
    tables.replace("allocations", rows, {"experiment_id": [experiment.id], "effective_from": [at]})
    log.info("%s: %g of layer %s from %s on", experiment.id, wanted.exposed_share, experiment.layer, at)
    return wanted


def _still_running(tables: Tables, allocations: Iterable[Allocation], at: datetime) -> list[Allocation]:
    """Those of experiments that have not ended by then, and are still configured."""
    restarts, catalogue = restarts_of(tables), tables.project.catalogue
    ends = {each.id: restarts.epochs(each)[-1].planned_end(catalogue) for each in tables.project.experiments}
    return [
        each for each in allocations if each.experiment_id in ends and ends[each.experiment_id] >= at.date()
    ]
