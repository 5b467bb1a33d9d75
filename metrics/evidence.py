"""What the gate looks at on one analysis day: the deciding rows, their verdicts, SRM and audits (DESIGN §6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.configuration.experiment import Experiment
from metrics.enrollment import EnrollmentSlice, looks_of, start_of
from metrics.incident import Incident, incident_of
from metrics.rows import PROFILE, Estimate, QualityResult, SrmCheck

GuardrailStatus = Literal["passed", "breached", "undecided", "not computable"]
PrimaryStatus = Literal["better", "worse", "not significant", "not due", "not computable"]

ALL = "all"
# Audited once per analysis day; an earlier day's fault is not in today's numbers.
PER_ANALYSIS_DAY = ("profile_windows", "moments", "estimates")


@dataclass(frozen=True)
class GuardrailVerdict:
    """`harm` is the effect in the direction that hurts, with its interval, in the metric's unit."""

    metric: str
    arm: str
    verdict: GuardrailStatus
    margin: float
    harm: float | None
    harm_low: float | None
    harm_high: float | None


@dataclass(frozen=True)
class PrimaryVerdict:
    metric: str
    arm: str
    verdict: PrimaryStatus


@dataclass(frozen=True)
class Evidence:
    """`rows` holds the overall row of the decision estimator by metric and arm, `srm` each slice's latest check."""

    experiment: Experiment
    catalogue: Catalogue
    analysis_day: date
    rows: Mapping[tuple[str, str], Estimate]
    statuses: frozenset[str]
    srm: tuple[SrmCheck, ...]
    incident: Incident | None
    failed_audits: tuple[QualityResult, ...]

    @property
    def planned_end(self) -> date:
        return self.experiment.planned_end(self.catalogue)

    @property
    def is_due(self) -> bool:
        return self.analysis_day >= self.planned_end

    @property
    def has_srm(self) -> bool:
        if self.experiment.randomized_by == "none":
            return False
        return "srm_blocked" in self.statuses or self.incident is not None

    @property
    def has_failed_audit(self) -> bool:
        return "audit_failed" in self.statuses or bool(self.failed_audits)

    @property
    def is_trusted(self) -> bool:
        return not self.has_srm and not self.has_failed_audit

    @property
    def is_srm_checked(self) -> bool:
        return self.experiment.randomized_by == "none" or bool(self.srm)

    @property
    def guardrails(self) -> tuple[GuardrailVerdict, ...]:
        return tuple(
            _guardrail_verdict(self.catalogue.metrics[name], arm, margin, self._trusted_row(name, arm))
            for name, margin in self.experiment.guardrails.items()
            for arm in self.experiment.treatments
        )

    @property
    def primaries(self) -> tuple[PrimaryVerdict, ...]:
        return tuple(
            PrimaryVerdict(name, arm, self._primary_status(name, arm))
            for name in self.experiment.primary
            for arm in self.experiment.treatments
        )

    def _trusted_row(self, metric: str, arm: str) -> Estimate | None:
        return self.rows.get((metric, arm)) if self.is_trusted else None

    def _primary_status(self, metric: str, arm: str) -> PrimaryStatus:
        row = self._trusted_row(metric, arm)
        if row is None or row.status != "ok" or row.effect is None or row.p_value is None:
            return "not computable"
        if not self.is_due:
            return "not due"
        if row.p_value >= primary_alpha(self.experiment, row):
            return "not significant"
        return (
            "better" if (row.effect > 0) == (self.catalogue.metrics[metric].better == "higher") else "worse"
        )


def gather(
    experiment: Experiment,
    catalogue: Catalogue,
    analysis_day: date,
    estimates: Sequence[Estimate],
    srm_checks: Sequence[SrmCheck],
    quality: Sequence[QualityResult],
    enrollment: Sequence[EnrollmentSlice] = (),
) -> Evidence:
    """`estimates` of the day; checks and blocked slices of its epoch, and audits, up to it."""
    return Evidence(
        experiment=experiment,
        catalogue=catalogue,
        analysis_day=analysis_day,
        rows=decision_rows(experiment, catalogue, estimates),
        statuses=frozenset(row.status for row in estimates),
        srm=tuple(looks[-1] for looks in looks_of(srm_checks).values()),
        incident=incident_of(srm_checks, enrollment, start_of(experiment.opens)),
        failed_audits=_failed_audits(quality, analysis_day),
    )


def decision_estimator(design: Design, metric: Metric) -> str:
    if metric.kind in ("ratio", "quantile"):
        return metric.kind
    return design.decision_estimator if design.covariates_of(metric) else "difference_in_means"


def decision_rows(
    experiment: Experiment, catalogue: Catalogue, estimates: Sequence[Estimate], segment: str = ALL
) -> dict[tuple[str, str], Estimate]:
    """The overall row of the decision estimator, by metric and arm."""
    estimators = {m.name: decision_estimator(experiment, m) for m in experiment.metrics(catalogue)}
    return {
        (row.metric, row.arm): row
        for row in estimates
        if row.segment == segment and estimators.get(row.metric) == row.estimator
    }


def exposed_by_arm(srm: Sequence[SrmCheck]) -> Mapping[str, int]:
    """Profiles exposed so far in the arm of their first exposure, crossovers included; empty if never counted."""
    overall = [check for check in srm if check.unit == PROFILE and check.slice == ALL]
    return overall[-1].observed if overall else {}


def matured_profiles(rows: Sequence[Estimate]) -> int | None:
    """Analysed profiles of one metric over all its arms: the control once, and every other arm."""
    controls = [row.n_profiles_control for row in rows if row.n_profiles_control is not None]
    return controls[0] + sum(row.n_profiles_arm or 0 for row in rows) if controls else None


def primary_alpha(experiment: Experiment, row: Estimate) -> float:
    """The level of one primary comparison: design.alpha split over primaries and arms."""
    return row.alpha or experiment.alpha / (len(experiment.primary) * len(experiment.treatments))


def _failed_audits(quality: Sequence[QualityResult], analysis_day: date) -> tuple[QualityResult, ...]:
    return tuple(
        result
        for result in quality
        if not result.success
        and result.severity == "critical"
        and (result.day == analysis_day or result.table not in PER_ANALYSIS_DAY)
    )


def _guardrail_verdict(metric: Metric, arm: str, margin: float, row: Estimate | None) -> GuardrailVerdict:
    if row is None or row.status != "ok" or row.effect is None or row.ci_low is None or row.ci_high is None:
        return GuardrailVerdict(metric.name, arm, "not computable", margin, None, None, None)
    harm, low, high = row.effect, row.ci_low, row.ci_high
    if metric.better == "higher":
        harm, low, high = -harm, -high, -low
    verdict: GuardrailStatus = "undecided"
    if low > 0 and harm >= margin:
        verdict = "breached"
    elif high < margin:
        verdict = "passed"
    return GuardrailVerdict(metric.name, arm, verdict, margin, harm, low, high)
