"""`watchlift preregister`: what an experiment can find, frozen before it starts, as a table and a page."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobs.commands.common import add_command, print_answer, shown, table
from metrics import wording
from metrics.configuration.experiment import Experiment
from metrics.rows import PowerRow
from metrics.statistics.layout import ALL

_COLUMNS = ("mean", "sd", "ICC", "rho", "n control", "days", "finds")


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands,
        "preregister",
        "Freeze an experiment's design by what is known before it starts.",
        _preregister,
    )
    parser.add_argument("experiment", metavar="EXPERIMENT")


def _preregister(arguments: argparse.Namespace) -> None:
    from jobs.embedded import embedded_spark
    from jobs.readout_files import registration_file, replace_file
    from jobs.registration import known_before, register, registered
    from jobs.tables import Tables
    from jobs.tracking import log_registration
    from metrics.configuration.project import load_project
    from metrics.readout.registration import render_registration

    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    rows = registered(project, experiment)
    if not rows:
        known_before(project, experiment)  # what it refuses needs no Spark to be said
        with embedded_spark("watchlift-preregister") as spark:
            tables = Tables(spark, project, reason="preregister")
            tables.create()
            rows = register(tables, experiment)
    page = registration_file(project.data_dir, experiment.id)
    replace_file(page, render_registration(experiment, project.catalogue, rows))
    log_registration(experiment.id, experiment.spec_hash, page, project.data_dir)
    warnings = [warning for row in rows if (warning := _warning(experiment, row))]
    answer = {"power": [asdict(row) for row in rows], "warnings": warnings, "page": str(page)}
    print_answer(arguments, answer, _text(experiment, rows, warnings))


def _warning(experiment: Experiment, row: PowerRow) -> str | None:
    """Where the planned enrolment does not find what is sought among everybody."""
    margin = experiment.guardrails.get(row.metric)
    if row.stratum != ALL:
        return None
    if row.max_information is None:
        why = json.loads(row.assumptions or "{}").get("status")
        return (
            f"{row.metric}: nothing can be said from the history ({why}), so that it is read once, at the end"
        )
    if row.mde_relative is None or not row.baseline_mean:
        return None
    sought = margin / abs(row.baseline_mean) if margin else experiment.mde_relative
    if row.mde_relative <= sought:
        return None
    return (
        f"{row.metric}: the planned enrolment finds {row.mde_relative:.2%}, the design seeks {sought:.2%}; "
        + (
            f"that takes {row.days_needed:.0f} days"
            if row.days_needed
            else "more than there are profiles for"
        )
    )


def _text(experiment: Experiment, rows: Sequence[PowerRow], warnings: Sequence[str]) -> str:
    everybody = [[row.metric, *_cells(row)] for row in rows if row.stratum == ALL]
    primary = experiment.primary[0]
    strata = [[row.stratum, *_cells(row)] for row in rows if row.stratum != ALL and row.metric == primary]
    parts = [
        f"{experiment.id}: registered, experiment file {experiment.spec_hash}\n",
        table(("everybody", *_COLUMNS), everybody),
        table((primary[:20], *_COLUMNS), strata),
        "n control: profiles of the control for the effect sought; days: until that many\n"
        "have matured; finds: the relative change that the planned enrolment detects\n",
        *_ramp(experiment, [row for row in rows if row.stratum == ALL]),
        *(f"warning: {each.split(': ', 1)[0]}\n  {each.split(': ', 1)[1]}\n" for each in warnings),
    ]
    return "\n".join(parts)


def _ramp(experiment: Experiment, rows: Sequence[PowerRow]) -> list[str]:
    """What is found by the end of each stage before the last; nothing where there is but one."""
    ramps = [(row, row.ramp) for row in rows if row.ramp]
    if not ramps:
        return []
    header = ("by the end of", *(f"{wording.share(stage.share)}, day {stage.day}" for stage in ramps[0][1]))
    return [
        table(
            header,
            [[row.metric, *(_found(experiment, row, each.finds) for each in ramp)] for row, ramp in ramps],
        )
    ]


def _found(experiment: Experiment, row: PowerRow, finds: float | None) -> str:
    if finds is None or not row.baseline_mean:
        return "-"
    margin = experiment.guardrails.get(row.metric)
    return f"{finds / margin:.1f} x margin" if margin else f"{finds / abs(row.baseline_mean):.1%}"


def _cells(row: PowerRow) -> list[str]:
    finds = "-" if row.mde_relative is None else f"{row.mde_relative:.2%}"
    days = "-" if row.days_needed is None else f"{row.days_needed:.0f}"
    needed = "-" if row.n_per_arm is None else f"{row.n_per_arm:,.0f}"
    return [
        shown(row.baseline_mean, 3),
        shown(row.baseline_sd, 3),
        shown(row.icc, 2),
        shown(row.rho, 2),
        needed,
        days,
        finds,
    ]
