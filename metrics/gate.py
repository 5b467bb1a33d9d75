"""The gate's rule (DESIGN §6): what is known on an analysis day, and what follows from it.

A decision row keeps its Facts, so that it can be replayed from the table alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal

from metrics.rows import LookRow

Action = Literal["advance", "hold", "rollback", "stop", "ship"]
GuardrailStatus = Literal["passed", "breached", "undecided", "not computable"]
PrimaryStatus = Literal["better", "worse", "open", "futile", "not significant", "not computable"]
Because = Literal[
    "closed",
    "not trusted",
    "breached",
    "restarted",
    "sample ratio unchecked",
    "worse",
    "young stage",
    "better",
    "finished stage",
    "better, guardrails open",
    "no chance left",
    "waiting",
]

# Below this chance to cross by the planned maximum, under the effect that the design is to detect, going on is futile.
FUTILITY = 0.1


@dataclass(frozen=True)
class GuardrailVerdict:
    """`harm` is the effect in the direction that hurts, with its repeated interval, in the metric's unit.

    `boundary`: the interval's half-width in standard errors, of the last look that has one.
    """

    metric: str
    arm: str
    verdict: GuardrailStatus
    margin: float
    harm: float | None = None
    harm_low: float | None = None
    harm_high: float | None = None
    boundary: float | None = None


@dataclass(frozen=True)
class PrimaryVerdict:
    """`look`: the first that crossed, else the latest. `strength`: the size of the day's statistic.

    `is_over`: no look is to come, or nothing is left to spend. `conditional_power`: under the effect to detect.
    """

    metric: str
    arm: str
    verdict: PrimaryStatus
    is_good_up: bool
    look: LookRow | None = None
    is_over: bool = False
    conditional_power: float | None = None
    strength: float = 0.0


@dataclass(frozen=True)
class Facts:
    """`share` is the stage in force, of `stages`, on its `days`-th day.

    `accepted`: metrics whose harm people took on. `has_ended`: a restart has ended the epoch.
    """

    share: float
    days: int
    stages: tuple[float, ...]
    min_days: int
    is_trusted: bool
    is_srm_checked: bool
    has_ended: bool
    accepted: tuple[str, ...]
    guardrails: tuple[GuardrailVerdict, ...]
    primaries: tuple[PrimaryVerdict, ...]


@dataclass(frozen=True)
class Answer:
    """`arm`: the treatment that ships. `guardrails` and `primaries`: the verdicts it rests on."""

    action: Action
    stage_to: float
    because: Because
    arm: str | None = None
    guardrails: tuple[GuardrailVerdict, ...] = ()
    primaries: tuple[PrimaryVerdict, ...] = ()


def guardrail_status(margin: float, harm: float, low: float, high: float) -> GuardrailStatus:
    """Breached where harm is certain and reaches the margin, passed where harm of the margin is ruled out."""
    if low > 0 and harm >= margin:
        return "breached"
    return "passed" if high < margin else "undecided"


def primary_status(
    look: LookRow,
    is_good_up: bool,
    is_over: bool,
    conditional_power: float | None,
    futility: float = FUTILITY,
) -> PrimaryStatus:
    if look.crossed:
        return "better" if (look.statistic > 0) == is_good_up else "worse"
    if is_over:
        return "not significant"
    return "futile" if conditional_power is not None and conditional_power < futility else "open"


def answer(facts: Facts) -> Answer:
    """What the rule says."""
    share, last = facts.share, facts.stages[-1]
    if share == 0:
        return Answer("rollback", 0.0, "closed")
    if not facts.is_trusted:
        return Answer("hold", share, "not trusted")
    guardrails = tuple(verdict for verdict in facts.guardrails if verdict.metric not in facts.accepted)
    if breached := tuple(verdict for verdict in guardrails if verdict.verdict == "breached"):
        return Answer("rollback", 0.0, "breached", guardrails=breached)
    if facts.has_ended:  # a breach until then still harms: that was looked at before
        return Answer("hold", share, "restarted")
    if not facts.is_srm_checked:
        return Answer("hold", share, "sample ratio unchecked")
    primaries = tuple(verdict for verdict in facts.primaries if verdict.metric not in facts.accepted)
    if worse := _with_status(primaries, "worse"):
        return Answer("rollback", 0.0, "worse", primaries=worse)
    better = _with_status(facts.primaries, "better")
    if share < last:
        if facts.days < facts.min_days:
            return Answer("hold", share, "young stage")
        if better:
            return Answer("advance", last, "better", primaries=better)
        return Answer("advance", min(stage for stage in facts.stages if stage > share), "finished stage")
    if better:
        unsafe = {verdict.arm for verdict in facts.guardrails if not _is_safe(verdict, facts.accepted)}
        return _shipped(better, unsafe, share)
    if len(_with_status(facts.primaries, "not significant", "futile", "worse")) == len(facts.primaries):
        return Answer("stop", share, "no chance left", primaries=facts.primaries)
    return Answer("hold", share, "waiting")


def replayed(inputs: Mapping[str, Any]) -> Answer:
    """The answer to the facts that a decision row holds, each verdict found again from its numbers.

    inputs: the row's column of that name, as parsed JSON. Raises KeyError or TypeError where they are not all there.
    """
    known = {field.name: inputs[field.name] for field in fields(Facts)}
    guardrails = (GuardrailVerdict(**each) for each in known["guardrails"])
    primaries = (_primary(each) for each in known["primaries"])
    return answer(
        Facts(
            **{
                **known,
                "stages": tuple(known["stages"]),
                "accepted": tuple(known["accepted"]),
                "guardrails": tuple(map(_guardrail_again, guardrails)),
                "primaries": tuple(_primary_again(each, inputs["futility"]) for each in primaries),
            }
        )
    )


def _is_safe(verdict: GuardrailVerdict, accepted: Collection[str]) -> bool:
    """Harm that people took on is known: as long as nothing is certain, it may still be another."""
    return verdict.verdict == "passed" or (verdict.verdict == "breached" and verdict.metric in accepted)


def _shipped(better: Sequence[PrimaryVerdict], unsafe: Collection[str], share: float) -> Answer:
    """One treatment ships: of those in no `unsafe` arm, the one with the strongest evidence."""
    safe = tuple(verdict for verdict in better if verdict.arm not in unsafe)
    if not safe:
        return Answer("hold", share, "better, guardrails open", primaries=tuple(better))
    best = max(safe, key=lambda verdict: verdict.strength)
    return Answer("ship", share, "better", best.arm, primaries=safe)


def _with_status(verdicts: Sequence[PrimaryVerdict], *statuses: PrimaryStatus) -> tuple[PrimaryVerdict, ...]:
    return tuple(verdict for verdict in verdicts if verdict.verdict in statuses)


def _primary(told: Mapping[str, Any]) -> PrimaryVerdict:
    look = told["look"]
    if look is not None:
        look = LookRow(**{**look, "analysis_day": date.fromisoformat(look["analysis_day"])})
    return PrimaryVerdict(**{**told, "look": look})


def _guardrail_again(verdict: GuardrailVerdict) -> GuardrailVerdict:
    if verdict.harm is None or verdict.harm_low is None or verdict.harm_high is None:
        return verdict
    status = guardrail_status(verdict.margin, verdict.harm, verdict.harm_low, verdict.harm_high)
    return replace(verdict, verdict=status)


def _primary_again(verdict: PrimaryVerdict, futility: float) -> PrimaryVerdict:
    look = verdict.look
    if look is None:
        return verdict
    status = primary_status(look, verdict.is_good_up, verdict.is_over, verdict.conditional_power, futility)
    return replace(verdict, verdict=status)
