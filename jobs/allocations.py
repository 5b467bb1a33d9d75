"""Writes table `allocations`, from which assignment services learn who is in an experiment."""

import logging
from dataclasses import asdict
from datetime import datetime

from jobs.tables import Tables, literals
from metrics.assignment import Allocation, allocate, allocation_of, in_force
from metrics.configuration.experiment import Experiment

log = logging.getLogger("watchlift.allocations")
_TABLE = "allocations"


def keep_allocation(tables: Tables, experiment: Experiment, share: float, at: datetime) -> Allocation | None:
    """Have the experiment at that share of its layer from `at` on: what is in force then, None where a later one is.

    Safe to repeat. A share of 0 ends what was to come later, too: harm does not wait for a calendar. Buckets of other
    experiments are theirs until they are closed, whether their time is over or not: services may still expose them.
    Raises InputError where the layer has no room.
    """
    columns = tuple(tables.declared[_TABLE].columns)
    rows = tables.few_rows(_TABLE, {"layer": [experiment.layer]}, columns)
    known = [allocation_of(row) for row in rows]
    own = [each for each in known if each.experiment_id == experiment.id]
    later = [each for each in own if each.effective_from > at]
    if later and share:
        log.info("%s: its allocation of a later time stays", experiment.id)
        return None
    others = [each for each in known if each.experiment_id != experiment.id]
    present = [each for name in {each.experiment_id for each in others} for each in _from(others, name, at)]
    before = in_force((each for each in own if each.effective_from < at), at)
    wanted = allocate(
        experiment, share, at, before, present, tables.project.holdouts.get(experiment.layer, 0.0)
    )
    if not wanted.is_same(in_force(own, at)):
        frame = tables.frame(_TABLE, [asdict(wanted)])
        tables.replace(_TABLE, frame, {"experiment_id": [experiment.id], "effective_from": [at]})
        log.info("%s: %g of layer %s from %s on", experiment.id, wanted.exposed_share, wanted.layer, at)
    if later:
        own_later = f"experiment_id IN ({literals([experiment.id])}) AND effective_from > TIMESTAMP'{at}'"
        tables.delete(_TABLE, own_later)
    return wanted


def _from(allocations: list[Allocation], experiment_id: str, at: datetime) -> list[Allocation]:
    """The experiment's allocation in force, and those yet to come."""
    own = [each for each in allocations if each.experiment_id == experiment_id]
    now = in_force(own, at)
    return [*([now] if now else []), *(each for each in own if each.effective_from > at)]
