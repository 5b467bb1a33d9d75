"""What is expected of landing files: that they are whole and that most of their rows keep the rules."""

from dataclasses import dataclass
from datetime import date

from expectations.results import AuditResult, run_id
from expectations.rules import Severity, Suite

# The rules are a limit for each source, and so part of what a result rests on, not of the suite.
SUITE = Suite(
    table="events_quarantine",
    day_column="ingest_day",
    columns={},
    key=(),
    day_rules=(),
    row_rules=(),
    remedy="read their reasons and raw rows in events_quarantine, mend the landing files or conf/sources.yml, "
    "then run the day again",
)


FILES_WHOLE = "files_whole"


@dataclass(frozen=True)
class SourceDay:
    """What came of a source on an ingest day.

    `broken`: rows that broke a rule, and `reasons` how many broke which, of which a row may break several; `limit`: the
    largest share of broken rows; `undeclared`: columns that the source's schema does not name.
    """

    source: str
    day: date
    rows: int
    broken: int
    reasons: tuple[tuple[str, int], ...]
    damaged_files: int
    undeclared: tuple[str, ...]
    limit: float


def landed_results(came: SourceDay) -> tuple[AuditResult, ...]:
    """One critical result for all rows that came; warnings by reason, and for damaged files.

    New columns are accepted, and recorded.
    """
    at_most = f"at most {came.limit:.15g} of the rows quarantined"

    def share(name: str, severity: Severity, n: int, why: str = "") -> AuditResult:
        seen = f"{n} of {came.rows} rows{why}"
        return _result(came, name, severity, n <= came.limit * came.rows, n, seen, at_most)

    def listed(name: str, success: bool, n: int, seen: str) -> AuditResult:
        return _result(came, name, "warning", success, n, seen, "none")

    damaged, new = came.damaged_files, came.undeclared
    counts = ", ".join(f"{reason} {n}" for reason, n in sorted(came.reasons, key=lambda each: -each[1]))
    return (
        share("rows_kept", "critical", came.broken, f": {counts}" if counts else ""),
        *(share(reason, "warning", n) for reason, n in came.reasons),
        listed(FILES_WHOLE, not damaged, damaged, f"{damaged} damaged files"),
        *([listed("columns_new", True, len(new), ", ".join(new))] if new else []),
    )


def _result(
    came: SourceDay, name: str, severity: Severity, success: bool, n: int, seen: str, expected: str
) -> AuditResult:
    return AuditResult(
        table=SUITE.table,
        day=came.day,
        expectation=f"{came.source}_{name}",
        run_id=run_id(SUITE, came.day, repr(came)),
        severity=severity,
        success=success,
        observed=seen,
        unexpected_count=n,
        details=None if success else f"expected {expected}",
    )
