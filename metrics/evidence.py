"""What the gate looks at on one analysis day: the deciding rows, their verdicts, SRM and audits (DESIGN §6)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.configuration.experiment import Experiment
from metrics.enrollment import EnrollmentSlice, looks_of, start_of
from metrics.gate import (
    GuardrailVerdict,
    PrimaryVerdict,
    guardrail_status,
    primary_status,
)
from metrics.incident import Incident, incident_of
from metrics.looks import (
    Ledger,
    boundary_in_force,
    conditional_power,
    critical_value,
    drift_of,
    last_look,
    ledger_of,
    level_of,
)
from metrics.rows import PROFILE, Estimate, LookRow, QualityResult, SrmCheck

ALL = "all"
# Audited once per analysis day: an earlier day's fault is not in today's numbers, but its look does not count.
PER_ANALYSIS_DAY = ("profile_windows", "moments", "estimates")


@dataclass(frozen=True)
class Evidence:
    """`rows` holds the overall row of the decision estimator by metric and arm, `srm` each slice's latest check.

    `ledger`: the epoch's looks up to the day. `planned`: maximum information by metric, as registered. `accepted`: the
    metrics whose harm people took on, each with their reason.
    """

    experiment: Experiment
    catalogue: Catalogue
    analysis_day: date
    rows: Mapping[tuple[str, str], Estimate]
    statuses: frozenset[str]
    srm: tuple[SrmCheck, ...]
    incident: Incident | None
    failed_audits: tuple[QualityResult, ...]
    planned: Mapping[str, float]
    ledger: Ledger
    accepted: Mapping[str, str]

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

    @cached_property
    def guardrails(self) -> tuple[GuardrailVerdict, ...]:
        return tuple(
            _guardrail_verdict(
                self.catalogue.metrics[name],
                arm,
                margin,
                self._trusted_row(name, arm),
                self.ledger.get((name, arm), ()),
            )
            for name, margin in self.experiment.guardrails.items()
            for arm in self.experiment.treatments
        )

    @cached_property
    def primaries(self) -> tuple[PrimaryVerdict, ...]:
        return tuple(
            self._primary_verdict(name, arm)
            for name in self.experiment.primary
            for arm in self.experiment.treatments
        )

    def _trusted_row(self, metric: str, arm: str) -> Estimate | None:
        return self.rows.get((metric, arm)) if self.is_trusted else None

    def _primary_verdict(self, metric: str, arm: str) -> PrimaryVerdict:
        """A boundary crossed at any look of the epoch stays crossed."""
        row, looks = self._trusted_row(metric, arm), self.ledger.get((metric, arm), ())
        is_up = self.catalogue.metrics[metric].better == "higher"
        strength = abs(row.statistic or 0.0) if row else 0.0
        if self.is_trusted and (crossed := [look for look in looks if look.crossed]):
            against = [look for look in crossed if (look.statistic > 0) != is_up]
            look = [*against, *crossed][0]
            status = primary_status(look, is_up, False, None)
            return PrimaryVerdict(metric, arm, status, is_up, look, strength=strength)
        if row is None or row.status != "ok":
            return PrimaryVerdict(metric, arm, "not computable", is_up)
        if not looks:
            return PrimaryVerdict(metric, arm, "open", is_up, strength=strength)
        alpha, definition = level_of(self.experiment, metric), self.catalogue.metrics[metric]
        end = last_look(self.experiment, definition, self.catalogue)
        is_over = looks[-1].analysis_day >= end or math.isclose(looks[-1].alpha_spent, alpha)
        drift = drift_of(self.experiment, self.catalogue, metric)
        power = None if is_over else conditional_power(looks, alpha, self.experiment.spending, drift)
        status = primary_status(looks[-1], is_up, is_over, power)
        return PrimaryVerdict(metric, arm, status, is_up, looks[-1], is_over, power, strength)


def gather(
    experiment: Experiment,
    catalogue: Catalogue,
    analysis_day: date,
    estimates: Sequence[Estimate],
    srm_checks: Sequence[SrmCheck],
    quality: Sequence[QualityResult],
    enrollment: Sequence[EnrollmentSlice] = (),
    history: Sequence[Estimate] = (),
    planned: Mapping[str, float] | None = None,
    accepted: Mapping[str, str] | None = None,
) -> Evidence:
    """`estimates` of the day, `history` of the days before in its epoch; checks, blocked slices and audits up to it.

    planned: maximum information by metric, as registered. accepted: see Evidence.
    """
    of_day = deciding_rows(experiment, catalogue, estimates)
    broken = {
        q.day for q in quality if q.table in PER_ANALYSIS_DAY and q.severity == "critical" and not q.success
    }
    before = [row for row in history if row.analysis_day not in broken]
    of_epoch = [*deciding_rows(experiment, catalogue, before), *of_day]
    return Evidence(
        experiment=experiment,
        catalogue=catalogue,
        analysis_day=analysis_day,
        rows={(row.metric, row.arm): row for row in of_day},
        statuses=frozenset(row.status for row in estimates),
        srm=tuple(looks[-1] for looks in looks_of(srm_checks).values()),
        incident=incident_of(srm_checks, enrollment, start_of(experiment.opens)),
        failed_audits=_failed_audits(quality, analysis_day),
        planned=planned or {},
        ledger=ledger_of(experiment, catalogue, of_epoch, planned or {}),
        accepted=accepted or {},
    )


def decision_estimator(design: Design, metric: Metric) -> str:
    if metric.kind in ("ratio", "quantile"):
        return metric.kind
    return design.decision_estimator if design.covariates_of(metric) else "difference_in_means"


def deciding_rows(
    experiment: Experiment, catalogue: Catalogue, estimates: Iterable[Estimate]
) -> list[Estimate]:
    """The overall rows of the decision estimator, of any days."""
    estimators = {m.name: decision_estimator(experiment, m) for m in experiment.metrics(catalogue)}
    return [row for row in estimates if row.segment == ALL and estimators.get(row.metric) == row.estimator]


def exposed_by_arm(srm: Sequence[SrmCheck]) -> Mapping[str, int]:
    """Profiles exposed so far in the arm of their first exposure, crossovers included; empty if never counted."""
    overall = [check for check in srm if check.unit == PROFILE and check.slice == ALL]
    return overall[-1].observed if overall else {}


def matured_profiles(rows: Sequence[Estimate]) -> int | None:
    """Analysed profiles of one metric over all its arms: the control once, and every other arm."""
    controls = [row.n_profiles_control for row in rows if row.n_profiles_control is not None]
    return controls[0] + sum(row.n_profiles_arm or 0 for row in rows) if controls else None


def _failed_audits(quality: Sequence[QualityResult], analysis_day: date) -> tuple[QualityResult, ...]:
    return tuple(
        result
        for result in quality
        if not result.success
        and result.severity == "critical"
        and (result.day == analysis_day or result.table not in PER_ANALYSIS_DAY)
    )


def _guardrail_verdict(
    metric: Metric, arm: str, margin: float, row: Estimate | None, looks: Sequence[LookRow]
) -> GuardrailVerdict:
    """By the boundary of the last look that had one: harm that shows after all alpha is spent is harm all the same.

    That lets in next to no false breach, since harm must reach the margin, too, which by then is some three standard
    errors away and more with each day.
    """
    look = boundary_in_force(looks)
    if row is None or row.status != "ok" or row.effect is None or row.std_error is None:
        return GuardrailVerdict(metric.name, arm, "not computable", margin)
    harm = row.effect if metric.better == "lower" else -row.effect
    if look is None or look.nominal_p is None:
        return GuardrailVerdict(metric.name, arm, "undecided", margin, harm)
    boundary = critical_value(look.nominal_p, row.df)
    low, high = harm - boundary * row.std_error, harm + boundary * row.std_error
    verdict = guardrail_status(margin, harm, low, high)
    return GuardrailVerdict(metric.name, arm, verdict, margin, harm, low, high, boundary)
