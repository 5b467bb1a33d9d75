"""The gate: from an epoch's looks up to an analysis day to ship, roll back, stop, advance or hold (DESIGN §6).

Primaries and guardrails are looked at on every analysis day, each at its boundary of that day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from metrics import reasons
from metrics.evidence import Evidence, GuardrailVerdict, PrimaryStatus, PrimaryVerdict
from metrics.rows import Estimate

Action = Literal["advance", "hold", "rollback", "stop", "ship"]


@dataclass(frozen=True)
class Stage:
    """The share of the layer enrolled, and since when (None: since the start)."""

    share: float
    since: date | None = None


@dataclass(frozen=True)
class Decision:
    """`arm` is the treatment that ships; stages are shares of the layer; `reasons` are sentences."""

    action: Action
    arm: str | None
    stage_from: float
    stage_to: float
    stage_since: date | None
    reasons: tuple[str, ...]
    guardrails: tuple[GuardrailVerdict, ...]
    primaries: tuple[PrimaryVerdict, ...]
    planned_end: date


@dataclass(frozen=True)
class _Outcome:
    """`skips` the stages between, on to the last."""

    action: Action
    reasons: tuple[str, ...]
    arm: str | None = None
    skips: bool = False


def decide(evidence: Evidence, stage: Stage | None = None) -> Decision:
    """The decision for the end of the analysis day.

    Without a recorded `stage` the last one is assumed: nothing has been rolled out by this gate yet.
    """
    stages = evidence.experiment.stages
    current = stage or Stage(stages[-1])
    outcome = _outcome(evidence, current)
    return Decision(
        action=outcome.action,
        arm=outcome.arm,
        stage_from=current.share,
        stage_to=_stage_after(outcome, stages, current.share),
        stage_since=current.since,
        reasons=outcome.reasons,
        guardrails=evidence.guardrails,
        primaries=evidence.primaries,
        planned_end=evidence.planned_end,
    )


def _outcome(evidence: Evidence, stage: Stage) -> _Outcome:
    if stage.share == 0:
        return _Outcome("rollback", (reasons.of_closed(stage.since), *reasons.of_faults(evidence)))
    ended = evidence.experiment.ended
    if not evidence.is_trusted:
        restarted = (reasons.of_restart(ended),) if ended else ()
        return _Outcome("hold", (*reasons.of_faults(evidence), *restarted))
    breached = [verdict for verdict in evidence.guardrails if verdict.verdict == "breached"]
    if breached:
        return _Outcome("rollback", tuple(reasons.of_guardrail(verdict, evidence) for verdict in breached))
    if ended:  # a breach until then still harms: that was looked at before
        return _Outcome("hold", (reasons.of_restart(ended),))
    if not evidence.is_srm_checked:
        return _Outcome("hold", (reasons.SRM_UNCHECKED,))
    if worse := _with_verdict(evidence, "worse"):
        return _Outcome("rollback", _of_primaries(worse, evidence))
    if stage.share < evidence.experiment.stages[-1]:
        return _outcome_before_last_stage(evidence, stage)
    return _outcome_at_last_stage(evidence)


def _outcome_before_last_stage(evidence: Evidence, stage: Stage) -> _Outcome:
    since, min_days = stage.since or evidence.experiment.opens, evidence.experiment.min_days
    days = (evidence.analysis_day - since).days + 1
    if days < min_days:
        return _Outcome(
            "hold", (reasons.of_young_stage(stage.share, min_days, since + timedelta(min_days - 1)),)
        )
    finished = reasons.of_finished_stage(stage.share, days)
    if better := _with_verdict(evidence, "better"):
        return _Outcome("advance", (*_of_primaries(better, evidence), finished), skips=True)
    return _Outcome("advance", (finished,))


def _outcome_at_last_stage(evidence: Evidence) -> _Outcome:
    if better := _with_verdict(evidence, "better"):
        return _ship_or_hold(better, evidence)
    if len(_with_verdict(evidence, "not significant", "futile")) == len(evidence.primaries):
        return _Outcome("stop", _of_primaries(evidence.primaries, evidence))
    if not evidence.is_due:
        return _Outcome("hold", (*reasons.of_waiting(evidence), *reasons.of_open_guardrails(evidence)))
    return _Outcome("hold", _of_primaries(_with_verdict(evidence, "not computable", "open"), evidence))


def _with_verdict(evidence: Evidence, *statuses: PrimaryStatus) -> list[PrimaryVerdict]:
    return [verdict for verdict in evidence.primaries if verdict.verdict in statuses]


def _of_primaries(verdicts: Sequence[PrimaryVerdict], evidence: Evidence) -> tuple[str, ...]:
    return tuple(reasons.of_primary(verdict, evidence) for verdict in verdicts)


def _ship_or_hold(better: Sequence[PrimaryVerdict], evidence: Evidence) -> _Outcome:
    """One treatment ships: of those whose own guardrails all passed, the one with the strongest evidence."""
    unsafe = {verdict.arm for verdict in evidence.guardrails if verdict.verdict != "passed"}
    safe = [verdict for verdict in better if verdict.arm not in unsafe]
    shown = _of_primaries(safe or better, evidence)
    if not safe:
        return _Outcome("hold", (*shown, *reasons.of_open_guardrails(evidence)))
    best = max(safe, key=lambda verdict: _strength(evidence.rows.get((verdict.metric, verdict.arm))))
    passed = (reasons.ALL_PASSED,) if evidence.guardrails else ()
    return _Outcome("ship", (*shown, *passed), best.arm)


def _strength(row: Estimate | None) -> float:
    return abs(row.statistic or 0.0) if row else 0.0


def _stage_after(outcome: _Outcome, stages: Sequence[float], share: float) -> float:
    if outcome.action == "rollback":
        return 0.0
    if outcome.action == "advance":
        return stages[-1] if outcome.skips else min(later for later in stages if later > share)
    return share
