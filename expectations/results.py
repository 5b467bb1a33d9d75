"""What an audit says: a row of data_quality_results for each table, day and expectation (DESIGN §3)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from expectations.rules import Severity, Suite


@dataclass(frozen=True)
class AuditResult:
    """`observed`: what was seen, where there is something to say; `details`: what was expected or the error of a
    failure, the batch of a success that was checked together with other days; of shares, these as JSON."""

    table: str
    day: date
    expectation: str
    run_id: str
    severity: Severity
    success: bool
    observed: str | None = None
    unexpected_count: int | None = None
    details: str | None = None


def run_id(suite: Suite, day: date, version: str) -> str:
    """The same for the same rows and rules, however often and in whatever range they are audited."""
    identity = "|".join((suite.table, day.isoformat(), version, suite.fingerprint))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def failures(results: Iterable[AuditResult]) -> tuple[AuditResult, ...]:
    """The failed critical ones, by day: what stops every later step."""
    failed = (result for result in results if not result.success and result.severity == "critical")
    return tuple(sorted(failed, key=lambda result: result.day))


def failure_line(failed: Sequence[AuditResult], suite: Suite) -> str:
    """One line for people: table, day, expectation, what was observed, what to do."""
    first = failed[0]
    seen = "; ".join(text for text in (first.observed, first.details) if text)
    more = f" ({len(failed) - 1} more in data_quality_results)" if len(failed) > 1 else ""
    return (
        f"table {first.table}, day {first.day}: expectation {first.expectation} failed: {seen}{more}; "
        f"{suite.remedy.format(day=first.day)}"
    )
