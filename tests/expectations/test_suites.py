"""What a suite is, without Spark or Great Expectations."""

import ast
from dataclasses import replace
from datetime import date
from pathlib import Path

from expectations.facts import enrolment_floors
from expectations.results import AuditResult, failure_line, failures
from expectations.rules import Between, Holds
from expectations.suites import profile_days_suite, profile_windows_suite
from expectations.usual import days_asked
from tests.expectations.rows import DAY, events_suite, exposures_suite, later

EXPECTATIONS = Path(__file__).resolve().parents[2] / "expectations"


def test_only_auditing_and_its_pages_import_great_expectations() -> None:
    importing = {
        path.name
        for path in EXPECTATIONS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and "great_expectations" in ast.unparse(node)
    }
    assert importing == {"audit.py", "data_docs.py"}


def test_equal_suites_have_one_fingerprint_and_any_rule_changes_it() -> None:
    suite = events_suite()
    assert events_suite().fingerprint == suite.fingerprint
    wider = replace(suite, row_rules=(*suite.row_rules, Between("watch_ms", 0, 10)))
    assert wider.fingerprint != suite.fingerprint
    assert replace(suite, remedy="other words").fingerprint == suite.fingerprint


def test_an_arm_name_with_a_quote_stays_one_value() -> None:
    suite = profile_windows_suite({}, (), {"o'clock": ("b\\s",)}, (), ())
    (rule,) = (rule for rule in suite.row_rules if rule.name == "arm_of_experiment")
    assert isinstance(rule, Holds)
    assert rule.sql == r"(CASE experiment_id WHEN 'o\'clock' THEN arm IN ('b\\s') END)"


def test_without_measures_there_is_no_rule_about_measures() -> None:
    suite = profile_days_suite({}, ("day", "profile_id"), ())
    assert not [rule.name for rule in suite.row_rules if rule.name.startswith("measures")]


def test_the_columns_read_are_the_key_and_the_ruled_ones_once_each() -> None:
    assert exposures_suite().columns_read == (
        "experiment_id",
        "profile_id",
        "exposed_at",
        "arm",
        "household_id",
        "day",
        "tenure_days",
    )


def test_the_days_asked_for_are_a_week_and_the_same_weekday_of_four_and_the_days_themselves() -> None:
    assert days_asked([DAY]) == [later(n) for n in (-28, -21, -14, *range(-7, 1))]


def test_a_floor_holds_on_the_first_and_the_last_day_of_an_enrolment() -> None:
    days = [later(n) for n in range(4)]
    assert enrolment_floors(days, [(later(1), later(2))], 5) == dict(zip(days, (0, 5, 5, 0), strict=True))


def test_the_line_names_the_first_day_and_counts_the_others() -> None:
    def result(day: date, expectation: str, severity: str = "critical", success: bool = False) -> AuditResult:
        return AuditResult("events", day, expectation, "id", severity, success, "3 rows", 3, "expected none")  # type: ignore[arg-type]

    results = [
        result(later(1), "b"),
        result(DAY, "warned", severity="warning"),
        result(DAY, "held", success=True),
        result(DAY, "a"),
    ]
    failed = failures(results)
    assert [each.expectation for each in failed] == ["a", "b"]
    assert failure_line(failed, events_suite()) == (
        "table events, day 2026-03-05: expectation a failed: 3 rows; expected none (1 more in data_quality_results); "
        "correct the landing files or conf/sources.yml, then run ingest_events again for the days that brought "
        "2026-03-05"
    )
