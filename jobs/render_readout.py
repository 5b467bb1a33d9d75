"""Render each experiment's readout of a day as a page, as text and as JSON, without Spark; log it to MLflow."""

import logging
import sys
import time
from collections.abc import Sequence
from datetime import date

from jobs.arguments import day_parser, days_of, run
from jobs.delta_reader import allocations_of, computed_on, readout_rows_of, restarts_of
from jobs.readout_files import readout_files, write_readout
from jobs.tracking import log_readout
from metrics.assignment import is_closed
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project, load_project
from metrics.enrollment import start_of
from metrics.errors import InputError
from metrics.readout.build import build_readout

log = logging.getLogger("watchlift.render_readout")


def render_readouts(project: Project, day: date, asked: Sequence[str] | None = None) -> None:
    """The readouts of the experiments asked for; else of all that have estimates on the day.

    Raises InputError where an experiment that was asked for, or that runs on the day, has no estimates.
    """
    experiments = [project.experiment(name) for name in asked] if asked else project.experiments
    expected = [each for each in experiments if asked or _is_running(project, each, day)]
    rendered = [experiment for experiment in experiments if render_readout(project, experiment, day)]
    missing = [experiment.id for experiment in expected if experiment not in rendered]
    if missing:
        raise InputError(
            f"experiment '{missing[0]}' has no estimates for {day}; run jobs/estimate_effects.py for that day"
        )
    if not rendered:
        log.info("no experiment runs on %s", day)


def _is_running(project: Project, experiment: Experiment, day: date) -> bool:
    """As jobs.epochs.running says."""
    epoch = restarts_of(project).as_of(experiment, day)
    if not epoch.is_running(day, project.catalogue):
        return False
    return not is_closed(allocations_of(project, experiment.id), start_of(day))


def render_readout(project: Project, experiment: Experiment, day: date) -> bool:
    """Whether there were estimates to read out."""
    started = time.monotonic()
    rows = readout_rows_of(project, experiment, day)
    if not rows.estimates:
        return False
    readout = build_readout(experiment, project.catalogue, day, rows)
    files = write_readout(readout, project.data_dir)
    log_readout(readout, files.page, project.data_dir)
    log.info("%s of %s: %s in %.1f s", experiment.id, day, files.page, time.monotonic() - started)
    return True


def render_outdated(project: Project) -> None:
    """The pages again of those days that were estimated since they were made."""
    for experiment in project.experiments:
        for day, computed_at in computed_on(project, experiment.id).items():
            page = readout_files(project.data_dir, experiment.id, day).page
            if page.exists() and page.stat().st_mtime < computed_at.timestamp():
                render_readout(project, experiment, day)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


def _work(argv: Sequence[str]) -> None:
    parser = day_parser(__doc__)
    parser.add_argument("--experiment", nargs="+", metavar="ID", help="only these experiments")
    arguments = parser.parse_args(argv)
    days = days_of(arguments)
    project = load_project(arguments.conf_dir, arguments.data_dir)
    for day in days.all:
        render_readouts(project, day, arguments.experiment)
    render_outdated(project)


if __name__ == "__main__":
    sys.exit(main())
