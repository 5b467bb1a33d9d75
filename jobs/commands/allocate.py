"""`watchlift allocate`: open an experiment to a share of its layer, or override its gate, with a reason."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from jobs.arguments import parse_day
from jobs.commands.common import add_command, finite, print_answer
from metrics.assignment import share_before
from metrics.configuration.experiment import BUCKETS, Experiment
from metrics.enrollment import start_of
from metrics.errors import InputError


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands, "allocate", "Open an experiment to a share of its layer, or override its gate.", _allocate
    )
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument("--share", type=finite, help="of the layer (default: the first of rollout.stages)")
    parser.add_argument(
        "--valid-from", type=parse_day, required=True, help="first day of the share, YYYY-MM-DD (UTC)"
    )
    parser.add_argument("--reason", help="why people set it; needed once the experiment was opened")
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        metavar="METRIC",
        help="guardrails or primaries whose harm, in any arm, rolls nothing back from that day on in this epoch",
    )


def _allocate(arguments: argparse.Namespace) -> None:
    from jobs.allocations import keep_allocation, keep_override
    from jobs.delta_reader import allocations_of, restarts_of
    from jobs.embedded import embedded_spark
    from jobs.registration import require_frozen
    from jobs.tables import Tables
    from metrics.configuration.project import load_project

    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    require_frozen(project, experiment)
    experiment = restarts_of(project).as_of(experiment, arguments.valid_from)
    share = experiment.stages[0] if arguments.share is None else arguments.share
    known = allocations_of(project, experiment.id)
    last = None if known else experiment.planned_end(project.catalogue)
    _require_sense(experiment, share, arguments.valid_from, last)
    _require_watched(experiment, arguments.accept)
    at = start_of(arguments.valid_from)
    reason = " ".join((arguments.reason or "").split())
    if not reason and (known or arguments.accept):
        raise InputError(
            f"'{experiment.id}' was opened before, and its gate decides since: give --reason to set its share by people"
        )
    with embedded_spark("watchlift-allocate") as spark:
        tables = Tables(spark, project, reason=f"allocate: share {share:g}")
        tables.create()
        made = keep_allocation(tables, experiment, share, at)
        if made is None:
            raise InputError(
                f"--valid-from {arguments.valid_from} is before the last allocation of '{experiment.id}'; give a later "
                "day"
            )
        if reason:
            shares = share_before(known, at, share), share
            keep_override(tables, experiment, shares, at, reason, tuple(arguments.accept))
    answer = asdict(made) | {"effective_from": made.effective_from.isoformat()}
    buckets = ", ".join(f"{first} to {end - 1}" for first, end in made.layer_buckets) or "none"
    arms = ", ".join(f"{arm} {part:g}" for arm, part in made.shares_in_order.items())
    text = (
        f"{made.experiment_id}: {made.exposed_share:g} of layer {made.layer} from {arguments.valid_from} on\n"
        f"  buckets by salt {made.layer_salt}: {buckets}\n"
        f"  arms by salt {made.arm_salt}: {arms}\n"
    )
    print_answer(arguments, answer, text)


def _require_sense(experiment: Experiment, share: float, day: date, last: date | None) -> None:
    """Raises InputError where nobody is assigned, or not so many, or not on that day.

    A share of 0 makes sense on any day: services may expose an experiment before its time, and long after it. One that
    was opened may be opened again after its time: what shipped goes on being served. `last`: None for such a one.
    """
    if experiment.randomized_by == "none":
        raise InputError(f"experiment '{experiment.id}' is observational: nobody is assigned")
    least, most = 1 / BUCKETS, experiment.stages[-1]
    if share and not least <= share <= most:
        raise InputError(
            f"--share is {share:g}; give 0, or {least:g} to {most:g}, the last of its rollout.stages"
        )
    if not share:
        return
    if ended := experiment.ended:
        raise InputError(
            f"epoch {ended.epoch} of '{experiment.id}' begins on {ended.valid_from}; give that day or a later one"
        )
    if day < experiment.opens or (last and day > last):
        ends = f" and ends on {last}" if last else ""
        raise InputError(
            f"--valid-from is {day}; '{experiment.id}' begins on {experiment.opens}{ends}: give a day of these"
        )


def _require_watched(experiment: Experiment, accepted: Sequence[str]) -> None:
    watched = (*experiment.primary, *experiment.guardrails)
    for metric in accepted:
        if metric not in watched:
            raise InputError(
                f"--accept is '{metric}'; metrics of '{experiment.id}' that roll back: {', '.join(watched)}"
            )
