"""Why the gate decided as it did, in sentences that a product manager understands."""

from collections.abc import Sequence
from datetime import date

from metrics import wording
from metrics.configuration.experiment import Restart
from metrics.enrollment import name_of_slice
from metrics.evidence import ALL, Evidence, exposed_by_arm, matured_profiles
from metrics.gate import GuardrailVerdict, PrimaryVerdict
from metrics.incident import Culprit, Incident
from metrics.rows import CROSSOVER, PROFILE, Estimate, LookRow, SrmCheck

SRM_UNCHECKED = "The sample ratio has not been checked, so the arms may not be comparable."
NO_LONGER_OFF = " By the last check no slice triggers any more, but only a restart reopens it."
ALL_PASSED = "Harm beyond the margin is ruled out for every guardrail."
STATUS_WORDS = {
    "ok": "computed",
    "no_data": "no data",
    "not_matured": "no profile has matured",
    "empty_arm": "an arm is empty",
    "no_variance": "all values are equal",
    "one_cluster": "only one household",
    "collinear": "the arm cannot be told from the covariates",
    "leverage_one": "one household decides it alone",
    "srm_blocked": "blocked by a sample ratio mismatch",
    "audit_failed": "blocked by a failed audit",
}


def of_faults(evidence: Evidence) -> tuple[str, ...]:
    """Why the day's numbers are not used, if so."""
    faults = []
    if evidence.has_srm:
        incident = evidence.incident
        slices = [each.name for each in incident.broken] if incident else []
        if incident:
            faults.append(of_incident(incident))
        faults.append(
            f"The arms do not have the planned sizes (sample ratio mismatch: {_some(slices)}), so their profiles may "
            "have differed from the beginning. The results are not used; find the cause, then restart."
        )
    if evidence.has_failed_audit:
        audits = [f"{fault.expectation} on {fault.table} of {fault.day}" for fault in evidence.failed_audits]
        faults.append(
            f"The data failed a critical audit ({_some(audits)}). The results are not used; mend the data first."
        )
    return tuple(faults)


def of_incident(incident: Incident) -> str:
    """Which slice, how far off and since when; without its checks, what it was blocked for."""
    culprit, first = incident.culprit, incident.broken[0]
    if culprit is None:
        return f"Sample ratio broken: {first.name}, since {wording.moment(first.since)}; {first.reason}."
    told = f"triggered {wording.moment(culprit.triggered_at)}{_exposed(culprit)}"
    return (
        f"Sample ratio broken: {_split(culprit.check)}, off since about {wording.moment(culprit.off_since)}; "
        f"{told}.{_rest(culprit)}{'' if incident.triggers else NO_LONGER_OFF}"
    )


def _split(check: SrmCheck) -> str:
    """'device tv, control 51.3% / treatment 48.7% of 31,546 profiles (planned 50% / 50%)'."""
    n_units, planned = sum(check.observed.values()), sum(check.expected.values())
    shares = {arm: expected / planned for arm, expected in check.expected.items()}
    observed = {arm: check.observed.get(arm, 0) / n_units for arm in shares}
    decimals = wording.decimals_for(100 * max(abs(observed[arm] - shares[arm]) for arm in shares))
    split = " / ".join(f"{arm} {wording.percent(observed[arm], decimals, signed=False)}" for arm in shares)
    plan = " / ".join(map(wording.share, shares.values()))
    return f"{name_of_slice(check.slice, check.slice_value)}, {split} of {n_units:,} {check.unit}s (planned {plan})"


def _exposed(culprit: Culprit) -> str:
    if culprit.exposed is None:
        return ""
    is_crossover = culprit.check.unit == CROSSOVER
    told = f", when {culprit.exposed:,} {PROFILE if is_crossover else culprit.check.unit}s were exposed"
    if culprit.is_everybody or culprit.exposed_of_slice is None:
        return told
    return f"{told}, {culprit.exposed_of_slice:,} of them {'crossovers' if is_crossover else 'in the slice'}"


def _rest(culprit: Culprit) -> str:
    if culprit.is_everybody:
        return " No slice alone explains it."
    if culprit.p_value_of_rest is None:
        return ""
    found = "fit the plan" if culprit.explains else "are off, too"
    it, p = "them" if culprit.check.unit == CROSSOVER else "it", wording.p_value(culprit.p_value_of_rest)
    return f" Without {it} the others {found} (p {p})."


def of_restart(restart: Restart) -> str:
    return (
        f"A restart ends this epoch: epoch {restart.epoch} begins on {restart.valid_from}, because: "
        f"{wording.sentence(restart.reason)} These numbers decide nothing any more."
    )


def of_waiting(evidence: Evidence) -> tuple[str, ...]:
    """How far each primary is from its boundary, and what is still to come."""
    primary, days = evidence.experiment.primary[0], (evidence.planned_end - evidence.analysis_day).days
    matured = matured_profiles([row for (metric, _), row in evidence.rows.items() if metric == primary])
    exposed = sum(exposed_by_arm(evidence.srm).values())
    progress = ""
    if matured is not None and exposed:
        part = wording.percent(matured / exposed, 0, signed=False)
        progress = f" So far {matured:,} of {exposed:,} exposed profiles ({part}) have matured."
    looked_at = tuple(of_primary(verdict, evidence) for verdict in evidence.primaries if verdict.look)
    last = f"on {evidence.planned_end}, in {wording.days(days)}"
    if looked_at:
        return (*looked_at, f"The last look is {last}.{progress}")
    unknown = tuple(
        of_primary(verdict, evidence)
        for verdict in evidence.primaries
        if verdict.verdict == "not computable" and _status(verdict, evidence) != STATUS_WORDS["not_matured"]
    )
    if unknown:
        return (*unknown, f"The last look is {last}.{progress}")
    if any(metric in evidence.planned for metric in evidence.experiment.primary):
        return (
            f"No profile's window is complete yet for the primary metric; the last look is {last}.{progress}",
        )
    return (
        "No maximum of information was registered, so the primary metric is read once, when every enrolled profile "
        f"has matured: {last}.{progress}",
    )


def of_closed(since: date | None) -> str:
    """Rolled back, closed by people, or not opened in a new epoch yet."""
    return (
        f"Its share is 0{f' since {since}' if since else ''}: nobody is enrolled until people open it again."
    )


def of_young_stage(stage: float, min_days: int, until: date) -> str:
    return f"The stage of {wording.share(stage)} runs for at least {wording.days(min_days)}, to {until}."


def of_finished_stage(stage: float, days: int) -> str:
    return f"No guardrail was breached in {wording.days(days)} at {wording.share(stage)} of profiles."


def of_accepted(evidence: Evidence) -> tuple[str, ...]:
    """What people took on, and why."""
    return tuple(
        f"{wording.label(metric)} rolls nothing back, as people decided: {wording.sentence(reason)}"
        for metric, reason in evidence.accepted.items()
    )


def of_open_guardrails(evidence: Evidence) -> tuple[str, ...]:
    verdicts = evidence.guardrails
    if verdicts and all(verdict.verdict == "passed" for verdict in verdicts):
        return (ALL_PASSED,)
    return tuple(of_guardrail(verdict, evidence) for verdict in verdicts if verdict.verdict != "passed")


def of_guardrail(verdict: GuardrailVerdict, evidence: Evidence) -> str:
    name = _subject(verdict, evidence)
    if verdict.harm is None:
        return f"{name} cannot be computed ({_status(verdict, evidence)})."
    decimals = wording.decimals_for(verdict.margin)
    interval = (
        f"{wording.number(verdict.harm_low, decimals)} to {wording.number(verdict.harm_high, decimals)}"
    )
    margin = wording.number(verdict.margin, decimals)
    level = f"{wording.share(1 - evidence.experiment.alpha)} repeated"
    if verdict.verdict == "breached":
        harm = wording.number(verdict.harm, decimals)
        return (
            f"{name} is worse by {harm} ({level} interval {interval}), which reaches the margin of {margin}."
        )
    if verdict.verdict == "passed":
        return (
            f"{name} passed: harm beyond the margin of {margin} is ruled out ({level} interval {interval})."
        )
    return f"{name} is undecided: harm beyond the margin of {margin} is not ruled out ({level} interval {interval})."


def of_primary(verdict: PrimaryVerdict, evidence: Evidence) -> str:
    name, look = _subject(verdict, evidence), verdict.look
    row = evidence.rows.get((verdict.metric, verdict.arm))
    now = _change(row, evidence) if row and row.status == "ok" else None
    if look and verdict.verdict in ("better", "worse"):
        since = (
            f"; on {evidence.analysis_day}: {now}"
            if now and look.analysis_day < evidence.analysis_day
            else ""
        )
        change = f": {now}" if now and not since else f" ({_repeated(look)})"
        at = f"look {look.look}, of {look.analysis_day} ({_distance(look)})"
        return f"{name} is significantly {verdict.verdict}{change}; it crossed at {at}{since}."
    if row is None or now is None or verdict.verdict == "not computable":
        return f"{name} cannot be computed ({_status(verdict, evidence)})."
    if look is None:
        return f"{name} has not been looked at yet: {now}."
    at = f"look {look.look}, of {look.analysis_day} ({_distance(look)})"
    if verdict.verdict == "not significant":
        return f"{name} shows no significant change by {at}: {now}{_power(row, evidence)}."
    part = wording.percent(look.information_fraction, 0, signed=False)
    left = f"{name} has not crossed by {at}: {now}; {part} of the planned information is in"
    if verdict.verdict == "futile":
        chance = wording.percent(verdict.conditional_power, 0, signed=False)
        return f"{left}. Even if the effect sought is real, its chance to cross by the end is {chance}."
    return f"{left}."


def _repeated(look: LookRow) -> str:
    """The effect at a look, in the metric's unit, with its repeated interval."""
    error = look.information**-0.5
    decimals = wording.decimals_for(error)
    effect, low, high = (
        wording.number(value, decimals, signed=True)
        for value in (look.statistic * error, look.repeated_ci_low, look.repeated_ci_high)
    )
    return f"{effect}, repeated interval {low} to {high}"


def _distance(look: LookRow) -> str:
    """'z 5.00, boundary 2.41'; no boundary where the look brought nothing new."""
    boundary = "none" if look.z_boundary is None else f"{look.z_boundary:.2f}"
    return f"z {wording.number(look.statistic, 2)}, boundary {boundary}"


def _power(row: Estimate, evidence: Evidence) -> str:
    """Whether the test was large enough to say more: no effect is not the same as no power."""
    if row.mde is None or not row.control_mean:
        return ""
    detectable, sought = row.mde / abs(row.control_mean), evidence.experiment.mde_relative
    smallest = wording.percent(detectable, signed=False)
    if detectable > sought:
        return (
            f"; this test could count on detecting {smallest} or more and the design sought "
            f"{wording.percent(sought, signed=False)}, so it cannot rule a smaller change out"
        )
    return f"; a change of {smallest} would most likely have been detected"


def _change(row: Estimate, evidence: Evidence) -> str:
    level = wording.share(1 - evidence.experiment.alpha)
    low, high = wording.percent(row.relative_ci_low), wording.percent(row.relative_ci_high)
    return f"{wording.percent(row.relative_effect)} ({level} interval {low} to {high})"


def _subject(verdict: GuardrailVerdict | PrimaryVerdict, evidence: Evidence) -> str:
    name = wording.label(verdict.metric)
    return f"{name} in {verdict.arm}" if len(evidence.experiment.treatments) > 1 else name


def _status(verdict: GuardrailVerdict | PrimaryVerdict, evidence: Evidence) -> str:
    row = evidence.rows.get((verdict.metric, verdict.arm))
    return STATUS_WORDS.get(row.status, row.status) if row else "no row in estimates"


def slice_name(check: SrmCheck) -> str:
    return (
        f"{check.unit}s overall"
        if check.slice == ALL
        else f"{check.unit}s, {check.slice} {check.slice_value}"
    )


def _some(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return wording.listing(names) or "found by an earlier check"
