"""`watchlift preregister`: what an experiment can find, frozen before it starts, as a table and a page."""

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobs.commands.common import add_command, print_answer, shown, table
from metrics import wording
from metrics.configuration.experiment import Experiment
from metrics.prospects import warning
from metrics.rows import PowerRow
from metrics.statistics.layout import ALL

_WIDTH = 80
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
    warnings = [told for row in rows if (told := warning(experiment, row))]
    answer = {"power": [asdict(row) for row in rows], "warnings": warnings, "page": str(page)}
    print_answer(arguments, answer, _text(experiment, rows, warnings))


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
        *(f"{textwrap.fill(f'warning: {each}', _WIDTH, subsequent_indent='  ')}\n" for each in warnings),
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
