"""What one estimate says: a change, no effect (a change worth having is ruled out), or no power to tell."""

from dataclasses import dataclass
from typing import Literal

from metrics import reasons, wording
from metrics.decision import Decision
from metrics.evidence import Evidence
from metrics.looks import level_of
from metrics.rows import Estimate

Kind = Literal[
    "better",
    "worse",
    "no effect",
    "inconclusive",
    "no power",
    "too early",
    "not used",
    "not computable",
    "passed",
    "breached",
    "undecided",
]


@dataclass(frozen=True)
class Reading:
    """A verdict and the sentence that explains it."""

    kind: Kind
    sentence: str


def read_metric(row: Estimate, evidence: Evidence, decision: Decision) -> Reading:
    """The reading of an overall estimate; guardrails by their margin."""
    if row.status == "ok" and evidence.is_trusted and row.role == "guardrail":
        verdict = next(v for v in decision.guardrails if (v.metric, v.arm) == (row.metric, row.arm))
        return Reading(verdict.verdict, reasons.of_guardrail(verdict, evidence))
    if row.status == "ok" and evidence.is_trusted and row.role == "primary":
        return _read_primary(row, evidence, decision)
    return read_segment(row, evidence)


def _read_primary(row: Estimate, evidence: Evidence, decision: Decision) -> Reading:
    """By its boundary, not by this day's p-value."""
    verdict = next(v for v in decision.primaries if (v.metric, v.arm) == (row.metric, row.arm))
    look = verdict.look
    if look and (verdict.verdict == "better" or verdict.verdict == "worse"):
        return Reading(verdict.verdict, f"Crossed its boundary at look {look.look}, of {look.analysis_day}.")
    if verdict.verdict == "open":
        return Reading(
            "too early", f"The last look is on {evidence.planned_end}; until then this may still turn."
        )
    if row.ci_low is None or row.ci_high is None:
        return read_segment(row, evidence)
    return _read_silence(row, row.ci_low, row.ci_high, evidence)


def read_segment(row: Estimate, evidence: Evidence) -> Reading:
    """The reading of an estimate by its interval, the change worth having and the detectable change."""
    if row.status in ("srm_blocked", "audit_failed") or not evidence.is_trusted:
        return Reading("not used", "The results of this day are not used; the decision says why.")
    if row.status != "ok" or row.effect is None or row.ci_low is None or row.ci_high is None:
        return Reading(
            "not computable", f"Not computable: {reasons.STATUS_WORDS.get(row.status, row.status)}."
        )
    if _is_significant(row, evidence):
        is_better = (row.effect > 0) == (evidence.catalogue.metrics[row.metric].better == "higher")
        return Reading("better" if is_better else "worse", "A significant change.")
    return _read_silence(row, row.ci_low, row.ci_high, evidence)


def worthwhile_change(row: Estimate, evidence: Evidence) -> float | None:
    """The change that the design wants to find, in the metric's unit: a guardrail's margin, else mde_relative."""
    margin = evidence.experiment.guardrails.get(row.metric)
    if margin is not None:
        return margin
    return None if row.control_mean is None else evidence.experiment.mde_relative * abs(row.control_mean)


def _read_silence(row: Estimate, low: float, high: float, evidence: Evidence) -> Reading:
    change, detectable = worthwhile_change(row, evidence), _size(row, row.mde)
    if change is None:
        return Reading("inconclusive", "No significant change.")
    sought = _size(row, change)
    if -change < low and high < change:
        return Reading("no effect", f"A change of {sought} or more, either way, is ruled out.")
    if row.mde is not None and row.mde > change:
        return Reading(
            "no power", f"Too few data: could count on detecting {detectable} or more; {sought} was sought."
        )
    return Reading("inconclusive", f"No significant change, but {sought} is not ruled out.")


def _is_significant(row: Estimate, evidence: Evidence) -> bool:
    p = row.p_value if row.adjusted_p_value is None else row.adjusted_p_value
    alpha = row.alpha or level_of(evidence.experiment, row.metric)
    return p is not None and p < alpha


def _size(row: Estimate, change: float | None) -> str:
    """A change in per cent of the control mean, or in the metric's unit where that is zero."""
    if change is None:
        return wording.MISSING
    if not row.control_mean:
        return wording.quantity(change)
    return wording.percent(change / abs(row.control_mean), signed=False)
