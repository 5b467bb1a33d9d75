"""`watchlift srm EXPERIMENT`: window by window, what the monitor of the sample ratio knew, and what it blocked."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from jobs.commands.common import print_answer, shown, table
from jobs.delta_reader import read_rows, restarts_of
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import load_project
from metrics.enrollment import BLOCKED, EnrollmentSlice, Known, known_at
from metrics.errors import InputError
from metrics.rows import SrmCheck, row_of

_WIDTH = 80


def print_timeline(arguments: argparse.Namespace) -> None:
    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    mine = pc.field("experiment_id") == experiment.id
    rows = read_rows(project.tables, "srm_checks", mine)
    if not rows:
        raise InputError(
            f"experiment '{experiment.id}' was not checked yet; run jobs/monitor_hour.py or jobs/run_experiments.py"
        )
    checks = sorted((row_of(SrmCheck, row) for row in rows), key=_place)
    status = [row_of(EnrollmentSlice, row) for row in read_rows(project.tables, "enrollment_status", mine)]
    epochs = restarts_of(project).epochs(experiment)
    blocked = sorted((each for each in status if each.status == BLOCKED), key=_since)
    answer = {
        "timeline": [asdict(check) | {"window_end": check.window_end.isoformat()} for check in checks],
        "blocked": [
            asdict(each) | {"since": each.since.isoformat()}
            for each in blocked
            if each.epoch == epochs[-1].epoch
        ],
        "restarts": [
            asdict(each.restart) | {"valid_from": each.opens.isoformat()} for each in epochs if each.restart
        ],
    }
    print_answer(arguments, answer, "\n".join(_text(epoch, checks, blocked) for epoch in epochs))


def _text(epoch: Experiment, checks: Sequence[SrmCheck], blocked: Sequence[EnrollmentSlice]) -> str:
    """What was known in one epoch."""
    known = known_at(check for check in checks if check.epoch == epoch.epoch)
    text = f"{epoch.id}: the sample ratio as it was known\n"
    if epoch.restart:
        text = _wrapped(f"RESTARTED as epoch {epoch.epoch} from {epoch.opens}: {epoch.restart.reason}")
    if not known:
        return f"{text}Not checked yet.\n"
    text += f"\n{_known_table(known)}\n"
    here = [each for each in blocked if each.epoch == epoch.epoch]
    if not here:
        return f"{text}No slice is blocked.\n"
    for each in here:
        then = known.get(each.since)
        by_then = f", {then.profiles:,} profiles exposed by then" if then else ""
        text += _wrapped(f"BLOCKED {each.name} since {each.since:%Y-%m-%d %H:%M}{by_then}:")
        text += _wrapped(f"  {each.reason}")
    return text


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False) + "\n"


def _known_table(known: Mapping[datetime, Known]) -> str:
    header = ["until (UTC)", "profiles", "households", "log e", "limit", "over", "furthest slice"]
    rows = [
        [
            f"{end:%Y-%m-%d %H:%M}",
            f"{each.profiles:,}",
            f"{each.households:,}",
            shown(each.furthest.log_e_value, 3),
            shown(each.furthest.threshold, 3),
            str(each.triggered),
            each.furthest.slice_value,
        ]
        for end, each in known.items()
    ]
    return table(header, rows)


def _place(check: SrmCheck) -> tuple[Any, ...]:
    return check.epoch, check.window_end, check.window_kind, check.unit, check.slice, check.slice_value


def _since(each: EnrollmentSlice) -> tuple[Any, ...]:
    return each.since, each.slice, each.slice_value
