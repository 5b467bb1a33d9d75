"""The decision of an analysis day: the gate's rule on the epoch's looks up to it, with reasons and all it rests on.

Primaries and guardrails are looked at on every analysis day, each at its boundary of that day.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from metrics import reasons
from metrics.evidence import Evidence
from metrics.gate import Action, Answer, Facts, GuardrailVerdict, PrimaryVerdict, answer


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
    stage_since: date
    reasons: tuple[str, ...]
    facts: Facts
    planned_end: date

    @property
    def guardrails(self) -> tuple[GuardrailVerdict, ...]:
        return self.facts.guardrails

    @property
    def primaries(self) -> tuple[PrimaryVerdict, ...]:
        return self.facts.primaries


def decide(evidence: Evidence, stage: Stage | None = None) -> Decision:
    """The decision for the end of the analysis day.

    Without a recorded `stage` the last one is assumed: nothing has been rolled out by this gate yet.
    """
    current = stage or Stage(evidence.experiment.stages[-1])
    since = current.since or evidence.experiment.opens
    facts = _facts(evidence, current.share, since)
    found = answer(facts)
    return Decision(
        action=found.action,
        arm=found.arm,
        stage_from=current.share,
        stage_to=found.stage_to,
        stage_since=since,
        reasons=(*_reasons(found, evidence, current), *reasons.of_accepted(evidence)),
        facts=facts,
        planned_end=evidence.planned_end,
    )


def _facts(evidence: Evidence, share: float, since: date) -> Facts:
    experiment = evidence.experiment
    return Facts(
        share=share,
        days=(evidence.analysis_day - since).days + 1,
        stages=experiment.stages,
        min_days=experiment.min_days,
        is_trusted=evidence.is_trusted,
        is_srm_checked=evidence.is_srm_checked,
        has_ended=experiment.ended is not None,
        accepted=tuple(evidence.accepted),
        guardrails=evidence.guardrails,
        primaries=evidence.primaries,
    )


def _reasons(found: Answer, evidence: Evidence, stage: Stage) -> tuple[str, ...]:
    experiment = evidence.experiment
    restarted = (reasons.of_restart(experiment.ended),) if experiment.ended else ()
    primaries = tuple(reasons.of_primary(verdict, evidence) for verdict in found.primaries)
    since = stage.since or experiment.opens
    days = (evidence.analysis_day - since).days + 1
    match found.because:
        case "closed":
            return (reasons.of_closed(stage.since), *reasons.of_faults(evidence))
        case "not trusted":
            return (*reasons.of_faults(evidence), *restarted)
        case "breached":
            return tuple(reasons.of_guardrail(verdict, evidence) for verdict in found.guardrails)
        case "restarted":
            return restarted
        case "sample ratio unchecked":
            return (reasons.SRM_UNCHECKED,)
        case "worse" | "no chance left":
            return primaries
        case "young stage":
            until = since + timedelta(days=experiment.min_days - 1)
            return (reasons.of_young_stage(stage.share, experiment.min_days, until),)
        case "finished stage":
            return (reasons.of_finished_stage(stage.share, days),)
        case "better" if found.action == "advance":
            return (*primaries, reasons.of_finished_stage(stage.share, days))
        case "better" | "better, guardrails open":
            return (*primaries, *reasons.of_open_guardrails(evidence))
        case "waiting" if not evidence.is_due:
            return (*reasons.of_waiting(evidence), *reasons.of_open_guardrails(evidence))
    undecided = (each for each in evidence.primaries if each.verdict in ("not computable", "open"))
    return tuple(reasons.of_primary(verdict, evidence) for verdict in undecided)
