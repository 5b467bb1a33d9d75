"""Writes table `allocations`, from which assignment services learn who is in an experiment, and who overrode a gate."""

import hashlib
import json
import logging
from dataclasses import asdict
from datetime import datetime

from jobs.arguments import Conflict
from jobs.tables import Tables, Where
from metrics.assignment import Allocation, allocate, allocation_of, in_force
from metrics.configuration.experiment import Experiment
from metrics.rows import OVERRIDE

log = logging.getLogger("watchlift.allocations")
_TABLE = "allocations"


def keep_allocation(tables: Tables, experiment: Experiment, share: float, at: datetime) -> Allocation | None:
    """Have the experiment at that share of its layer from `at` on: what is in force then, None where a later one is.

    Safe to repeat. A share of 0 takes the place of what was to come later, too: harm does not wait for a calendar.
    Buckets of other experiments are theirs until they are closed, whether their time is over or not: services may still
    expose them. Raises InputError where the layer has no room, Conflict where another experiment took the same.
    """
    own, others = _of_layer(tables, experiment, at)
    now, later = in_force(own, at), [each.effective_from for each in own if each.effective_from > at]
    if later and share:
        log.info("%s: its allocation of a later time stays", experiment.id)
        return None
    holdout = tables.project.holdouts.get(experiment.layer, 0.0)
    wanted = allocate(experiment, share, at, now, others, holdout)
    if wanted.is_same(now):
        return wanted
    where: Where = {"experiment_id": [experiment.id], "effective_from": [at, *later]}
    tables.replace_rows(_TABLE, [asdict(wanted)], where)
    _, others = _of_layer(tables, experiment, at)
    if any(wanted.overlaps(each) for each in others):
        before = [asdict(each) for each in own if each.effective_from in where["effective_from"]]
        tables.replace_rows(_TABLE, before, where)
        raise Conflict(
            f"layer {experiment.layer}: another experiment took the same buckets meanwhile; run this again"
        )
    log.info("%s: %g of layer %s from %s on", experiment.id, wanted.exposed_share, experiment.layer, at)
    return wanted


def keep_override(
    tables: Tables,
    experiment: Experiment,
    share: tuple[float, float],
    at: datetime,
    reason: str,
    accepted: tuple[str, ...],
) -> None:
    """Record among the gate's decisions that people set the share from `at` on. Safe to repeat.

    share: before and from then on; accepted: metrics whose harm rolls nothing back from then on.
    """
    inputs = json.dumps({"accepted": accepted})
    where: Where = {"experiment_id": [experiment.id], "decided_for": [at], "action": [OVERRIDE]}
    known = tables.few_rows("rollout_decisions", where, ("stage_to", "reasons", "inputs"))
    if any((row["stage_to"], row["reasons"], row["inputs"]) == (share[1], [reason], inputs) for row in known):
        return
    told = hashlib.sha256(json.dumps([*share, reason, inputs]).encode()).hexdigest()[:8]
    row = {
        "experiment_id": experiment.id,
        "epoch": experiment.epoch,
        "decided_for": at,
        "input_version": f"{OVERRIDE}-{told}",
        "stage_from": share[0],
        "stage_to": share[1],
        "action": OVERRIDE,
        "reasons": [reason],
        "inputs": inputs,
        "run": tables.reason,
        "refused": None,
    }
    tables.insert_rows("rollout_decisions", [row], {"experiment_id": [experiment.id]})


def _of_layer(
    tables: Tables, experiment: Experiment, at: datetime
) -> tuple[list[Allocation], list[Allocation]]:
    """All of the experiment's allocations, and those of others in its layer that are in force or yet to come."""
    columns = tuple(tables.declared[_TABLE].columns)
    rows = tables.few_rows(_TABLE, {"layer": [experiment.layer]}, columns)
    by_experiment: dict[str, list[Allocation]] = {experiment.id: []}
    for each in map(allocation_of, rows):
        by_experiment.setdefault(each.experiment_id, []).append(each)
    own = by_experiment.pop(experiment.id)
    return own, [each for found in by_experiment.values() for each in _from(found, at)]


def _from(allocations: list[Allocation], at: datetime) -> list[Allocation]:
    """Of one experiment's: the one in force, and those yet to come."""
    now = in_force(allocations, at)
    return [*([now] if now else []), *(each for each in allocations if each.effective_from > at)]
