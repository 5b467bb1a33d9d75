"""Design from history (DESIGN §4, §6): what an experiment could find, from the days before it starts.

The history is analysed as the experiment will be: profiles count as exposed on their first active day, drawn into arms
by a salt of their own, with the same windows, covariates, winsorizing, clusters and estimators. What its estimates'
standard errors are, those of the experiment will be, at as many profiles.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.special import ndtri

from metrics.bucketing import arm_column, bucket_column
from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import STANDING_SEGMENT, Experiment
from metrics.errors import InputError
from metrics.evidence import decision_estimator
from metrics.looks import level_of, looks_planned, planned_information
from metrics.power import Design, mde_of_mean, units_for_mean
from metrics.rollup.exposures import first_exposures
from metrics.rollup.profile_windows import profile_windows
from metrics.rows import Estimate, PowerRow, RampStage
from metrics.sequential.boundaries import boundaries
from metrics.statistics.analysis import Analysis, MomentsRow, estimate
from metrics.statistics.layout import ALL, STRATUM, has_outcome
from metrics.statistics.moments import Floats, Moments

Cell = tuple[str, str]  # segment and value
_MOST_DAYS = 3650


@dataclass(frozen=True)
class Enrolment:
    """How profiles come: over how many days the history exposed them, how many times as many there are in all, and
    for how many days it looked at them at least.
    """

    days: int
    times: float
    follow_up: int

    def enrolled(self, experiment: Experiment, exposed: int, days: int) -> float:
        """Profiles enrolled in so many days, of a cell in which the history exposed so many."""
        shares = enrolled_share(experiment, days)
        return min(exposed / self.days * shares, exposed * self.times * experiment.stages[-1])


@dataclass(frozen=True)
class Spread:
    """Of one metric in one cell, over profiles of all arms: of a ratio by the delta method."""

    mean: float
    sd: float
    icc: float | None


def history_of(experiment: Experiment, catalogue: Catalogue, first: date, last: date) -> Experiment:
    """The experiment as if it had run on the days from first to last, as much of it as fits.

    Where days are few the covariates' period is shortened first, then enrolment. Raises InputError where not even one
    day of enrolment has its windows.
    """
    n_days = (last - first).days + 1
    longest = _longest(experiment, catalogue)
    if n_days < longest:
        raise InputError(
            f"profile_days has {max(n_days, 0)} days before experiment '{experiment.id}' starts on {experiment.start}, "
            f"and a window takes {longest}; load earlier days by run_day first"
        )
    covariates = experiment.covariates
    if covariates:
        period = min(covariates.days, n_days - longest)
        covariates = replace(covariates, days=period) if period else None
    enrolment = min(experiment.enrollment_days, n_days - longest + 1 - (covariates.days if covariates else 0))
    return replace(
        experiment,
        start=last - timedelta(days=longest + enrolment - 2),
        enrollment_days=enrolment,
        covariates=covariates,
        segments=(STRATUM,) if experiment.strata else (),  # without any, everybody would be one once more
        restart=None,
        ended=None,
    )


def analyse_history(
    history: Experiment, catalogue: Catalogue, profile_days: DataFrame, profiles: DataFrame, last: date
) -> Analysis:
    """Its estimates without any treatment, of everybody, of strata and of tenure bands; runs Spark actions.

    history: of `history_of`; last: the last day of the history.
    """
    enrolled = profile_days.where(
        F.col("day").between(F.lit(history.start), F.lit(history.last_enrollment_day))
    )
    known = profiles.select(
        "profile_id", F.col("household_id").alias("_household_id"), "device", "region", "signup_day"
    )
    exposed = enrolled.groupBy("profile_id").agg(
        F.min("day").alias("day"), F.min_by("household_id", "day").alias("household_id")
    )
    exposures = (
        exposed.join(known, "profile_id", how="left")
        .withColumns(
            {
                "experiment_id": F.lit(history.id),
                "exposed_at": F.col("day").cast("timestamp"),
                "household_id": F.coalesce("_household_id", "household_id"),
                "tenure_days": F.date_diff("day", "signup_day"),
            }
        )
        .withColumn("arm", arm_column(bucket_column(f"history:{history.id}", history.drawn_by), history.arms))
    )
    # Of its first active day a profile's whole measures count.
    first_days = enrolled.withColumn("experiment_id", F.lit(history.id))
    windows = profile_windows(
        first_exposures(exposures, [history]), profile_days, first_days, history, catalogue, last
    )
    deciding = {decision_estimator(history, metric) for metric in history.metrics(catalogue)}
    return estimate(windows, history, catalogue, last, only=deciding)


def power_rows(
    experiment: Experiment, history: Experiment, catalogue: Catalogue, analysis: Analysis, population: int
) -> tuple[PowerRow, ...]:
    """A row for each metric and stratum, 'all' and tenure bands among them; nulls where nothing can be said.

    population: profiles that were active on any day of the history: more than that are not to be had.
    """
    enrolment = _enrolment(experiment, history, catalogue, analysis, population)
    moments: dict[Cell, list[MomentsRow]] = {}
    for each in analysis.moments:
        moments.setdefault((each.segment, each.segment_value), []).append(each)
    rows = {
        (row.metric, row.segment, row.segment_value, row.arm): row
        for row in _deciding(history, catalogue, analysis)
    }
    arm = min(experiment.treatments, key=lambda name: experiment.arms[name])
    cells = sorted(
        {(segment, value) for _, segment, value, _ in rows}, key=lambda cell: (cell[0] != ALL, cell)
    )
    return tuple(
        _power(
            experiment,
            history,
            catalogue,
            metric,
            cell,
            rows.get((metric.name, *cell, arm)),
            next((each for each in moments.get(cell, ()) if has_outcome(each.columns, metric)), None),
            enrolment,
        )
        for metric in experiment.metrics(catalogue)
        for cell in cells
    )


def enrolled_share(experiment: Experiment, days: int) -> float:
    """Sum over so many days of the share of its layer that is enrolled, where each stage lasts as long as it must."""
    *ramp, last = experiment.stages
    lasts = experiment.min_days
    ramped = [max(min(days - number * lasts, lasts), 0) for number in range(len(ramp))]
    return math.fsum(share * at for share, at in zip(ramp, ramped, strict=True)) + (days - sum(ramped)) * last


def spread_of(moments: Moments, metric: Metric) -> Spread | None:
    """Mean, sd and the pairwise correlation of profiles within households; None where nothing varies or is there.

    The correlation is the mean product of the deviations of two profiles of a household, over the variance (Fisher's,
    of all pairs): None where no household has two.
    """
    rows = moments.row_products.sum(axis=0)
    households = moments.household_products.sum(axis=(0, 2))
    n = float(rows[0, 0])
    if n < 2 or metric.kind == "quantile":
        return None
    at = [moments.column(name) for name in metric.outcome_columns]
    means = [float(rows[0, k] / n + moments.shift[k - 1]) for k in at]
    weights = np.zeros(len(rows))
    if metric.kind == "ratio":
        if not means[1]:
            return None
        mean = means[0] / means[1]
        weights[at] = np.array([1.0, -mean]) / means[1]
        weights[0] = (moments.shift[at[0] - 1] - mean * moments.shift[at[1] - 1]) / means[1]
    else:
        mean = means[0]
        weights[at[0]], weights[0] = 1.0, moments.shift[at[0] - 1] - mean
    squares, pairs = _form(rows, weights), float(households[0, 0]) - n
    if squares <= 0:
        return None
    together = (_form(households, weights) - squares) / pairs / (squares / n) if pairs > 0 else None
    return Spread(mean, math.sqrt(squares / (n - 1)), together)


def _longest(experiment: Experiment, catalogue: Catalogue) -> int:
    return max((metric.window or 1 for metric in experiment.metrics(catalogue)), default=1)


def _form(products: Floats, weights: Floats) -> float:
    return float(weights @ products @ weights)


def _deciding(history: Experiment, catalogue: Catalogue, analysis: Analysis) -> Iterable[Estimate]:
    estimators = {metric.name: decision_estimator(history, metric) for metric in history.metrics(catalogue)}
    segments = (ALL, STRATUM, STANDING_SEGMENT)
    return [
        row
        for row in analysis.estimates
        if row.segment in segments and estimators.get(row.metric) == row.estimator
    ]


def _power(
    experiment: Experiment,
    history: Experiment,
    catalogue: Catalogue,
    metric: Metric,
    cell: Cell,
    row: Estimate | None,
    moments: MomentsRow | None,
    enrolment: Enrolment,
) -> PowerRow:
    stratum = ALL if cell[0] == ALL else cell[1] if cell[0] == STRATUM else ":".join(cell)
    empty = PowerRow(experiment.id, metric.name, stratum)
    if row is None or moments is None or row.status != "ok" or not row.std_error:
        return replace(empty, assumptions=_told(history, row.status if row else "no_data"))
    spread = spread_of(Moments.from_bytes(moments.payload), metric)
    n_control, n_arm = row.n_profiles_control or 0, row.n_profiles_arm or 0
    if spread is None or not n_control or not n_arm:
        return replace(empty, assumptions=_told(history, "no_variance"))
    margin = experiment.guardrails.get(metric.name)
    sought = margin if margin else experiment.mde_relative * abs(spread.mean)
    if not sought:
        return replace(
            empty, baseline_mean=spread.mean, baseline_sd=spread.sd, assumptions=_told(history, "no_mean")
        )
    # One profile's, after CUPED and clustering.
    sd = row.std_error / math.sqrt(1 / n_control + 1 / n_arm)
    control, arm = experiment.arms[experiment.control], experiment.arms[row.arm]
    design = Design(
        alpha=level_of(experiment, metric.name),
        power=experiment.power,
        allocation=(control, arm),
        looks=looks_planned(experiment, metric, catalogue),
        spending=experiment.spending,
    )
    # An effect of `sought` relative to a mean of 1: of some metrics the mean is 0.
    needed = units_for_mean(design, 1.0, sd, sought).n_per_arm[0]
    exposed = int(Moments.from_bytes(moments.payload).n_profiles.sum())
    planned = enrolment.enrolled(experiment, exposed, experiment.enrollment_days) * control
    found = mde_of_mean(design, 1.0, sd, planned).mde_absolute
    most = planned_information(experiment, catalogue, metric.name, sought)
    return replace(
        empty,
        max_information=most,
        baseline_mean=spread.mean,
        baseline_sd=spread.sd,
        icc=spread.icc,
        rho=math.sqrt(max(row.variance_reduction, 0.0)) if row.variance_reduction is not None else None,
        n_per_arm=needed,
        mde_relative=found / abs(spread.mean) if spread.mean else None,
        days_needed=_days_needed(experiment, enrolment, exposed, needed / control, metric),
        assumptions=_told(history, "ok", _ramp(experiment, enrolment, exposed, metric, row.arm, sd, most)),
    )


def _ramp(
    experiment: Experiment,
    enrolment: Enrolment,
    exposed: int,
    metric: Metric,
    arm: str,
    sd: float,
    most: float,
) -> list[RampStage]:
    """Of each stage before the last, with the power of the design."""
    told = []
    for number, share in enumerate(experiment.stages[:-1], start=1):
        day = number * experiment.min_days
        n = enrolment.enrolled(experiment, exposed, max(day - (metric.window or 1) + 1, 0))
        finds = None
        if n > 0:
            error = sd * math.sqrt(
                1 / (n * experiment.arms[experiment.control]) + 1 / (n * experiment.arms[arm])
            )
            fraction = 1 / error**2 / most
            (look,) = boundaries([fraction], level_of(experiment, metric.name), 2, experiment.spending)
            if look.z_boundary is not None:
                finds = error * (look.z_boundary + float(ndtri(experiment.power)))
        told.append(RampStage(share, day, finds))
    return told


def _enrolment(
    experiment: Experiment, history: Experiment, catalogue: Catalogue, analysis: Analysis, population: int
) -> Enrolment:
    cells = [row for row in analysis.moments if row.segment == ALL]
    exposed = max((int(Moments.from_bytes(row.payload).n_profiles.sum()) for row in cells), default=0)
    times = max(population / exposed, 1.0) if exposed else 1.0
    return Enrolment(history.enrollment_days, times, _longest(experiment, catalogue))


def _days_needed(
    experiment: Experiment, enrolment: Enrolment, exposed: int, wanted: float, metric: Metric
) -> float | None:
    """Days from the start until profiles enough have matured; None where there are not so many.

    Of a metric to date as many days count as the history looked at profiles.
    """
    for day in range(1, _MOST_DAYS):
        if enrolment.enrolled(experiment, exposed, day) >= wanted:
            return float(day + (metric.window or enrolment.follow_up) - 1)
    return None


def _told(history: Experiment, status: str, ramp: Sequence[RampStage] = ()) -> str:
    """What the numbers rest on, as JSON: the history, as evenly as in which enrolment goes on; and `ramp`."""
    told: Mapping[str, object] = {
        "status": status,
        "spec_hash": history.spec_hash,
        "exposed_from": str(history.start),
        "enrollment_days": history.enrollment_days,
        "covariate_days": history.covariates.days if history.covariates else 0,
        "ramp": [asdict(stage) for stage in ramp],
    }
    return json.dumps(told)
