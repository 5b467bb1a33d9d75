"""Decide on each running experiment from its estimates of an analysis day, and keep the decision."""

import hashlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from jobs.allocations import keep_allocation
from jobs.application import day_job
from jobs.arguments import Days
from jobs.delta_reader import readout_rows_of
from jobs.epochs import refuse_changed, running
from jobs.side_by_side import side_by_side
from jobs.tables import Tables, Where
from metrics.assignment import Allocation, in_force
from metrics.configuration.experiment import Experiment
from metrics.decision import Decision
from metrics.enrollment import end_of, start_of
from metrics.errors import InputError
from metrics.gate import FUTILITY
from metrics.readout.build import build_readout
from metrics.readout.model import Readout
from metrics.rows import OVERRIDE, LookRow

log = logging.getLogger("watchlift.decide_rollout")


def decide_rollout(tables: Tables, days: Days) -> None:
    for day in days.all:
        for experiment in running(tables, day):
            decide_experiment(tables, experiment, day)


def decide_experiment(tables: Tables, experiment: Experiment, analysis_day: date) -> None:
    """Add the looks up to the day, and the readout's decision, unless the same were made from the same rows before.

    Then have `allocations` follow it from the next day on.
    """
    rows = readout_rows_of(tables.project, experiment, analysis_day)
    readout = build_readout(experiment, tables.project.catalogue, analysis_day, rows)
    decision = readout.decision
    columns = _columns(readout)
    identity = {
        "experiment_id": experiment.id,
        "epoch": rows.estimates[0].epoch,
        "decided_for": end_of(analysis_day),
        "input_version": f"{rows.estimates[0].input_version}-{_fingerprint(columns)}",
    }
    row = {**identity, **columns, "run": tables.reason, "refused": None}
    side_by_side(
        tables, partial(_keep_looks, looks=readout.looks, experiment=experiment), partial(_keep, row=row)
    )
    try:
        _follow(tables, experiment, analysis_day, decision, rows.allocations)
    except InputError as error:  # one layer without room must not keep other experiments from being decided
        log.error("ALERT %s: its share stays: %s", experiment.id, error)
        _keep(tables, {**row, "refused": str(error)})
    log.info("%s %s: %s", experiment.id, analysis_day, decision.action)


def _keep_looks(tables: Tables, looks: Sequence[LookRow], experiment: Experiment) -> None:
    """Insert those that are not there: a look is known by its data and those of the looks before it."""
    if looks:
        now = {"computed_at": datetime.now(UTC)}
        rows = [asdict(look) | now for look in looks]
        tables.insert_rows("looks", rows, {"experiment_id": [experiment.id]})


def _keep(tables: Tables, row: Mapping[str, Any]) -> None:
    where: Where = {"experiment_id": [row["experiment_id"]]}
    tables.insert_rows("rollout_decisions", [row], where, fill=("refused",))


def _follow(
    tables: Tables,
    experiment: Experiment,
    analysis_day: date,
    decision: Decision,
    allocations: Sequence[Allocation],
) -> None:
    """Where the share changes: down to nothing always, up only where `watchlift allocate` has opened the experiment.

    Of several decisions at one stage for one time (late data) the most careful counts, as everywhere; and one to close,
    of before, that nothing has followed, because the run that made it died, is followed now. What was set for just that
    time, by people or before, stays, unless it is to go to nothing; so does the next epoch's. Allocations tell who was
    exposed, so that a day decided again later does not change what was in force since: it closes the experiment from
    the end of the newest day that was decided, unless it was closed and opened again by then.
    """
    ended, at = experiment.ended, end_of(analysis_day)
    epoch_ends = start_of(ended.valid_from) if ended else None
    if experiment.randomized_by == "none" or (epoch_ends and at >= epoch_ends):
        return
    columns = ("epoch", "decided_for", "stage_from", "stage_to", "action")
    kept = tables.few_rows("rollout_decisions", {"experiment_id": [experiment.id]}, columns)
    of_epoch = [row for row in kept if row["epoch"] == experiment.epoch]
    made = [
        row
        for row in of_epoch
        if row["action"] != OVERRIDE and not (epoch_ends and row["decided_for"] >= epoch_ends)
    ]
    by_people = [row for row in of_epoch if row["action"] == OVERRIDE and row["decided_for"] >= at]
    alike = [row for row in made if (row["decided_for"], row["stage_from"]) == (at, decision.stage_from)]
    newest = max([row["decided_for"] for row in made], default=at)
    is_left_open = _is_left_open(made, kept, allocations, at, newest)
    share = 0.0 if is_left_open else min([row["stage_to"] for row in alike], default=decision.stage_to)
    now = in_force(allocations, at)
    if share and any(row["decided_for"] == at for row in by_people):
        return
    if not share and any(row["stage_from"] == 0 < row["stage_to"] for row in by_people):
        return  # they knew that it had been closed
    is_later = newest > at or now is None or now.effective_from == at
    if not is_left_open and (share == decision.stage_from or (share and is_later)):
        return
    if all(each.exposed_share for each in allocations if at <= each.effective_from <= newest):
        keep_allocation(tables, experiment, share, newest)


def _is_left_open(
    made: Sequence[Mapping[str, Any]],
    kept: Sequence[Mapping[str, Any]],
    allocations: Sequence[Allocation],
    at: datetime,
    newest: datetime,
) -> bool:
    """Whether a decision of before `at` closed the experiment, and no allocation or override did anything since.

    What was planned for later than the newest decision is no answer to it. `made`: of the epoch; `kept`: all rows.
    """
    answers = [row["decided_for"] for row in kept if row["action"] == OVERRIDE]
    answers += [each.effective_from for each in allocations if not each.exposed_share]
    closing = [row["decided_for"] for row in made if row["stage_to"] == 0 < row["stage_from"]]
    return any(then < at and not any(then <= time <= newest for time in answers) for then in closing)


def _fingerprint(columns: dict[str, Any]) -> str:
    """Of what was decided and why: it also rests on sample ratios, audits and the experiment file."""
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()[:8]


def _columns(readout: Readout) -> dict[str, Any]:
    """The decision with all that it rests on: metrics/gate.py finds it again from `inputs`."""
    decision = readout.decision
    inputs = {
        **asdict(decision.facts),
        "futility": FUTILITY,
        "arm": decision.arm,
        "looks": [asdict(look) for look in readout.looks if look.analysis_day == readout.analysis_day],
        "planned_end": decision.planned_end,
        "stage_since": decision.stage_since,
        "alpha": 1 - readout.level,
        "spec_hash": readout.provenance.spec_hash,
    }
    return {
        "stage_from": decision.stage_from,
        "stage_to": decision.stage_to,
        "action": decision.action,
        "reasons": list(decision.reasons),
        "inputs": json.dumps(inputs, default=str),
    }


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("decide_rollout", __doc__, refuse_changed(decide_rollout), argv)


if __name__ == "__main__":
    sys.exit(main())
