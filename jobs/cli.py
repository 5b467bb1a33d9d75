"""The console command `watchlift`: results, configuration, numbers, and (the only one with Spark) files of units."""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from jobs.arguments import Parser, WorkFailed, parse_day, run
from jobs.commands import (
    allocate,
    analyze,
    data_docs,
    decisions,
    explain,
    numbers,
    planning,
    preregister,
    restart,
)
from jobs.commands.common import add_command, print_answer, print_json, print_text
from metrics.errors import ConfigurationError, InputError

_LARGEST_ID = 2**63
_NEGATIVE_SCIENTIFIC = re.compile(r"-\d+(\.\d*)?[eE][-+]?\d{1,3}")


class FaultsFound(ConfigurationError):
    """What `validate` found, summed up in one line; the faults themselves are printed before it."""

    def __init__(self, folder: Path, faults: Sequence[str]) -> None:
        super().__init__(faults)
        noun = "fault" if len(faults) == 1 else "faults"
        self.args = (f"{folder} has {len(faults)} {noun}; mend them, then validate again",)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 (failed) or 2 (bad input); an error is one line, and a document under --format json."""
    return run(_work, argv)


def _work(argv: Sequence[str]) -> None:
    try:
        arguments = _parser().parse_args([_plain(word) for word in argv])
        arguments.command(arguments)
    except (InputError, WorkFailed) as error:
        if "--format=json" in argv or ("--format", "json") in pairwise(argv):
            faults = {"faults": error.faults} if isinstance(error, ConfigurationError) else {}
            print_json({"error": str(error), **faults})
        raise


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="watchlift", description="Experiment metrics for a streaming service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    readout = add_command(
        commands, "readout", "The decision of an experiment, and what it rests on.", _readout
    )
    readout.add_argument("experiment", metavar="EXPERIMENT")
    readout.add_argument("--day", type=parse_day, help="analysis day, YYYY-MM-DD (default: the latest)")

    add_command(commands, "validate", "Check the whole configuration and name every fault.", _validate)

    bucket = add_command(
        commands, "bucket", "The bucket and the arm of units, as every service computes them.", _bucket
    )
    salt = bucket.add_mutually_exclusive_group(required=True)
    salt.add_argument("--salt", help="salt of a layer or of arms; the arm is then not known")
    salt.add_argument("--experiment", help="experiment whose arms to give")
    bucket.add_argument("--epoch", type=_epoch, help="of the experiment (default: today's)")
    bucket.add_argument("ids", nargs="+", type=_unit_id, metavar="ID")

    allocate.add_commands(commands)
    analyze.add_commands(commands)
    data_docs.add_commands(commands)
    decisions.add_commands(commands)
    explain.add_commands(commands)
    preregister.add_commands(commands)
    restart.add_commands(commands)
    planning.add_commands(commands)
    numbers.add_commands(commands)
    return parser


def _plain(word: str) -> str:
    """-1e-05 as -0.00001: argparse takes the first for an option and the second for a number."""
    return f"{Decimal(word):f}" if _NEGATIVE_SCIENTIFIC.fullmatch(word) else word


def _readout(arguments: argparse.Namespace) -> None:
    # Imported here: other commands need not wait for what reads and lays out the tables.
    from jobs.delta_reader import analysis_days, readout_rows_of
    from jobs.readout_files import readout_files
    from metrics.configuration.project import load_project
    from metrics.readout.build import build_readout
    from metrics.readout.document import document
    from metrics.readout.terminal import render_text

    project = load_project(arguments.conf_dir, arguments.data_dir)
    experiment = project.experiment(arguments.experiment)
    day = arguments.day or max(analysis_days(project, experiment.id), default=None)
    if day is None:
        raise InputError(
            f"experiment '{experiment.id}' has no estimates yet; run jobs/estimate_effects.py for a day"
        )
    readout = build_readout(experiment, project.catalogue, day, readout_rows_of(project, experiment, day))
    if arguments.format == "json":
        print_json(document(readout))
        return
    page = readout_files(project.data_dir, experiment.id, day).page
    print_text(render_text(readout) + (f"\nPAGE: {page}\n" if page.is_file() else ""))


def _validate(arguments: argparse.Namespace) -> None:
    from metrics.configuration.validation import faults_of

    faults = faults_of(arguments.conf_dir, arguments.data_dir)
    if not faults:
        print_answer(arguments, {"faults": []}, f"{arguments.conf_dir}: no faults\n")
        return
    if arguments.format == "text":
        print_text("".join(f"{fault}\n" for fault in faults))
    raise FaultsFound(arguments.conf_dir, faults)


def _bucket(arguments: argparse.Namespace) -> None:
    from jobs.delta_reader import allocations_of, restarts_of
    from metrics.assignment import in_force
    from metrics.bucketing import arm_of, arm_salt, bucket
    from metrics.configuration.project import load_project

    shares, salt, allocations, now = None, arguments.salt, [], None
    if arguments.epoch is not None and not arguments.experiment:
        raise InputError("--epoch is of an --experiment; give that, or the --salt alone")
    if arguments.experiment:
        project = load_project(arguments.conf_dir, arguments.data_dir)
        experiment = project.experiment(arguments.experiment)
        shares, epoch = experiment.arms, arguments.epoch
        if epoch is None:
            epoch = restarts_of(project).as_of(experiment, datetime.now(UTC).date()).epoch
        # The arms of an epoch that is asked for are those of everybody in it.
        allocations = allocations_of(project, experiment.id) if arguments.epoch is None else []
        now = in_force(allocations, datetime.now(UTC))
        salt = arm_salt(experiment.id, epoch)
    rows = []
    for unit_id in arguments.ids:
        number = bucket(salt, unit_id)
        is_in = not allocations or (now is not None and now.holds(unit_id))
        arm = arm_of(number, shares) if shares and is_in else None
        rows.append({"id": unit_id, "bucket": number, "arm": arm})
    print_answer(
        arguments, rows, "".join(f"{row['id']}\t{row['bucket']}\t{row['arm'] or '-'}\n" for row in rows)
    )


def _epoch(text: str) -> int:
    if not (text.isdecimal() and len(text) < 5):
        raise argparse.ArgumentTypeError(f"epoch '{text}' is not one; 0 is before any restart")
    return int(text)


def _unit_id(text: str) -> int:
    try:
        unit_id = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"id '{text}' is not a whole number; ids are BIGINT") from None
    if not -_LARGEST_ID <= unit_id < _LARGEST_ID:
        raise argparse.ArgumentTypeError(f"id {text} does not fit into 64 bits; ids are BIGINT")
    return unit_id


if __name__ == "__main__":
    sys.exit(main())
