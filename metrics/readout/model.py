"""The readout of one experiment on one analysis day, as plain facts; terminal, page and JSON only lay it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from metrics.assignment import Allocation
from metrics.configuration.experiment import Amendment, Restart
from metrics.decision import Decision
from metrics.enrollment import EnrollmentSlice, Restarts
from metrics.incident import Incident
from metrics.readout.business import BusinessTerm
from metrics.readout.reading import Reading
from metrics.rows import (
    Estimate,
    InteractionRow,
    LookRow,
    QualityResult,
    RolloutDecision,
    SpilloverRow,
    SrmCheck,
    Truth,
)
from metrics.statistics.balance import Balance


@dataclass(frozen=True)
class ReadoutRows:
    """Rows of one experiment and one analysis day; checks and audits also of the days before.

    `enrollment`: the blocked slices.
    `population` counts the profiles table, `analysed` the rows of profile_windows by arm (crossovers are not in
    it). None where they are not known. `allocations` are all of the experiment's, ascending. `history`: overall
    estimates of the epoch's days before. `planned`: maximum information by metric, as registered.
    """

    estimates: tuple[Estimate, ...]
    srm_checks: tuple[SrmCheck, ...] = ()
    rollout_decisions: tuple[RolloutDecision, ...] = ()
    quality: tuple[QualityResult, ...] = ()
    truth: tuple[Truth, ...] = ()
    population: int | None = None
    analysed: Mapping[str, int] | None = None
    interactions: tuple[InteractionRow, ...] = ()
    restarts: Restarts = field(default_factory=Restarts)
    allocations: tuple[Allocation, ...] = ()
    enrollment: tuple[EnrollmentSlice, ...] = ()
    spillover: tuple[SpilloverRow, ...] = ()
    balance: Balance | None = None
    history: tuple[Estimate, ...] = ()
    planned: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TruthReading:
    effect: float
    relative_effect: float | None
    is_covered: bool | None


@dataclass(frozen=True)
class MetricReading:
    """One estimate with what it means; `margin` for guardrails only."""

    estimate: Estimate
    unit: str
    better: str
    margin: float | None
    reading: Reading
    truth: TruthReading | None


@dataclass(frozen=True)
class ArmCounts:
    """Profiles of one arm: exposed (crossovers included), crossovers excluded, matured for the first primary."""

    arm: str
    share: float
    exposed: int | None
    crossovers: int | None
    matured: int | None


@dataclass(frozen=True)
class SrmLook:
    """What the monitor knew at one window end: units exposed, the check furthest from the plan, how many triggered.

    `broke` names the slices that it told of first.
    """

    until: datetime
    profiles: int
    households: int
    furthest: str
    log_e_value: float | None
    threshold: float | None
    triggered: int
    broke: tuple[str, ...]


@dataclass(frozen=True)
class SrmSummary:
    """Latest cumulative checks, the overall ones first; `is_gate` is false for observational data.

    `timeline`: all looks, ascending, where there is an incident.
    """

    is_gate: bool
    checks: tuple[SrmCheck, ...]
    incident: Incident | None
    timeline: tuple[SrmLook, ...]

    @property
    def triggered(self) -> tuple[SrmCheck, ...]:
        return tuple(check for check in self.checks if check.triggered)

    def is_broken(self, check: SrmCheck) -> bool:
        """Whether the check is of a slice that triggers, or did and is still blocked."""
        return self.incident is not None and self.incident.holds(check)

    @property
    def smallest_p(self) -> SrmCheck | None:
        known = [check for check in self.checks if check.p_value is not None]
        return min(known, key=lambda check: check.p_value or 0.0, default=None)


@dataclass(frozen=True)
class QualitySummary:
    """`failures` are expectations that did not hold, the critical ones first."""

    n_expectations: int
    failures: tuple[QualityResult, ...]


@dataclass(frozen=True)
class Provenance:
    """What the numbers rest on. `is_spec_changed`: the experiment file is no longer the one that was computed."""

    spec_hash: str
    is_spec_changed: bool
    input_versions: tuple[str, ...]
    code_versions: tuple[str, ...]
    quality_run_ids: tuple[str, ...]
    covariances: tuple[str, ...]
    computed_at: datetime | None


@dataclass(frozen=True)
class LookPlan:
    """How one metric is looked at: at a level over all looks of one arm, up to a last look.

    `is_registered`: whether a maximum of information was; without, a primary is read once, on the day of the last look.
    """

    metric: str
    alpha: float
    last_look: date
    is_registered: bool


@dataclass(frozen=True)
class Readout:
    """`start` and `last_enrollment_day` are those of the epoch, which `restart` began; None in the first.

    `overrides`: the shares that people set, up to the day. `plans`: of primaries and guardrails.
    """

    experiment_id: str
    owner: str
    hypothesis: str
    analysis_day: date
    start: date
    last_enrollment_day: date
    epoch: int
    restart: Restart | None
    amendments: tuple[Amendment, ...]
    overrides: tuple[RolloutDecision, ...]
    control: str
    arms: tuple[ArmCounts, ...]
    level: float
    power: float
    mde_relative: float
    is_randomized: bool
    is_final: bool
    is_trusted: bool
    decision: Decision
    looks: tuple[LookRow, ...]
    plans: tuple[LookPlan, ...]
    n_matured: int | None
    n_households: int | None
    population: int | None
    business: tuple[BusinessTerm, ...]
    metrics: tuple[MetricReading, ...]
    segments: tuple[MetricReading, ...]
    interactions: tuple[InteractionRow, ...]
    other_estimators: tuple[Estimate, ...]
    covariates: tuple[str, ...]
    spillover: tuple[SpilloverRow, ...]
    balance: Balance | None
    srm: SrmSummary
    quality: QualitySummary
    provenance: Provenance

    @property
    def has_truth(self) -> bool:
        return any(reading.truth for reading in self.metrics)

    @property
    def has_several_treatments(self) -> bool:
        return len(self.arms) > 2

    @property
    def new_profiles(self) -> tuple[MetricReading, ...]:
        """The primary metrics for profiles under 30 days' tenure: the standing segment."""
        estimates = ((reading, reading.estimate) for reading in self.segments)
        return tuple(r for r, row in estimates if (row.segment_value, row.role) == ("new", "primary"))

    @property
    def latest_looks(self) -> tuple[LookRow, ...]:
        """The last look at each metric in each arm, primaries first."""
        return tuple({(look.metric, look.arm): look for look in self.looks}.values())

    def plan_of(self, metric: str) -> LookPlan:
        return next(plan for plan in self.plans if plan.metric == metric)

    @property
    def read_once(self) -> tuple[str, ...]:
        """Primaries that were not registered."""
        primary = {reading.estimate.metric for reading in self.of_role("primary")}
        return tuple(plan.metric for plan in self.plans if plan.metric in primary and not plan.is_registered)

    def of_role(self, role: str) -> tuple[MetricReading, ...]:
        return tuple(reading for reading in self.metrics if reading.estimate.role == role)
