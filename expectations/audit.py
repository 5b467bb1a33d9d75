"""Running suites with Great Expectations, which only this and its pages import: that alone takes 2 to 3 s."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations.breaches import Breach, breaches
from expectations.facts import NOTHING, DayFacts
from expectations.results import AuditResult, run_id
from expectations.rules import (
    Between,
    Condition,
    DayRule,
    Every,
    Holds,
    InSet,
    NotAfter,
    NotNull,
    RowRule,
    Rule,
    Severity,
    Suite,
)

# The format in which Great Expectations names every row that broke a rule.
_WITH_ROWS = "COMPLETE"
# Spark's errors quote the value that they stumbled over, which may be a profile's.
_VALUE = re.compile(r"'[^']*'|(?<=\bvalue )\S+")


@dataclass(frozen=True)
class _Known:
    """A rule about rows of which it is known how many break it: none."""

    name: str
    severity: Severity
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Outcome:
    """One rule on one batch. `error` is the first line of what the expectation raised; it then counts as failed.

    `rows` are the numbers of those that broke it, where they are known.
    """

    success: bool
    error: str | None = None
    rows: frozenset[int] | None = None

    def of_row(self, row: int) -> "Outcome":
        """What is known of a row alone: a failure of which no row is known is one of each; it is never lost."""
        return Outcome(row not in self.rows) if self.rows else self


def audit(frame: DataFrame, suite: Suite, facts: Sequence[DayFacts]) -> tuple[AuditResult, ...]:
    """Check the rows of the days that there are facts of (the frame holds no others): one result per day and rule.

    Rules that are known to hold, by statistics or by a count, are checked as numbers of a day are, beside those about
    days. For the others the rows of all days are checked in one validation; only if it finds a broken rule are that
    rule's days looked for. A rule that raises is a failed critical one on each day.
    """
    days = [each.day for each in facts]
    known = [rule for rule in suite.row_rules if all(rule.name in each.known for each in facts)]
    looked_at = [rule for rule in suite.row_rules if rule not in known]
    by_day = _check_days(facts, suite.day_rules, known)
    by_row = _check_rows(frame, looked_at)
    broken = [rule for rule in looked_at if not by_row[rule.name].success and not by_row[rule.name].error]
    found = _breaches(frame, suite, days, broken)
    results: list[AuditResult] = []
    for day in facts:
        results += [_day_result(suite, day, rule, by_day[day.day, rule.name]) for rule in suite.day_rules]
        for rule in suite.row_rules:
            if rule in known:
                results.append(_known_result(suite, day, rule, by_day[day.day, rule.name]))
            else:
                results.append(_row_result(suite, day, rule, by_row[rule.name], found, days))
    return tuple(results)


def _check_rows(frame: DataFrame, rules: Sequence[RowRule]) -> dict[str, Outcome]:
    return _validate(_spark_batches(), _with_conditions(frame, rules), rules) if rules else {}


def _check_days(
    facts: Sequence[DayFacts], rules: Sequence[DayRule], known: Sequence[RowRule]
) -> dict[tuple[date, str], Outcome]:
    """The rules about days on all of them at once; of those that broke Great Expectations is asked on which days.

    Of those that are known to hold in each row the number is the rows that break them.
    """
    table = _table(facts).assign(**{rule.name: 0 for rule in known})
    checked = [*rules, *(_Known(rule.name, rule.severity) for rule in known)]
    found = _validate(_pandas_batches(), table, checked)
    broken = [rule for rule in checked if not found[rule.name].success and not found[rule.name].error]
    found |= _validate(_pandas_batches(), table, broken, _WITH_ROWS) if broken else {}
    return {
        (day.day, rule.name): found[rule.name].of_row(row)
        for row, day in enumerate(facts)
        for rule in checked
    }


def _breaches(
    frame: DataFrame, suite: Suite, days: Sequence[date], broken: Sequence[RowRule]
) -> dict[tuple[date, str], Breach]:
    """The broken rules' days. A rule of which no day is found is broken on all: a failure is never lost."""
    if not broken:
        return {}
    found = breaches(frame, F.col(suite.day_column) if suite.day_column else F.lit(days[0]), broken)
    lost = {rule.name for rule in broken} - {name for _, name in found}
    return found | {(day, name): Breach(None, "broken on all days together") for day in days for name in lost}


def _validate(
    batches: Any, batch: Any, rules: Sequence[Rule | _Known], result_format: str = "BOOLEAN_ONLY"
) -> dict[str, Outcome]:
    """Results by rule name: Great Expectations gives them in an order of its own, those that raised first.

    On Spark the default takes 4 jobs, the next format 26.
    """
    suite = gx.ExpectationSuite(name="audit", expectations=[_expectation(rule) for rule in rules])
    loaded = batches.get_batch(batch_parameters={"dataframe": batch})
    validated = loaded.validate(suite, result_format=result_format)
    return {result.expectation_config.meta["rule"]: _outcome(result) for result in validated.results}


def _outcome(result: Any) -> Outcome:
    """A raised expectation need not turn the suite red, so each result's own exceptions are looked at."""
    info = result.exception_info
    reports = [info] if "raised_exception" in info else list(info.values())
    raised = [report["exception_message"] for report in reports if report["raised_exception"]]
    if raised:
        line = (str(raised[0]).splitlines() or ["raised without a message"])[0]
        return Outcome(False, error=_VALUE.sub("…", line))
    rows = result.result.get("unexpected_index_list")
    return Outcome(bool(result.success), rows=None if rows is None else frozenset(rows))


def _expectation(rule: Rule | _Known) -> Any:
    """A fresh expectation: an instance belongs to one suite."""
    shared: dict[str, Any] = {"severity": rule.severity, "meta": {"rule": rule.name}}
    match rule:
        case NotNull():
            return gxe.ExpectColumnValuesToNotBeNull(column=rule.column, **shared)
        case Between():
            return gxe.ExpectColumnValuesToBeBetween(
                column=rule.column, min_value=rule.low, max_value=rule.high, **shared
            )
        case InSet():
            return gxe.ExpectColumnValuesToBeInSet(column=rule.column, value_set=list(rule.values), **shared)
        case Holds() | Every() | NotAfter():
            return gxe.ExpectColumnValuesToBeInSet(column=_condition_column(rule), value_set=[True], **shared)
        case _:
            return gxe.ExpectColumnValuesToBeBetween(
                column=rule.name, min_value=rule.low, max_value=rule.high, **shared
            )


def _table(facts: Sequence[DayFacts]) -> pd.DataFrame:
    """One row per day. What could not be looked at is no column at all, so that its expectation raises and says so."""
    return pd.DataFrame(
        [{"day": day.day, **{name: seen.value for name, seen in day.seen.items()}} for day in facts]
    )


def _with_conditions(frame: DataFrame, rules: Sequence[RowRule]) -> DataFrame:
    """Conditions as columns share one Spark job with the other rules; a query of its own costs two for each.

    One that reads a column which is not there is left out, so that its expectation raises and says so.
    """
    possible = [
        rule for rule in rules if isinstance(rule, Condition) and set(rule.columns) <= set(frame.columns)
    ]
    return frame.withColumns({_condition_column(rule): F.expr(rule.sql) for rule in possible})


def _condition_column(rule: Condition) -> str:
    return f"_holds_{rule.name}"


def _day_result(suite: Suite, facts: DayFacts, rule: DayRule, outcome: Outcome) -> AuditResult:
    seen = facts.seen.get(rule.name, NOTHING)
    details = seen.kept or (None if outcome.success else f"expected {rule.expected}")
    return _result(suite, facts, rule, outcome, (seen.words, seen.unexpected, details))


def _known_result(suite: Suite, facts: DayFacts, rule: RowRule, outcome: Outcome) -> AuditResult:
    return _result(suite, facts, rule, outcome, (None, 0, facts.known[rule.name]))


def _row_result(
    suite: Suite,
    facts: DayFacts,
    rule: RowRule,
    outcome: Outcome,
    found: Mapping[tuple[date, str], Breach],
    days: Sequence[date],
) -> AuditResult:
    breach = found.get((facts.day, rule.name))
    if breach:
        return _result(suite, facts, rule, outcome, (breach.seen, breach.rows, f"expected {rule.expected}"))
    together = f"checked together: {len(days)} days, {min(days)} to {max(days)}" if len(days) > 1 else None
    kept = outcome if outcome.error else Outcome(True)
    return _result(suite, facts, rule, kept, (None, 0, together))


def _result(
    suite: Suite,
    facts: DayFacts,
    rule: Rule,
    outcome: Outcome,
    seen: tuple[str | None, int | None, str | None],
) -> AuditResult:
    observed, unexpected_count, details = (None, None, outcome.error) if outcome.error else seen
    return AuditResult(
        table=suite.table,
        day=facts.day,
        expectation=rule.name,
        run_id=run_id(suite, facts.day, facts.version),
        severity="critical" if outcome.error else rule.severity,
        success=outcome.success,
        observed=observed,
        unexpected_count=unexpected_count,
        details=details,
    )


@cache
def _spark_batches() -> Any:
    # Great Expectations would persist each batch and never release it.
    source = _context().data_sources.add_spark(name="spark", persist=False)
    return source.add_dataframe_asset(name="rows").add_batch_definition_whole_dataframe("rows")


@cache
def _pandas_batches() -> Any:
    source = _context().data_sources.add_pandas(name="pandas")
    return source.add_dataframe_asset(name="days").add_batch_definition_whole_dataframe("days")


@cache
def _context() -> Any:
    """In memory: no files, no progress bars, and no usage analytics (nothing leaves the machine)."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context
