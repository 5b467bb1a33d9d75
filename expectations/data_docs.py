"""Recorded results of audits as Great Expectations' own pages (Data Docs): on demand, never in the daily run."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.core import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    RunIdentifier,
)
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations.results import AuditResult

_SITE = Path("gx/uncommitted/data_docs/local_site")
_NOTHING_RAISED = {"raised_exception": False, "exception_message": None, "exception_traceback": None}


def write_data_docs(
    folder: Path, results: Sequence[AuditResult], expected: Mapping[str, Mapping[str, str]]
) -> Path:
    """Replace the folder by a site with a page for each table and day, and give its first page.

    `expected`: words for each expectation, by table. Nothing is read but the results, so no page shows a row's value.
    """
    with tempfile.TemporaryDirectory() as work:
        context = _context(Path(work))
        for table in sorted({each.table for each in results}):
            of_table = [each for each in results if each.table == table]
            suite = context.suites.add(_suite(table, of_table, expected.get(table, {})))
            for day in sorted({each.day for each in of_table}):
                of_day = {each.expectation: each for each in of_table if each.day == day}
                key, validated = _validated(suite, day, of_day)
                context.validation_results_store.set(key, validated)
        context.build_data_docs()
        whole = folder.with_name(f".{folder.name}")
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(Path(work) / _SITE, whole)
    shutil.rmtree(folder, ignore_errors=True)
    whole.rename(folder)
    return folder / "index.html"


def _context(folder: Path) -> Any:
    """In a folder of its own; no analytics (nothing leaves the machine)."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _suite(table: str, results: Sequence[AuditResult], expected: Mapping[str, str]) -> gx.ExpectationSuite:
    """One expectation for each name, shown by its words: what it was checked by is no business of the page."""
    severities = {each.expectation: each.severity for each in sorted(results, key=lambda each: each.day)}
    return gx.ExpectationSuite(
        name=table,
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=0,
                severity=FailureSeverity(severity),
                description=f"{expected.get(name, name.replace('_', ' '))} ({severity})",
            )
            for name, severity in sorted(severities.items())
        ],
    )


def _validated(
    suite: Any, day: date, of_day: Mapping[str, AuditResult]
) -> tuple[ValidationResultIdentifier, ExpectationSuiteValidationResult]:
    """The day's results of the suite as Great Expectations keeps them."""
    at = datetime.combine(day, time(), UTC)
    run = RunIdentifier(run_name=str(day), run_time=at)
    results = [
        _result(expectation.configuration, of_day[expectation.column])
        for expectation in suite.expectations
        if expectation.column in of_day
    ]
    held = sum(each.success for each in of_day.values())
    validated = ExpectationSuiteValidationResult(
        success=held == len(results),
        results=results,
        suite_name=suite.name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": held,
            "unsuccessful_expectations": len(results) - held,
            "success_percent": 100 * held / len(results),
        },
        meta={
            "run_id": run,
            "great_expectations_version": gx.__version__,
            "active_batch_definition": {
                "data_asset_name": suite.name,
                "batch_identifiers": {"day": str(day)},
            },
        },
    )
    key = ValidationResultIdentifier(ExpectationSuiteIdentifier(suite.name), run, f"{suite.name}-{day}")
    return key, validated


def _result(configuration: Any, result: AuditResult) -> ExpectationValidationResult:
    words = "; ".join(text for text in (result.observed, None if result.success else result.details) if text)
    return ExpectationValidationResult(
        success=result.success,
        expectation_config=configuration,
        result={"observed_value": words or ("held" if result.success else "broken")},
        exception_info=_NOTHING_RAISED,
        meta={},
    )
