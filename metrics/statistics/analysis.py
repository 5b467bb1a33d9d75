"""From one experiment's rows of profile_windows to its rows of `moments` and `estimates`.

Four passes over the rows at most: a survey, exact quantiles of winsorized metrics, moments of every cell, and the
scores of the regressions.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.special import ndtri

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Experiment
from metrics.rows import Estimate
from metrics.statistics import estimators as e
from metrics.statistics.cells import Cell, Plan, cell_moments
from metrics.statistics.frame import analysis_frame, find_caps, groups_of
from metrics.statistics.layout import (
    ALL,
    EXPOSED,
    MISSING,
    Group,
    exposed_group,
    metrics_by_window,
    outcome_names,
    segmentations,
)
from metrics.statistics.moments import FEW_HOUSEHOLDS, UNLIMITED, Moments
from metrics.statistics.multiplicity import with_adjusted_p_values
from metrics.statistics.ols import Fit, fit, ols
from metrics.statistics.results import OK, Result, counts_of, population_status
from metrics.statistics.second_pass import sum_scores
from metrics.statistics.survey import take_survey

Cells = Mapping[Cell, Moments]


@dataclass(frozen=True)
class MomentsRow:
    """A row of table moments. `payload` is read back by Moments.from_bytes."""

    experiment_id: str
    epoch: int
    analysis_day: date
    maturity_group: str
    segment: str
    segment_value: str
    arms: tuple[str, ...]
    columns: tuple[str, ...]
    n_households: int
    payload: bytes


@dataclass(frozen=True)
class Analysis:
    """What one experiment's rows say on one analysis day; `input_version` is the checksum of the rows read."""

    input_version: str
    moments: tuple[MomentsRow, ...]
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Question:
    """One row of estimates to come: a metric estimated some way, in a cell, for the arm at a position."""

    metric: str
    estimator: str
    cell: Cell
    arm: int


def estimate(
    windows: DataFrame, experiment: Experiment, catalogue: Catalogue, analysis_day: date, epoch: int = 0
) -> Analysis:
    """Every metric x estimator x segment level x arm as a row, computable or not; runs Spark actions.

    windows: this experiment's, epoch's and day's rows of profile_windows.
    """
    analysed = windows.where(F.col("arm").isin(*experiment.arms))
    survey = take_survey(analysed, experiment, metrics_by_window(experiment, catalogue))
    groups = groups_of(experiment, survey, find_caps(analysed, survey))
    segments = segmentations(experiment, windows.columns)
    levels = {name: survey.levels[name] for name in segments}
    # CR2 by choice needs every household; by default only comparisons of few clusters use it.
    limit = UNLIMITED if experiment.vcov == "cr2" else FEW_HOUSEHOLDS
    plan = Plan(tuple(experiment.arms), (exposed_group(), *groups), levels, limit)
    frame = analysis_frame(analysed, experiment, survey).persist()
    try:
        cells = cell_moments(frame, plan)
        regressions = _regressions(experiment, catalogue, groups, cells)
        fits = {q: (_group_of(q, groups), f) for q, f in regressions.items() if isinstance(f, Fit)}
        sums = sum_scores(frame, fits)
    finally:
        frame.unpersist()
    results = {q: r for q, r in regressions.items() if isinstance(r, Result)}
    results |= {q: ols(f, sums[q], experiment.alpha) for q, (_, f) in fits.items()}
    results |= results_from_moments(experiment, catalogue, groups, cells)
    rows = [
        _row(question, results[question], experiment, cells[question.cell], analysis_day, epoch)
        for question in _questions(experiment, catalogue, groups, plan.slices)
    ]
    return Analysis(
        input_version=survey.input_version,
        moments=tuple(_moments_row(experiment, cell, m, analysis_day, epoch) for cell, m in cells.items()),
        estimates=with_adjusted_p_values(rows, experiment, catalogue),
    )


def results_from_moments(
    experiment: Experiment, catalogue: Catalogue, groups: Sequence[Group], cells: Cells
) -> dict[Question, Result]:
    """Every estimate that needs no second pass, in every cell; no Spark."""
    slices = tuple(dict.fromkeys((cell.segment, cell.value) for cell in cells))
    return {
        question: _from_moments(question, experiment, catalogue.metrics[question.metric], groups, cells)
        for question in _questions(experiment, catalogue, groups, slices)
        if question.estimator != "ols"
    }


def _questions(
    experiment: Experiment, catalogue: Catalogue, groups: Sequence[Group], slices: Sequence[tuple[str, str]]
) -> Iterator[Question]:
    home = {name: group for group in groups for name in group.metrics}
    for metric in experiment.metrics(catalogue):
        for segment, value in slices:
            cell = Cell(home[metric.name].name, segment, value)
            for arm in range(1, len(experiment.arms)):
                for estimator in _estimators(metric, experiment, segment):
                    yield Question(metric.name, estimator, cell, arm)


def _estimators(metric: Metric, experiment: Experiment, segment: str) -> tuple[str, ...]:
    if metric.kind == "ratio":
        return ("ratio",)
    if experiment.covariates is None:
        return ("difference_in_means",)
    return ("difference_in_means", "cuped", "ols") if segment == ALL else ("difference_in_means", "cuped")


def _group_of(question: Question, groups: Sequence[Group]) -> Group:
    return next(group for group in groups if group.name == question.cell.group)


def _regressions(
    experiment: Experiment, catalogue: Catalogue, groups: Sequence[Group], cells: Cells
) -> dict[Question, Fit | Result]:
    """Coefficients of every regression, or the status why there are none."""
    questions = _questions(experiment, catalogue, groups, [(ALL, ALL)])
    return {q: _regression(q, experiment, groups, cells) for q in questions if q.estimator == "ols"}


def _regression(
    question: Question, experiment: Experiment, groups: Sequence[Group], cells: Cells
) -> Fit | Result:
    moments, status = _moments_with_status(question, cells)
    if status != OK:
        return Result(status, counts_of(moments, question.arm))
    group = _group_of(question, groups)
    covariates = group.covariates[question.metric] + ((MISSING,) if group.has_missing else ())
    return fit(moments, question.metric, covariates, _comparison(question, experiment))


def _from_moments(
    question: Question, experiment: Experiment, metric: Metric, groups: Sequence[Group], cells: Cells
) -> Result:
    moments, status = _moments_with_status(question, cells)
    if status != OK:
        return Result(status, counts_of(moments, question.arm))
    comparison = _comparison(question, experiment)
    if question.estimator == "ratio":
        numerator, denominator = outcome_names(metric)
        return e.ratio(moments, numerator, denominator, comparison)
    if question.estimator == "cuped":
        covariates = _group_of(question, groups).covariates[question.metric]
        return e.cuped(moments, question.metric, covariates, comparison)
    return e.difference_in_means(moments, question.metric, comparison)


def _moments_with_status(question: Question, cells: Cells) -> tuple[Moments, str]:
    moments = cells[question.cell]
    exposed = cells[Cell(EXPOSED, question.cell.segment, question.cell.value)]
    return moments, population_status(moments, exposed, question.arm)


def _comparison(question: Question, experiment: Experiment) -> e.Comparison:
    return e.Comparison(question.arm, experiment.vcov, experiment.alpha)


def _row(
    question: Question,
    result: Result,
    experiment: Experiment,
    moments: Moments,
    analysis_day: date,
    epoch: int,
) -> Estimate:
    role = experiment.role(question.metric)
    comparisons = len(experiment.primary) * len(experiment.treatments)
    alpha = experiment.alpha / comparisons if role == "primary" else experiment.alpha
    return Estimate(
        experiment_id=experiment.id,
        epoch=epoch,
        analysis_day=analysis_day,
        metric=question.metric,
        estimator=question.estimator,
        segment=question.cell.segment,
        segment_value=question.cell.value,
        arm=moments.arms[question.arm],
        role=role,
        control_arm=experiment.control,
        alpha=alpha,
        winsor_threshold=_threshold(question, moments),
        mde=_mde(result.std_error, alpha, experiment.power),
        n_profiles_control=result.counts.n_profiles_control,
        n_profiles_arm=result.counts.n_profiles_arm,
        n_households=result.counts.n_households,
        dropped_covariates=result.dropped_covariates,
        **{name: getattr(result, name) for name in _COPIED},
    )


_COPIED = (
    "status",
    "vcov",
    "control_mean",
    "arm_mean",
    "effect",
    "std_error",
    "ci_low",
    "ci_high",
    "relative_effect",
    "relative_std_error",
    "relative_ci_low",
    "relative_ci_high",
    "statistic",
    "df",
    "p_value",
    "variance_reduction",
)


def _mde(std_error: float | None, alpha: float, power: float) -> float | None:
    """The effect that a two-sided test at alpha finds with this power, absolute."""
    return None if std_error is None else float((ndtri(1 - alpha / 2) + ndtri(power)) * std_error)


def _threshold(question: Question, moments: Moments) -> float | None:
    """Where the outcome was cut; None for a metric that is not."""
    if question.metric not in moments.columns:
        return None
    cap = float(moments.cap[moments.column(question.metric) - 1])
    return cap if math.isfinite(cap) else None


def _moments_row(
    experiment: Experiment, cell: Cell, moments: Moments, analysis_day: date, epoch: int
) -> MomentsRow:
    return MomentsRow(
        experiment_id=experiment.id,
        epoch=epoch,
        analysis_day=analysis_day,
        maturity_group=cell.group,
        segment=cell.segment,
        segment_value=cell.value,
        arms=moments.arms,
        columns=moments.columns,
        n_households=moments.n_households,
        payload=moments.to_bytes(),
    )
