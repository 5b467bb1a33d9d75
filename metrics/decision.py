"""The gate: from an analysis day's estimates to ship, roll back, stop, advance or hold (DESIGN §6).

At this stage there are no sequential boundaries, so the primary's fixed-horizon interval is read once, when every
enrolled profile has matured. Guardrails are read on every day, because harm must not wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from metrics import reasons
from metrics.evidence import Evidence, GuardrailVerdict, PrimaryVerdict

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
    reasons: tuple[str, ...]
    guardrails: tuple[GuardrailVerdict, ...]
    primaries: tuple[PrimaryVerdict, ...]
    planned_end: date


@dataclass(frozen=True)
class _Outcome:
    action: Action
    reasons: tuple[str, ...]
    arm: str | None = None


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
        stage_to=_stage_after(outcome.action, stages, current.share),
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
    if stage.share < evidence.experiment.stages[-1]:
        return _outcome_before_last_stage(evidence, stage)
    if not evidence.is_due:
        return _Outcome("hold", (reasons.of_waiting(evidence), *reasons.of_open_guardrails(evidence)))
    return _outcome_at_end(evidence)


def _outcome_before_last_stage(evidence: Evidence, stage: Stage) -> _Outcome:
    since, min_days = stage.since or evidence.experiment.opens, evidence.experiment.min_days
    days = (evidence.analysis_day - since).days + 1
    if days < min_days:
        return _Outcome(
            "hold", (reasons.of_young_stage(stage.share, min_days, since + timedelta(min_days - 1)),)
        )
    return _Outcome("advance", (reasons.of_finished_stage(stage.share, days),))


def _outcome_at_end(evidence: Evidence) -> _Outcome:
    worse, unknown, better = (
        _with_verdict(evidence, status) for status in ("worse", "not computable", "better")
    )
    if worse:
        return _Outcome("rollback", _of_primaries(worse, evidence))
    if unknown:
        return _Outcome("hold", _of_primaries(unknown, evidence))
    if not better:
        return _Outcome("stop", _of_primaries(evidence.primaries, evidence))
    return _ship_or_hold(better, evidence)


def _with_verdict(evidence: Evidence, status: str) -> list[PrimaryVerdict]:
    return [verdict for verdict in evidence.primaries if verdict.verdict == status]


def _of_primaries(verdicts: Sequence[PrimaryVerdict], evidence: Evidence) -> tuple[str, ...]:
    return tuple(reasons.of_primary(verdict, evidence) for verdict in verdicts)


def _ship_or_hold(better: Sequence[PrimaryVerdict], evidence: Evidence) -> _Outcome:
    """One treatment ships: of those whose own guardrails all passed, the one with the strongest evidence."""
    unsafe = {verdict.arm for verdict in evidence.guardrails if verdict.verdict != "passed"}
    safe = [verdict for verdict in better if verdict.arm not in unsafe]
    shown = _of_primaries(safe or better, evidence)
    if not safe:
        return _Outcome("hold", (*shown, *reasons.of_open_guardrails(evidence)))
    best = max(safe, key=lambda verdict: abs(evidence.rows[verdict.metric, verdict.arm].statistic or 0.0))
    passed = (reasons.ALL_PASSED,) if evidence.guardrails else ()
    return _Outcome("ship", (*shown, *passed), best.arm)


def _stage_after(action: Action, stages: Sequence[float], share: float) -> float:
    if action == "rollback":
        return 0.0
    if action == "advance":
        return min(later for later in stages if later > share)
    return share
