"""What the commands of `watchlift` share: their options, reading numbers, and printing one answer."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jobs.arguments import job_parser


def add_command(
    commands: Any, name: str, description: str, command: Callable[..., None]
) -> argparse.ArgumentParser:
    """A command with the options of every job, and --format."""
    # add_help=False: the parent, with the options of every job, brings its own --help.
    parents = [job_parser(description)]
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=description, description=description, parents=parents, add_help=False
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.set_defaults(command=command)
    return parser


def finite(text: str) -> float:
    """An option's type: a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number")
    return number


def print_answer(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """One document, or the text, as --format says."""
    if arguments.format == "json":
        print_json(value)
    else:
        print_text(text)


def print_json(value: Any) -> None:
    _write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    # A terminal that cannot show a minus sign or a dash shows '?' instead of failing.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    _write(text)


def _write(text: str) -> None:
    """A reader that has closed its end, such as `head`, has what it wanted: that is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of aligned columns: the first to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(_aligned(line, widths) + "\n" for line in lines)


def shown(number: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash for none."""
    return "-" if number is None else f"{number:.{digits}g}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
