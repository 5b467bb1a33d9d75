"""Rows of the result tables (DESIGN §3) as frozen objects, for code that reads results without Spark.

Each class names the columns that the decision and the readout use; the table's schema is in metrics/schemas.py.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from metrics.errors import InputError

Row = TypeVar("Row")


@dataclass(frozen=True)
class Estimate:
    """A row of `estimates`. Means and effects are in the metric's unit; null where the status is not ok.

    A unit file has no analysis day.
    """

    experiment_id: str
    epoch: int
    analysis_day: date | None
    metric: str
    estimator: str
    segment: str
    segment_value: str
    arm: str
    role: str
    control_arm: str
    status: str
    control_mean: float | None = None
    arm_mean: float | None = None
    effect: float | None = None
    std_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    relative_effect: float | None = None
    relative_std_error: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    statistic: float | None = None
    df: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    alpha: float | None = None
    vcov: str | None = None
    n_profiles_control: int | None = None
    n_profiles_arm: int | None = None
    n_households: int | None = None
    variance_reduction: float | None = None
    winsor_threshold: float | None = None
    winsor_lower_threshold: float | None = None
    mde: float | None = None
    dropped_covariates: tuple[str, ...] | None = None
    quality_run_id: str | None = None
    audited_inputs: str | None = None
    spec_hash: str | None = None
    metric_version: str | None = None
    input_version: str | None = None
    code_version: str | None = None
    computed_at: datetime | None = None


@dataclass(frozen=True)
class InteractionRow:
    """A row of `interactions`: F on (df1, df2), null where the status is not ok."""

    experiment_id: str
    epoch: int
    analysis_day: date | None
    metric: str
    segment: str
    arm: str
    status: str
    statistic: float | None = None
    df1: float | None = None
    df2: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class SpilloverRow:
    """A row of `spillover`: what housemates in `arm` change in a profile of either arm, in the metric's unit.

    Of profiles with housemates in the experiment: `n_profiles_control` have all of them in the control,
    `n_profiles_arm` at least one in `arm`. `n_shared_households` hold two such profiles or more, `n_mixed_households`
    of them profiles of different arms. Numbers are null where the status is not ok;
    `adjusted_p_value` is by Holm over the day's rows.
    """

    experiment_id: str
    epoch: int
    analysis_day: date
    metric: str
    arm: str
    status: str
    n_shared_households: int
    n_mixed_households: int
    n_profiles_control: int
    n_profiles_arm: int
    control_mean: float | None = None
    effect: float | None = None
    std_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    df: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None


# Crossovers are profiles seen in more than one arm.
PROFILE, HOUSEHOLD, CROSSOVER = SRM_UNITS = ("profile", "household", "crossover")


@dataclass(frozen=True)
class SrmCheck:
    """A row of `srm_checks`; `observed` and `expected` count units, one of SRM_UNITS, by arm."""

    experiment_id: str
    epoch: int
    window_kind: str
    window_end: datetime
    unit: str
    slice: str
    slice_value: str
    observed: Mapping[str, int]
    expected: Mapping[str, float]
    triggered: bool
    chi_square: float | None = None
    df: float | None = None
    p_value: float | None = None
    log_e_value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class QualityResult:
    """A row of `data_quality_results`: one expectation on one partition of one table."""

    table: str
    day: date
    expectation: str
    run_id: str
    severity: str
    success: bool
    observed: str | None = None
    unexpected_count: int | None = None
    details: str | None = None


@dataclass(frozen=True)
class RampStage:
    """The effect in the metric's unit that is found by the end of a stage's last `day`, at that day's boundary.

    None where no profile has matured by then.
    """

    share: float
    day: int
    finds: float | None


@dataclass(frozen=True)
class PowerRow:
    """A row of `power`: what a metric is like in a stratum before the start, and what the design can find there.

    `stratum`: 'all', values of the declared strata such as 'eu|web', or 'tenure_band:new'. `n_per_arm`: profiles of the
    control for the effect sought (design.mde_relative, or a guardrail's margin); `mde_relative`: what the planned
    enrolment finds; `max_information` for the effect sought. Null where nothing can be said: `assumptions` says why. It
    is JSON, with what each stage of the ramp finds by its end.
    """

    experiment_id: str
    metric: str
    stratum: str
    max_information: float | None = None
    baseline_mean: float | None = None
    baseline_sd: float | None = None
    icc: float | None = None
    rho: float | None = None
    n_per_arm: float | None = None
    mde_relative: float | None = None
    days_needed: float | None = None
    assumptions: str | None = None

    @property
    def ramp(self) -> tuple["RampStage", ...]:
        """What each stage before the last finds; empty where nothing can be said."""
        return tuple(RampStage(**stage) for stage in json.loads(self.assumptions or "{}").get("ramp", ()))


@dataclass(frozen=True)
class LookRow:
    """A row of `looks`: the k-th scheduled analysis day of a comparison, with all that was spent by then.

    `information` is the inverse variance of the estimate, `information_fraction` its share of the planned maximum. No
    boundary, and no repeated interval, where the look brought no new information: it spends nothing and cannot cross.
    `statistic` is a z: with degrees of freedom the normal score of its p-value.
    """

    experiment_id: str
    epoch: int
    metric: str
    arm: str
    look: int
    input_version: str
    analysis_day: date
    information: float
    information_fraction: float
    alpha_spent: float
    z_boundary: float | None
    nominal_p: float | None
    statistic: float
    repeated_ci_low: float | None
    repeated_ci_high: float | None
    crossed: bool


OVERRIDE = "override"


@dataclass(frozen=True)
class RolloutDecision:
    """A row of `rollout_decisions`; stages are shares of the layer enrolled.

    `run` is what the job that first decided so was given as its reason, `refused` why the share could not follow.
    `inputs` is JSON: what it rests on, by which metrics/gate.py finds the answer again. An OVERRIDE is by people.
    """

    experiment_id: str
    epoch: int
    decided_for: datetime
    stage_from: float
    stage_to: float
    action: str
    reasons: tuple[str, ...] = ()
    run: str | None = None
    refused: str | None = None
    inputs: str = "{}"
    input_version: str = ""

    @property
    def is_override(self) -> bool:
        return self.action == OVERRIDE

    @property
    def accepted(self) -> tuple[str, ...]:
        """Metrics whose harm rolls nothing back from then on."""
        return tuple(json.loads(self.inputs).get("accepted", ())) if self.is_override else ()

    @property
    def alerts(self) -> tuple[str, ...]:
        """What somebody must hear of at once."""
        day = self.decided_for.date() - timedelta(days=1)
        found = []
        if self.action == "rollback" and self.stage_from > 0:
            found.append(f"{self.experiment_id}: rolled back on {day}: {' '.join(self.reasons)}")
        if self.refused:
            share = f"{self.stage_from:.4g} of its layer instead of {self.stage_to:.4g}"
            found.append(f"{self.experiment_id}: its share stays at {share}: {self.refused}")
        return tuple(found)


@dataclass(frozen=True)
class Truth:
    """The injected truth of a synthetic service: means of both potential outcomes over the analysed profiles."""

    experiment_id: str
    analysis_day: date
    metric: str
    segment: str
    segment_value: str
    arm: str
    effect: float
    relative_effect: float | None = None


def row_of(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """One table row as a `kind`: extra columns are left out, NaN becomes None, ISO texts become dates,
    times without a zone are UTC.

    Raises InputError where a column without a default is absent.
    """
    declared = fields(kind)  # type: ignore[arg-type]
    absent = [f.name for f in declared if f.name not in values and f.default is MISSING]
    if absent:
        raise InputError(
            f"a row of {kind.__name__} lacks column '{absent[0]}'; rebuild the table it was read from"
        )
    return kind(**{f.name: _plain(values[f.name], f.type) for f in declared if f.name in values})


def _plain(value: Any, kind: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if kind is date and isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)  # a map column as pyarrow gives it
    return tuple(value) if isinstance(value, list) else value
