"""Audit a table's days with Great Expectations; a critical failure exits with 1 and stops what comes after."""

import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib import import_module
from threading import Thread

from pyspark.sql import DataFrame

from expectations.facts import Below, DayFacts, day_facts
from expectations.results import AuditResult, failure_line, failures
from expectations.rules import Suite
from expectations.usual import Past, days_asked, pasts
from jobs.arguments import WorkFailed, day_parser, days_of, run
from jobs.audit_suites import AUDITED, floors_of, suite_of
from jobs.epochs import enrolments
from jobs.file_statistics import known_of
from jobs.reconciliation import below
from jobs.session import spark_session
from jobs.side_by_side import side_by_side
from jobs.tables import Tables, Where
from metrics.checksum import checksum
from metrics.configuration.project import load_project
from metrics.rollup.exposures import Span

log = logging.getLogger("watchlift.audit_table")

RESULTS = "data_quality_results"


class AuditFailed(WorkFailed):
    """A critical expectation failed. Its results are in data_quality_results already."""


@dataclass(frozen=True)
class _Counted:
    """A table's rows of the audited days, and what there is to know of them without Great Expectations."""

    suite: Suite
    frame: DataFrame
    facts: tuple[DayFacts, ...]
    seconds: float


@dataclass(frozen=True)
class Audited:
    """A table's results on the days, by day and rule."""

    suite: Suite
    days: tuple[date, ...]
    results: tuple[AuditResult, ...]


def import_expectations() -> None:
    """Import Great Expectations in the background: 2 to 3 s, in which Spark does what comes before the audits."""

    def work() -> None:
        import_module("expectations.audit")
        gc.freeze()  # as in jobs.session

    Thread(target=work).start()


def audit_days(tables: Tables, name: str, days: Sequence[date]) -> tuple[AuditResult, ...]:
    """Audit the table's rows of these days and record one result per day and expectation.

    Raises AuditFailed, after recording, if a critical one failed. A snapshot is audited as of the last day.
    """
    return audit_tables(tables, [name], days)


def audit_tables(
    tables: Tables, names: Sequence[str], days: Sequence[date], due: Sequence[date] | None = None
) -> tuple[AuditResult, ...]:
    """The same for several tables, all of them audited and recorded at once before a failure is raised."""
    audited = check_tables(tables, names, days, due)
    _record(tables, audited)
    for each in audited:
        failed = failures(each.results)
        if failed:
            raise AuditFailed(failure_line(failed, each.suite))
    return tuple(result for each in audited for result in each.results)


def check_tables(
    tables: Tables, names: Sequence[str], days: Sequence[date], due: Sequence[date] | None = None
) -> list[Audited]:
    """The audits of the tables, neither recorded nor raised.

    Only days that are `due` (default: all), or ever were, are compared with others: their neighbours may hold a few
    late rows.
    """
    earlier, enrolled = _earlier_audits(tables, names, days), enrolments(tables)
    # Great Expectations is not made for threads; counting is, and what it waits for is the driver.
    counts = [
        partial(
            _counted,
            suite=suite_of(name, tables.project),
            days=days,
            due=days if due is None else due,
            past=earlier.get(name, {}),
            enrolled=enrolled,
        )
        for name in names
    ]
    return [_audit(each) for each in side_by_side(tables, *counts)]


def _counted(
    tables: Tables,
    suite: Suite,
    days: Sequence[date],
    due: Sequence[date],
    past: Mapping[date, Past],
    enrolled: Sequence[Span],
) -> _Counted:
    started, column, name = time.monotonic(), suite.day_column, suite.table
    audited = tuple(sorted(set(days))) if column else (max(days),)
    frame = tables.read_days(name, audited, column) if column else tables.read(name)
    version = checksum([each for each in suite.columns_read if each in frame.columns])
    # A day on which rows were due once stays such a day, whatever touches it later.
    was_due = {*due, *(day for day, seen in past.items() if seen.floor > 0)}
    full = floors_of(name, tables.project, audited, enrolled)
    layer_below = below(tables, name, frame, audited)
    due_now = {day for day in was_due if not layer_below.get(day, Below()).is_empty}
    floors = {day: floor if day in due_now or not column else 0 for day, floor in full.items()}
    known = known_of(tables.files(name), suite.day_column)
    facts = day_facts(frame, suite, audited, version, past, floors, layer_below, known)
    return _Counted(suite, frame, facts, time.monotonic() - started)


def _audit(counted: _Counted) -> Audited:
    # Imported here, or by `import_expectations`, so that only what audits pays for it.
    from expectations.audit import audit

    started, days = time.monotonic(), tuple(each.day for each in counted.facts)
    results = audit(counted.frame, counted.suite, counted.facts)
    _log(counted.suite.table, days, results, counted.seconds + time.monotonic() - started)
    return Audited(counted.suite, days, results)


def _earlier_audits(
    tables: Tables, names: Sequence[str], days: Sequence[date]
) -> dict[str, dict[date, Past]]:
    """What the last audits of the days before, and of these, saw: no earlier day's rows are read again."""
    asked: Where = {"table": list(names), "day": days_asked(days)}
    return pasts(tables.few_rows(RESULTS, asked, ["table", "day", "expectation", "observed", "details"]))


def _record(tables: Tables, audited: Sequence[Audited]) -> None:
    """One commit for all the tables with the same days: it costs more than the audit of a small table."""
    for days in dict.fromkeys(each.days for each in audited):
        together = [each for each in audited if each.days == days]
        rows = [asdict(result) for each in together for result in each.results]
        where: Where = {"table": [each.suite.table for each in together], "day": days}
        tables.replace_rows(RESULTS, rows, where)


def _log(name: str, days: Sequence[date], results: Sequence[AuditResult], seconds: float) -> None:
    failed = Counter(f"{each.severity} {each.expectation}" for each in results if not each.success)
    faults = ", ".join(f"{what} on {n} days" for what, n in failed.items()) or "all held"
    log.info(
        "audited %s, %d days to %s, in %.1f s: %d results, %s",
        *(name, len(days), days[-1], seconds, len(results), faults),
    )


def _work(arguments: Sequence[str]) -> None:
    parser = day_parser(__doc__)
    parser.add_argument("--table", choices=AUDITED, required=True, help="the table to audit")
    parsed = parser.parse_args(arguments)
    days = days_of(parsed)
    project = load_project(parsed.conf_dir, parsed.data_dir)
    with spark_session("audit_table") as spark:
        audit_days(Tables(spark, project), parsed.table, days.all)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


if __name__ == "__main__":
    sys.exit(main())
