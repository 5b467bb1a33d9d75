"""Estimate each running experiment's effects from its profile windows of an analysis day."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_table import RESULTS
from jobs.build_profile_windows import KEPT_ANALYSIS_DAYS, require_days
from jobs.epochs import refuse_changed, running
from jobs.restatement import audited_inputs
from jobs.side_by_side import side_by_side
from jobs.tables import Tables, Where, code_version
from metrics.configuration.experiment import Experiment
from metrics.enrollment import BLOCKED, end_of
from metrics.errors import InputError
from metrics.rollup.exposures import first_exposures, without_crossovers
from metrics.rows import Estimate
from metrics.statistics.analysis import Analysis, estimate, marked_blocked
from metrics.statistics.spillover import estimate_spillover

log = logging.getLogger("watchlift.estimate_effects")
REPLICATES = 10_000


def estimate_effects(tables: Tables, days: Days) -> None:
    for day in days.all:
        for experiment in running(tables, day):
            estimate_experiment(tables, experiment, day)


def estimate_experiment(tables: Tables, experiment: Experiment, analysis_day: date) -> None:
    """Replace the experiment's rows of moments, interactions, spillover and estimates for the day.

    Where nobody was exposed in the epoch yet, each is a row without data.
    """
    where: Where = {"experiment_id": [experiment.id], "analysis_day": [analysis_day]}
    windows = tables.read_days("profile_windows", [analysis_day], "analysis_day").where(
        (F.col("experiment_id") == experiment.id) & (F.col("epoch") == experiment.epoch)
    )
    first = windows.select("audited_inputs").first()
    if first is None:
        _require_nobody(tables, experiment, analysis_day)
    inputs = first["audited_inputs"] if first else audited_inputs(tables, experiment, analysis_day)
    catalogue = tables.project.catalogue
    # A quantile has no error but the bootstrap's, which then confirms the other metrics too.
    has_quantiles = any(metric.kind == "quantile" for metric in experiment.metrics(catalogue))
    replicates = REPLICATES if has_quantiles else 0
    windows = windows.drop("audited_inputs")
    analysis = estimate(windows, experiment, catalogue, analysis_day, experiment.epoch, replicates)
    spilled = estimate_spillover(windows, experiment, catalogue, analysis_day)
    if sample_ratio_broken(tables, experiment, analysis_day):
        analysis, spilled = analysis.blocked(), marked_blocked(spilled)
    moments = [{**asdict(row), "input_version": analysis.input_version} for row in analysis.moments]
    interactions = [asdict(row) for row in analysis.interactions]
    spillover = [asdict(row) for row in spilled]
    rows = _identified(tables, experiment, analysis_day, analysis, inputs)

    def write(name: str, content: Sequence[dict[str, Any]], to: Tables) -> None:
        to.replace_rows(name, content, where)

    beside = {"moments": moments, "interactions": interactions, "spillover": spillover}
    side_by_side(tables, *(partial(write, name, content) for name, content in beside.items()))
    # The last: where a day's estimates are, so is what they rest on.
    write("estimates", [asdict(row) for row in rows], tables)
    computed = sum(row.status == "ok" for row in rows)
    log.info("%s %s: %d estimates, %d of them ok", experiment.id, analysis_day, len(rows), computed)


def _require_nobody(tables: Tables, experiment: Experiment, analysis_day: date) -> None:
    """Raises InputError where the epoch has a profile of one arm by the end of the day, or nobody knows."""
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(analysis_day))
    if not without_crossovers(first_exposures(exposures, [experiment])).isEmpty():
        raise InputError(
            f"experiment '{experiment.id}' has no profile windows for {analysis_day}; run build_profile_windows first "
            f"(windows of the last {KEPT_ANALYSIS_DAYS} analysis days are kept)"
        )
    require_days(tables, experiment, analysis_day)


def _identified(
    tables: Tables, experiment: Experiment, analysis_day: date, analysis: Analysis, inputs: str | None
) -> list[Estimate]:
    """The estimates with what they rest on."""
    quality_run, computed_at = _quality_run(tables, analysis_day), datetime.now(UTC)
    return [
        replace(
            row,
            quality_run_id=quality_run,
            audited_inputs=inputs,
            spec_hash=experiment.spec_hash,
            metric_version=tables.project.catalogue.version(row.metric),
            input_version=analysis.input_version,
            code_version=code_version(),
            computed_at=computed_at,
        )
        for row in analysis.estimates
    ]


def sample_ratio_broken(tables: Tables, experiment: Experiment, day: date) -> bool:
    """Whether a slice of the epoch had triggered, or was blocked, by the end of the day."""
    of_epoch: Where = {"experiment_id": [experiment.id], "epoch": [experiment.epoch]}
    triggered = tables.few_rows("srm_checks", {**of_epoch, "triggered": [True]}, ("window_end",))
    blocked = tables.few_rows("enrollment_status", {**of_epoch, "status": [BLOCKED]}, ("since",))
    times = [row["window_end"] for row in triggered] + [row["since"] for row in blocked]
    return any(time <= end_of(day) for time in times)


def _quality_run(tables: Tables, day: date) -> str | None:
    """The audit that these windows passed, if they were audited."""
    asked: Where = {"day": [day], "table": ["profile_windows"]}
    return max((row["run_id"] for row in tables.few_rows(RESULTS, asked, ("run_id",))), default=None)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("estimate_effects", __doc__, refuse_changed(estimate_effects), argv)


if __name__ == "__main__":
    sys.exit(main())
