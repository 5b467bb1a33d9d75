"""What every job's command line shares, and how a job ends: 0, or one line and 1 (failed) or 2 (bad input)."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from metrics.errors import InputError

FAILED, BAD_INPUT = 1, 2
_HOUR = "%Y-%m-%dT%H"


class WorkFailed(RuntimeError):
    """The input was understood and the work could not be done; the message is one line. Jobs exit with 1."""


class Conflict(WorkFailed):
    """Another job wrote the same rows at the same time; nothing was written, and another try may succeed.

    Its line does not begin with `error:`, so that Airflow tries again.
    """


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{message}; see {self.prog} --help")


def job_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every job."""
    parser = Parser(description=(description or "").splitlines()[0])
    parser.add_argument("--conf-dir", type=Path, default=Path("conf"), help="folder of the configuration")
    parser.add_argument(
        "--data-dir", type=Path, help="data folder (default: $WATCHLIFT_DATA_DIR, else conf/../data)"
    )
    return parser


def day_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser for a day-grained job: --day, or --from and --to."""
    parser = job_parser(description)
    parser.add_argument("--day", type=parse_day, help="the day, YYYY-MM-DD")
    parser.add_argument("--from", dest="first", type=parse_day, help="first day of a range")
    parser.add_argument("--to", dest="last", type=parse_day, help="last day of a range, included")
    parser.add_argument("--reason", help="why, kept with every commit; of a backfill or a restatement")
    return parser


def parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"day '{text}' is not a date; write YYYY-MM-DD") from None


def parse_hour(text: str) -> datetime:
    """The beginning of the hour."""
    try:
        hour = datetime.strptime(text, _HOUR).replace(tzinfo=UTC)
    except ValueError:
        hour = None
    if hour is None or hour.strftime(_HOUR) != text:
        raise argparse.ArgumentTypeError(f"hour '{text}' is not one; write YYYY-MM-DDTHH")
    return hour


@dataclass(frozen=True)
class Days:
    """An inclusive range of days; a single day is a range of one."""

    first: date
    last: date

    @property
    def all(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def days_of(arguments: argparse.Namespace) -> Days:
    """The range asked for. Raises InputError where there is none, or two."""
    day, first, last = arguments.day, arguments.first, arguments.last
    if day and not (first or last):
        return Days(day, day)
    if first and last and not day:
        if first > last:
            raise InputError(f"--from {first} is after --to {last}; swap them")
        return Days(first, last)
    raise InputError("no day given; pass --day YYYY-MM-DD, or both --from and --to")


def run(work: Callable[[Sequence[str]], None], argv: Sequence[str] | None) -> int:
    """Run a job's work and give its exit code; errors that are expected become one line."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("watchlift").setLevel(logging.INFO)
    try:
        work(sys.argv[1:] if argv is None else argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Conflict as error:
        print(f"conflict: {error}", file=sys.stderr)
        return FAILED
    except WorkFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0
