"""From one experiment's rows of profile_windows to its rows of `moments`, `estimates` and `interactions`.

Spark counts the rows, and brings those of a household together. Four passes over them at most follow: a survey, exact
quantiles of winsorized metrics, moments of every cell, and the scores of the regressions and interaction tests.
A fifth, on request, sums buckets of households for the bootstrap.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, TypeVar

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.special import ndtri

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.rows import Estimate, InteractionRow, SpilloverRow
from metrics.statistics import estimators as e
from metrics.statistics.basis import Basis, moments_with_status
from metrics.statistics.cells import Cell, Plan, cell_moments
from metrics.statistics.frame import (
    analysis_frame,
    extent_of,
    find_caps,
    groups_of,
    text_columns,
    with_events_counted,
)
from metrics.statistics.interactions import Interaction, LevelFit, LevelSums, fit_levels, interaction
from metrics.statistics.layout import (
    MISSING,
    STRATUM,
    Group,
    code_of,
    exposed_group,
    metrics_by_population,
    outcome_names,
    segmentations,
    strata_column,
)
from metrics.statistics.lin import fit_lin
from metrics.statistics.moments import FEW_HOUSEHOLDS, UNLIMITED, Floats, Moments
from metrics.statistics.multiplicity import with_adjusted_p_values
from metrics.statistics.ols import fit_ols
from metrics.statistics.passes import household_rows
from metrics.statistics.post_stratified import fit_post_stratified
from metrics.statistics.questions import (
    REPLICATED,
    SECOND_PASS,
    InteractionQuestion,
    Question,
    interaction_questions,
    questions,
)
from metrics.statistics.regression import Fit, ScoreSums, result_of
from metrics.statistics.replication import bootstrap_results, seed_of
from metrics.statistics.results import OK, Result, counts_of
from metrics.statistics.second_pass import AnyFit, AnySums, sum_scores
from metrics.statistics.survey import Survey, take_survey

Row = TypeVar("Row", Estimate, InteractionRow, SpilloverRow)


@dataclass(frozen=True)
class MomentsRow:
    """A row of table moments. `payload` is read back by Moments.from_bytes."""

    experiment_id: str
    epoch: int
    analysis_day: date | None
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
    interactions: tuple[InteractionRow, ...]

    def blocked(self) -> "Analysis":
        """The same where the epoch's sample ratio is broken: rows keep their numbers, and are marked."""
        return replace(
            self,
            estimates=marked_blocked(self.estimates),
            interactions=marked_blocked(self.interactions),
        )


def estimate(
    windows: DataFrame,
    design: Design,
    catalogue: Catalogue,
    analysis_day: date | None,
    epoch: int = 0,
    replicates: int = 0,
    only: Collection[str] | None = None,
) -> Analysis:
    """Every metric x estimator x segment level x arm as a row, computable or not; runs Spark actions.

    windows: this experiment's, epoch's and day's rows of profile_windows. Bootstrap rows only with `replicates`;
    `only`: the estimators to take, all that apply by default.
    """
    metrics = tuple(design.metrics(catalogue))
    analysed = with_events_counted(windows.where(F.col("arm").isin(*design.arms)), metrics)
    extent, texts = extent_of(analysed, metrics), text_columns(analysed, design, metrics)
    frame = analysis_frame(analysed, design, metrics, texts, extent.partitions)
    with household_rows(frame, extent.partitions) as found:
        survey = take_survey(found, texts, design, metrics_by_population(design, catalogue))
        rows = found.coded({code_of(name): values for name, values in survey.levels.items()})
        groups = groups_of(design, survey, find_caps(rows, survey))
        plan = _plan(design, survey, groups, windows.columns)
        cells = cell_moments(rows, plan)
        basis = Basis(design, catalogue, plan, groups, cells, has_windows=analysis_day is not None)
        applicable = questions(design, catalogue, groups, basis.slices, bootstrap=replicates > 0)
        asked = [q for q in applicable if only is None or q.estimator in only]
        regressions = {q: _regression(q, basis) for q in asked if q.estimator in SECOND_PASS}
        interactions = _interactions(basis)
        sums = sum_scores(rows, _open_fits(basis, regressions) | _open_fits(basis, interactions))
        replicated = [q for q in asked if q.estimator in REPLICATED]
        results = bootstrap_results(rows, basis, replicated, replicates, seed_of(design.id, epoch))
    results |= {q: _from_moments(q, basis) for q in asked if q.estimator not in (*SECOND_PASS, *REPLICATED)}
    results |= {q: _estimated(f, sums.get(q), design) for q, f in regressions.items()}
    answers = [
        _row(question, results[question], design, cells[question.cell], analysis_day, epoch)
        for question in asked
    ]
    return Analysis(
        input_version=extent.input_version,
        moments=tuple(_moments_row(design, cell, m, analysis_day, epoch) for cell, m in cells.items()),
        estimates=with_adjusted_p_values(answers, design, catalogue),
        interactions=tuple(
            _interaction_row(q, _tested(f, sums.get(q)), design, analysis_day, epoch)
            for q, f in interactions.items()
        ),
    )


def marked_blocked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows of an epoch whose sample ratio is broken: they keep their numbers."""
    return tuple(replace(row, status="srm_blocked") if row.status == OK else row for row in rows)


def _plan(design: Design, survey: Survey, groups: tuple[Group, ...], columns: Sequence[str]) -> Plan:
    sliced = dict.fromkeys((*segmentations(design, columns), *strata_column(design, columns)))
    levels = {name: survey.levels[name] for name in sliced}
    # CR2 by choice needs every household; by default only comparisons of few clusters use it.
    limit = UNLIMITED if design.vcov == "cr2" else FEW_HOUSEHOLDS
    return Plan(tuple(design.arms), (exposed_group(), *groups), levels, limit)


def _open_fits(
    basis: Basis, fits: Mapping[Any, Fit | Result] | Mapping[Any, LevelFit | Interaction]
) -> dict[Question | InteractionQuestion, tuple[Group, AnyFit]]:
    """Those that the second pass has to finish, with the group of their metric."""
    return {q: (basis.home[q.metric], f) for q, f in fits.items() if isinstance(f, Fit | LevelFit)}


def _regression(question: Question, basis: Basis) -> Fit | Result:
    moments, status = moments_with_status(question, basis)
    if status != OK:
        return Result(status, counts_of(moments, question.arm))
    comparison = _comparison(question, basis.design)
    if question.estimator == "post_stratified":
        cells = [Cell(question.cell.group, STRATUM, value) for value in basis.plan.levels.get(STRATUM, ())]
        strata = [basis.cells[cell] for cell in cells]
        return fit_post_stratified(moments, strata, question.metric, comparison)
    group = basis.home[question.metric]
    covariates = group.covariates[question.metric] + ((MISSING,) if group.has_missing else ())
    fit = fit_ols if question.estimator == "ols" else fit_lin
    return fit(moments, question.metric, covariates, comparison)


def _estimated(fit: Fit | Result, sums: AnySums | None, design: Design) -> Result:
    if isinstance(fit, Fit) and isinstance(sums, ScoreSums):
        return result_of(fit, sums, design.alpha)
    assert isinstance(fit, Result)
    return fit


def _interactions(basis: Basis) -> dict[InteractionQuestion, LevelFit | Interaction]:
    asked = interaction_questions(basis.design, basis.catalogue, basis.groups, basis.segments)
    return {question: _levels(question, basis) for question in asked}


def _levels(question: InteractionQuestion, basis: Basis) -> LevelFit | Interaction:
    everybody = Question(question.metric, "interaction", Cell(question.group), question.arm)
    _, status = moments_with_status(everybody, basis)
    if status != OK:
        return Interaction(status)
    values = basis.plan.levels[question.segment]
    cells = {i: basis.cells[Cell(question.group, question.segment, value)] for i, value in enumerate(values)}
    outcome = outcome_names(basis.catalogue.metrics[question.metric])
    return fit_levels(cells, len(values), outcome, question.segment, question.arm)


def _tested(fit: LevelFit | Interaction, sums: AnySums | None) -> Interaction:
    if isinstance(fit, LevelFit) and isinstance(sums, LevelSums):
        return interaction(fit, sums)
    assert isinstance(fit, Interaction)
    return fit


def _from_moments(question: Question, basis: Basis) -> Result:
    moments, status = moments_with_status(question, basis)
    if status != OK:
        return Result(status, counts_of(moments, question.arm))
    metric = basis.catalogue.metrics[question.metric]
    comparison = _comparison(question, basis.design)
    covariates = basis.home[metric.name].covariates[metric.name]
    match question.estimator:
        case "ratio":
            return e.ratio(moments, *_fraction(metric), comparison)
        case "ratio_cuped":
            return e.ratio_cuped(moments, *_fraction(metric), covariates, comparison)
        case "cuped":
            return e.cuped(moments, metric.name, covariates, comparison)
        case _:
            return e.difference_in_means(moments, metric.name, comparison)


def _fraction(metric: Metric) -> tuple[str, str]:
    numerator, denominator = outcome_names(metric)
    return numerator, denominator


def _comparison(question: Question, design: Design) -> e.Comparison:
    return e.Comparison(question.arm, design.vcov, design.alpha)


def _row(
    question: Question,
    result: Result,
    design: Design,
    moments: Moments,
    analysis_day: date | None,
    epoch: int,
) -> Estimate:
    role = design.role(question.metric)
    comparisons = len(design.primary) * len(design.treatments)
    alpha = design.alpha / comparisons if role == "primary" else design.alpha
    return Estimate(
        experiment_id=design.id,
        epoch=epoch,
        analysis_day=analysis_day,
        metric=question.metric,
        estimator=question.estimator,
        segment=question.cell.segment,
        segment_value=question.cell.value,
        arm=moments.arms[question.arm],
        role=role,
        control_arm=design.control,
        alpha=alpha,
        winsor_threshold=_threshold(question, moments, moments.cap),
        winsor_lower_threshold=_threshold(question, moments, moments.floor),
        mde=_mde(result.std_error, alpha, design.power),
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


def _threshold(question: Question, moments: Moments, cuts: Floats) -> float | None:
    """Where a tail of the outcome was cut, of the columns' cuts (p,); None for one that is not."""
    if question.metric not in moments.columns:
        return None
    cut = float(cuts[moments.column(question.metric) - 1])
    return cut if math.isfinite(cut) else None


def _moments_row(
    design: Design, cell: Cell, moments: Moments, analysis_day: date | None, epoch: int
) -> MomentsRow:
    return MomentsRow(
        experiment_id=design.id,
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


def _interaction_row(
    question: InteractionQuestion, test: Interaction, design: Design, analysis_day: date | None, epoch: int
) -> InteractionRow:
    return InteractionRow(
        experiment_id=design.id,
        epoch=epoch,
        analysis_day=analysis_day,
        metric=question.metric,
        segment=question.segment,
        arm=tuple(design.arms)[question.arm],
        **asdict(test),
    )
