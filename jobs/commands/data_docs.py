"""`watchlift data-docs`: what the audits recorded, as Great Expectations' own pages."""

import argparse
from dataclasses import fields
from datetime import date, timedelta
from typing import Any

from jobs.arguments import parse_day
from jobs.commands.common import add_command, print_answer
from metrics.errors import InputError

_MOST_DAYS = 1000


def add_commands(commands: Any) -> None:
    parser = add_command(
        commands, "data-docs", "The audits of the last days as Great Expectations' Data Docs.", _data_docs
    )
    parser.add_argument("--day", type=parse_day, help="last day, YYYY-MM-DD (default: the last audited)")
    parser.add_argument("--days", type=_whole, default=7, help="how many days up to it (default: 7)")


def _data_docs(arguments: argparse.Namespace) -> None:
    # Imported here: Great Expectations alone takes seconds.
    import pyarrow.compute as pc

    from expectations.data_docs import write_data_docs
    from expectations.results import AuditResult
    from jobs.audit_suites import expected_words
    from jobs.delta_reader import latest_day, read_rows
    from metrics.configuration.project import load_project

    project = load_project(arguments.conf_dir, arguments.data_dir)
    last: date | None = arguments.day or latest_day(project.tables, "data_quality_results")
    rows: list[dict[str, Any]] = []
    if last is not None:
        first = last - timedelta(days=arguments.days - 1)
        wanted = (pc.field("day") >= pc.scalar(first)) & (pc.field("day") <= pc.scalar(last))
        rows = read_rows(project.tables, "data_quality_results", wanted)
    if not rows:
        days = f"on the {arguments.days} days to {last}" if last else "yet"
        raise InputError(f"no audits were recorded {days}; run jobs/run_day.py, or name another --day")
    names = [field.name for field in fields(AuditResult)]
    results = [AuditResult(**{name: row[name] for name in names}) for row in rows]
    page = write_data_docs(project.data_dir / "data_docs", results, expected_words(project))
    print_answer(arguments, {"page": str(page), "results": len(results)}, f"{len(results)} results: {page}\n")


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of days; give 1 to {_MOST_DAYS}")
    return int(text)
