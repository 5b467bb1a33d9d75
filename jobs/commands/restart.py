"""`watchlift restart`: a new epoch of an experiment whose validity had failed."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any

from jobs.arguments import parse_day
from jobs.commands.common import add_command, print_answer
from jobs.delta_reader import allocations_of, analysis_days, latest_day, restarts_of
from jobs.readout_files import readout_files
from metrics.assignment import in_force
from metrics.bucketing import arm_salt
from metrics.configuration.experiment import Experiment, Restart
from metrics.configuration.project import Project, load_project
from metrics.enrollment import row_of_restart, start_of
from metrics.errors import InputError

_LONGEST_REASON = 500


def add_commands(commands: Any) -> None:
    restart = add_command(
        commands, "restart", "A new epoch: arms drawn anew, enrolment anew, the old data kept.", _restart
    )
    restart.add_argument("experiment", metavar="EXPERIMENT")
    restart.add_argument(
        "--valid-from", type=parse_day, required=True, help="first day of the new epoch, YYYY-MM-DD (UTC)"
    )
    restart.add_argument(
        "--reason", required=True, help="the failure of validity; an outcome is never a reason to restart"
    )


def _restart(arguments: argparse.Namespace) -> None:
    """Safe to repeat: the same day and reason as the last restart's are that restart."""
    project = load_project(arguments.conf_dir, arguments.data_dir)
    current = restarts_of(project).epochs(project.experiment(arguments.experiment))[-1]
    reason = " ".join(arguments.reason.split())
    restart = Restart(current.epoch + 1, arguments.valid_from, reason)
    if current.restart and (current.opens, current.restart.reason) == (restart.valid_from, reason):
        restart = current.restart
    else:
        _require_sense(project, current, restart)
    salt = arm_salt(current.id, restart.epoch)
    allocated = in_force(allocations_of(project, current.id), start_of(restart.valid_from))
    share = allocated.exposed_share if allocated and allocated.arm_salt != salt else 0.0
    if restart is not current.restart or share:
        _record(project, replace(current, restart=restart), share)
    newest = max(allocations_of(project, current.id), key=lambda each: each.effective_from, default=None)
    estimated = analysis_days(project, current.id)
    again = [day for day in estimated if day >= restart.valid_from]
    _render(project, current, [day for day in estimated if day < restart.valid_from])
    exposed_to = latest_day(project.tables, "exposures")
    answer = {
        "experiment_id": current.id,
        "epoch": restart.epoch,
        "valid_from": restart.valid_from.isoformat(),
        "reason": restart.reason,
        "arm_salt": salt,
        "estimated_again": [day.isoformat() for day in again],
    }
    text = (
        f"{current.id}: epoch {restart.epoch} from {restart.valid_from}\n"
        f"  reason: {restart.reason}\n"
        f"  arms are drawn by the salt {salt}: assignment services must take it from then on\n"
        "  profiles exposed before are left out; what was estimated before stays, marked\n"
    )
    if newest and (not newest.exposed_share or newest.arm_salt != salt):
        text += (
            f"  `watchlift allocate {current.id} --share … --valid-from … --reason …` gives services that salt: the\n"
            f"  newest, of {newest.effective_from:%Y-%m-%d}, is {newest.exposed_share:g} by {newest.arm_salt}\n"
        )
    if exposed_to and exposed_to >= restart.valid_from:
        text += (
            f"  exposures are there to {exposed_to}: who was first exposed since {restart.valid_from} is in, with\n"
            "  the arms of the old salt; choose a later day unless only counting was at fault\n"
        )
    if again:
        text += f"  the next run estimates again: {', '.join(map(str, again))}\n"
    print_answer(arguments, answer, text)


def _require_sense(project: Project, current: Experiment, restart: Restart) -> None:
    if not 0 < len(restart.reason) <= _LONGEST_REASON:
        raise InputError(
            f"the reason has {len(restart.reason)} characters; give 1 to {_LONGEST_REASON} on what went wrong"
        )
    if restart.valid_from <= current.opens:
        raise InputError(
            f"--valid-from {restart.valid_from} is not after {current.opens}, on which epoch {current.epoch} of "
            f"'{current.id}' begins; give a later day"
        )
    end, loaded = current.planned_end(project.catalogue), latest_day(project.tables, "profile_days")
    if loaded and loaded > end:
        raise InputError(
            f"'{current.id}' has ended on {end}, and data are loaded to {loaded}; register a new experiment"
        )
    if restart.valid_from > end:
        raise InputError(
            f"--valid-from {restart.valid_from} is after {end}, on which '{current.id}' ends; register a new experiment"
        )


def _render(project: Project, experiment: Experiment, days: Sequence[date]) -> None:
    """Pages made before say what they decided; now they decide nothing any more."""
    pages = [day for day in days if readout_files(project.data_dir, experiment.id, day).page.is_file()]
    if pages:
        from jobs.render_readout import render_readout

        for day in pages:
            render_readout(project, experiment, day)


def _record(project: Project, begun: Experiment, share: float) -> None:
    """The experiment in its new epoch, and the new salt from its first day on, for the share that is open then."""
    from jobs.allocations import keep_allocation
    from jobs.embedded import embedded_spark
    from jobs.tables import Tables

    assert begun.restart
    with embedded_spark("watchlift-restart") as spark:
        tables = Tables(spark, project, reason=f"restart: {begun.restart.reason}")
        tables.create()
        if share:  # first, since the layer may refuse it
            keep_allocation(tables, begun, share, start_of(begun.opens))
        rows = [asdict(row_of_restart(begun.id, begun.restart))]
        tables.insert_rows("enrollment_status", rows, {"experiment_id": [begun.id]})
