"""From table rows to a Readout."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from metrics.assignment import Allocation
from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import STANDING_SEGMENT, TENURE_BANDS, Experiment
from metrics.decision import Decision, Stage, decide
from metrics.enrollment import BLOCKED, EnrollmentSlice, Known, Restarts, end_of, known_at
from metrics.errors import InputError
from metrics.evidence import ALL, Evidence, decision_estimator, exposed_by_arm, gather, matured_profiles
from metrics.incident import Incident
from metrics.looks import last_look, level_of
from metrics.readout.business import business_terms
from metrics.readout.model import (
    ArmCounts,
    LookPlan,
    MetricReading,
    Provenance,
    QualitySummary,
    Readout,
    ReadoutRows,
    SrmLook,
    SrmSummary,
    TruthReading,
)
from metrics.readout.reading import Reading, read_metric, read_segment
from metrics.reasons import slice_name
from metrics.rows import (
    SRM_UNITS,
    Estimate,
    InteractionRow,
    QualityResult,
    RolloutDecision,
    SpilloverRow,
    SrmCheck,
    Truth,
    row_of,
)
from metrics.statistics.balance import Balance


def readout_rows(
    estimates: Iterable[Mapping[str, Any]],
    srm_checks: Iterable[Mapping[str, Any]] = (),
    rollout_decisions: Iterable[Mapping[str, Any]] = (),
    quality: Iterable[Mapping[str, Any]] = (),
    truth: Iterable[Mapping[str, Any]] = (),
    population: int | None = None,
    analysed: Mapping[str, int] | None = None,
    interactions: Iterable[Mapping[str, Any]] = (),
    restarts: Restarts | None = None,
    allocations: Iterable[Allocation] = (),
    enrollment: Iterable[Mapping[str, Any]] = (),
    spillover: Iterable[Mapping[str, Any]] = (),
    balance: Balance | None = None,
    history: Iterable[Mapping[str, Any]] = (),
    planned: Mapping[str, float] | None = None,
) -> ReadoutRows:
    """Rows as the tables and the truth file give them, typed; only the latest epoch counts."""
    typed = [row_of(Estimate, row) for row in estimates]
    epoch = max((row.epoch for row in typed), default=0)
    checks = (row_of(SrmCheck, row) for row in srm_checks)
    tests = (row_of(InteractionRow, row) for row in interactions)
    slices = (row_of(EnrollmentSlice, row) for row in enrollment)
    spilled = (row_of(SpilloverRow, row) for row in spillover)
    decisions = (row_of(RolloutDecision, row) for row in rollout_decisions)
    return ReadoutRows(
        estimates=tuple(row for row in typed if row.epoch == epoch),
        srm_checks=tuple(check for check in checks if check.epoch == epoch),
        rollout_decisions=tuple(decision for decision in decisions if decision.epoch == epoch),
        quality=tuple(row_of(QualityResult, row) for row in quality),
        truth=tuple(row_of(Truth, row) for row in truth),
        population=population,
        analysed=analysed,
        interactions=tuple(test for test in tests if test.epoch == epoch),
        restarts=restarts or Restarts(),
        allocations=tuple(allocations),
        enrollment=tuple(each for each in slices if (each.epoch, each.status) == (epoch, BLOCKED)),
        spillover=tuple(row for row in spilled if row.epoch == epoch),
        balance=balance,
        history=tuple(row_of(Estimate, row) for row in history),
        planned=planned or {},
    )


def build_readout(
    experiment: Experiment, catalogue: Catalogue, analysis_day: date, rows: ReadoutRows
) -> Readout:
    """In the epoch that the day falls into. Raises InputError where it has no estimates of the experiment."""
    experiment = rows.restarts.as_of(experiment, analysis_day)
    if not rows.estimates:
        raise InputError(
            f"experiment '{experiment.id}' has no estimates for {analysis_day}; "
            "run jobs/estimate_effects.py for that day"
        )
    end = end_of(analysis_day)
    checks = [check for check in rows.srm_checks if check.window_end <= end]
    blocked = [each for each in rows.enrollment if each.since <= end]
    overrides = sorted(
        (each for each in rows.rollout_decisions if each.is_override and each.decided_for < end),
        key=lambda each: each.decided_for,
    )
    evidence = gather(
        experiment,
        catalogue,
        analysis_day,
        rows.estimates,
        checks,
        rows.quality,
        blocked,
        rows.history,
        rows.planned,
        {metric: each.reasons[0] for each in overrides for metric in each.accepted},
    )
    decision = decide(evidence, _stage_in_force(experiment, rows, analysis_day))
    primary = [row for (metric, _), row in evidence.rows.items() if metric == experiment.primary[0]]
    return Readout(
        experiment_id=experiment.id,
        owner=experiment.owner,
        hypothesis=experiment.hypothesis,
        analysis_day=analysis_day,
        start=experiment.opens,
        last_enrollment_day=experiment.last_enrollment_day,
        epoch=rows.estimates[0].epoch,
        restart=experiment.restart,
        amendments=experiment.amendments,
        overrides=tuple(overrides),
        control=experiment.control,
        arms=_arm_counts(experiment, primary, evidence.srm, rows.analysed),
        level=1 - experiment.alpha,
        power=experiment.power,
        mde_relative=experiment.mde_relative,
        is_randomized=experiment.randomized_by != "none",
        is_final=evidence.is_due,
        is_trusted=evidence.is_trusted,
        decision=decision,
        looks=tuple(look for looks in evidence.ledger.values() for look in looks),
        plans=_look_plans(evidence),
        n_matured=matured_profiles(primary),
        n_households=max((row.n_households or 0 for row in primary), default=0) or None,
        population=rows.population,
        business=business_terms(experiment, catalogue, evidence.rows, rows.population),
        metrics=_metric_readings(evidence, decision, rows.truth),
        segments=_segment_readings(evidence, rows),
        interactions=rows.interactions,
        other_estimators=_other_estimators(evidence, rows.estimates),
        covariates=experiment.covariates.columns if experiment.covariates else (),
        spillover=rows.spillover,
        balance=rows.balance,
        srm=_srm_summary(evidence, checks),
        quality=_quality_summary(rows.quality),
        provenance=_provenance(experiment, rows.estimates),
    )


def _look_plans(evidence: Evidence) -> tuple[LookPlan, ...]:
    experiment, catalogue = evidence.experiment, evidence.catalogue
    return tuple(
        LookPlan(
            metric=name,
            alpha=level_of(experiment, name),
            last_look=last_look(experiment, catalogue.metrics[name], catalogue),
            is_registered=name in evidence.planned,
        )
        for name in (*experiment.primary, *experiment.guardrails)
    )


def _stage_in_force(experiment: Experiment, rows: ReadoutRows, analysis_day: date) -> Stage | None:
    """The stage during this day, and since which day of the epoch: what is allocated, where the experiment was opened.

    Where people set the same share again, its days count from there.

    Else what the last decision before the day's end led to. It is dated by the end of its day, which is the beginning
    of the first day that it governs. Of two for one time (late data), the more careful counts.
    """
    end = end_of(analysis_day)
    begun = [each for each in rows.allocations if each.effective_from < end]
    if begun:
        set_again = [
            each.decided_for for each in rows.rollout_decisions if each.is_override and each.decided_for < end
        ]
        since = max([begun[-1].effective_from, *set_again])
        return Stage(begun[-1].exposed_share, max(since.date(), experiment.opens))
    earlier = [each for each in rows.rollout_decisions if each.decided_for < end_of(analysis_day)]
    earlier.sort(key=lambda decision: (decision.decided_for, -decision.stage_to))
    if not earlier:
        return None
    share = earlier[-1].stage_to
    reached = [decision for decision in earlier if decision.stage_to == share != decision.stage_from]
    return Stage(share, reached[-1].decided_for.date() if reached else None)


def _arm_counts(
    experiment: Experiment,
    primary: Sequence[Estimate],
    srm: Sequence[SrmCheck],
    analysed: Mapping[str, int] | None,
) -> tuple[ArmCounts, ...]:
    exposed = exposed_by_arm(srm)
    matured = {row.arm: row.n_profiles_arm for row in primary}
    matured[experiment.control] = primary[0].n_profiles_control if primary else None
    return tuple(
        ArmCounts(
            arm=arm,
            share=share,
            exposed=exposed.get(arm),
            crossovers=_crossovers(exposed.get(arm), analysed, arm),
            matured=matured.get(arm),
        )
        for arm, share in experiment.arms.items()
    )


def _crossovers(exposed: int | None, analysed: Mapping[str, int] | None, arm: str) -> int | None:
    """Exposed profiles that are not analysed: every first exposure has a window, unless it crossed over."""
    if exposed is None or analysed is None:
        return None
    return max(0, exposed - analysed.get(arm, 0))


def _metric_readings(
    evidence: Evidence, decision: Decision, truth: Sequence[Truth]
) -> tuple[MetricReading, ...]:
    experiment = evidence.experiment
    return tuple(
        _metric_reading(row, evidence, read_metric(row, evidence, decision), truth)
        for metric in experiment.metric_names
        for arm in experiment.treatments
        if (row := evidence.rows.get((metric, arm)))
    )


def _segment_readings(evidence: Evidence, rows: ReadoutRows) -> tuple[MetricReading, ...]:
    """Every segment of every metric, new profiles first."""
    experiment, metrics = evidence.experiment, evidence.catalogue.metrics
    names = sorted(experiment.standing_segments, key=lambda name: name != STANDING_SEGMENT)
    chosen = [
        row
        for row in rows.estimates
        if row.segment in names
        and row.metric in experiment.metric_names
        and row.estimator == decision_estimator(experiment, metrics[row.metric])
    ]
    chosen.sort(
        key=lambda row: (
            experiment.metric_names.index(row.metric),
            names.index(row.segment),
            *_value_order(row),
        )
    )
    return tuple(_metric_reading(row, evidence, read_segment(row, evidence), rows.truth) for row in chosen)


def _value_order(row: Estimate) -> tuple[int, str, str]:
    is_tenure = row.segment == STANDING_SEGMENT and row.segment_value in TENURE_BANDS
    return (TENURE_BANDS.index(row.segment_value) if is_tenure else 0, row.segment_value, row.arm)


def _metric_reading(
    row: Estimate, evidence: Evidence, reading: Reading, truth: Sequence[Truth]
) -> MetricReading:
    metric = evidence.catalogue.metrics[row.metric]
    return MetricReading(
        estimate=row,
        unit=metric.unit,
        better=metric.better,
        margin=evidence.experiment.guardrails.get(row.metric),
        reading=reading,
        truth=_truth_of(row, truth),
    )


def _truth_of(row: Estimate, truth: Sequence[Truth]) -> TruthReading | None:
    found = next((known for known in truth if _is_of_cell(known, row)), None)
    if found is None:
        return None
    is_covered = None
    if row.ci_low is not None and row.ci_high is not None:
        is_covered = row.ci_low <= found.effect <= row.ci_high
    return TruthReading(found.effect, found.relative_effect, is_covered)


def _is_of_cell(truth: Truth, row: Estimate) -> bool:
    cell = (row.experiment_id, row.analysis_day, row.metric, row.arm, row.segment)
    if (truth.experiment_id, truth.analysis_day, truth.metric, truth.arm, truth.segment) != cell:
        return False
    return row.segment == ALL or truth.segment_value == row.segment_value


def _other_estimators(evidence: Evidence, estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """The overall rows that do not decide, for comparison, in the order of the metrics."""
    names = evidence.experiment.metric_names
    deciding = tuple(evidence.rows.values())
    others = [row for row in estimates if row.segment == ALL and row.metric in names and row not in deciding]
    return tuple(sorted(others, key=lambda row: (names.index(row.metric), row.arm, row.estimator)))


def _srm_summary(evidence: Evidence, checks: Sequence[SrmCheck]) -> SrmSummary:
    order = sorted(
        evidence.srm, key=lambda c: (c.slice != ALL, c.slice, c.slice_value, SRM_UNITS.index(c.unit))
    )
    incident = evidence.incident
    return SrmSummary(
        is_gate=evidence.experiment.randomized_by != "none",
        checks=tuple(order),
        incident=incident,
        timeline=_timeline(checks, incident) if incident else (),
    )


def _timeline(checks: Sequence[SrmCheck], incident: Incident) -> tuple[SrmLook, ...]:
    """A slice whose own look is not known any more is told of at the next."""
    known = known_at(checks)
    told: dict[datetime, list[str]] = {end: [] for end in known}
    for each in incident.broken:
        at = min((end for end in known if end >= each.since), default=None)
        if at:
            told[at].append(each.name)
    return tuple(_look(end, each, told[end]) for end, each in known.items())


def _look(end: datetime, known: Known, broke: Sequence[str]) -> SrmLook:
    furthest = known.furthest
    return SrmLook(
        until=end,
        profiles=known.profiles,
        households=known.households,
        furthest=slice_name(furthest),
        log_e_value=furthest.log_e_value,
        threshold=furthest.threshold,
        triggered=known.triggered,
        broke=tuple(broke),
    )


def _quality_summary(quality: Sequence[QualityResult]) -> QualitySummary:
    failures = [result for result in quality if not result.success]
    failures.sort(
        key=lambda result: (result.severity != "critical", result.day, result.table, result.expectation)
    )
    return QualitySummary(len(quality), tuple(failures))


def _provenance(experiment: Experiment, estimates: Sequence[Estimate]) -> Provenance:
    hashes = _distinct(row.spec_hash for row in estimates)
    return Provenance(
        spec_hash=", ".join(hashes) or experiment.spec_hash,
        is_spec_changed=bool(hashes) and hashes != (experiment.spec_hash,),
        input_versions=_distinct(row.input_version for row in estimates),
        code_versions=_distinct(row.code_version for row in estimates),
        quality_run_ids=_distinct(row.quality_run_id for row in estimates),
        covariances=_distinct(row.vcov for row in estimates),
        computed_at=max((row.computed_at for row in estimates if row.computed_at), default=None),
    )


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
