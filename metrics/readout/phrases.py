"""Phrases that the terminal and the page share."""

from collections.abc import Sequence

from metrics import wording
from metrics.readout.model import Readout
from metrics.reasons import slice_name
from metrics.rows import Estimate, LookRow, RolloutDecision, SrmCheck
from metrics.statistics.results import OK

# A share of alpha below which a rounding error is all that is left.
_NOTHING_LEFT = 1e-9
_ACTIONS = {
    "ship": "Ship",
    "hold": "Hold",
    "rollback": "Roll back",
    "stop": "Stop, do not ship",
    "advance": "Advance",
}


def headline(readout: Readout) -> str:
    """'Ship treatment', 'Advance from 5% to 20%', 'Hold'."""
    decision = readout.decision
    action = _ACTIONS[decision.action]
    if decision.action == "ship":
        return f"{action} {decision.arm}"
    if decision.action == "advance":
        return f"{action} from {wording.share(decision.stage_from)} to {wording.share(decision.stage_to)}"
    return action


def epoch_sentence(readout: Readout) -> str:
    """Which epoch it is; empty where there was no restart."""
    begun = readout.restart
    if begun is None:
        return ""
    left_out = "Profiles exposed before are left out."
    return (
        f"Epoch {begun.epoch}, restarted on {begun.valid_from}: {wording.sentence(begun.reason)} {left_out}"
    )


def people_sentences(readout: Readout) -> tuple[str, ...]:
    """What people changed after the start: of the experiment file, and of the rollout."""
    amended = (
        f"Experiment file amended on {each.day}: {wording.sentence(each.reason)}"
        for each in readout.amendments
    )
    decided = (
        f"{_unchanged(each)} by people from {each.decided_for:%Y-%m-%d} on: {wording.sentence(each.reasons[0])}"
        f"{_gap(each, readout)}"
        for each in readout.overrides
    )
    return (*amended, *decided)


def _unchanged(each: RolloutDecision) -> str:
    if each.stage_from == each.stage_to:
        return f"Share kept at {wording.share(each.stage_to)}"
    return f"Share set from {wording.share(each.stage_from)} to {wording.share(each.stage_to)}"


def _gap(each: RolloutDecision, readout: Readout) -> str:
    if each.stage_from or not each.stage_to or each.decided_for.date() <= readout.start:
        return ""
    return " Who was exposed before was not treated in between, which dilutes effects; a restart leaves them out."


def srm_sentence(readout: Readout) -> str:
    srm = readout.srm
    if not srm.is_gate:
        return "not a randomized experiment, so there is no planned ratio to check."
    if not srm.checks:
        return "not checked yet."
    smallest = srm.smallest_p
    p = (
        f"smallest p {wording.p_value(smallest.p_value)} ({slice_name(smallest)})"
        if smallest
        else "no p value"
    )
    if srm.triggered:
        return f"MISMATCH in {len(srm.triggered)} of {len(srm.checks)} slices; {p}."
    if srm.incident:
        names = some([each.name for each in srm.incident.broken])
        return f"MISMATCH before ({names}), though none in the {len(srm.checks)} slices checked last; {p}."
    return f"as planned in all {len(srm.checks)} slices checked; {p}."


def balance_sentence(readout: Readout) -> str:
    """Were the arms alike before the exposure?"""
    found = readout.balance
    if found is None:
        return "not known yet."
    several = readout.has_several_treatments
    tests = [
        f"covariates together {f'in {row.arm} ' if several else ''}p {wording.p_value(row.p_value)}"
        for row in found.of_everybody
        if row.p_value is not None
    ]
    if found.strata:
        tests.append(f"strata p {wording.p_value(found.strata.p_value)}")
    if worst := found.furthest:
        apart = wording.number(worst.standardized, 3, signed=True)
        tests.append(f"furthest {worst.covariate}, {apart} standard deviations")
    told = "; ".join(tests) or "nothing to compare"
    return f"{'THE ARMS DIFFERED' if found.is_suspect else 'the arms were alike'}: {told}."


def household_sentences(readout: Readout) -> list[str]:
    """How many households hold different arms, and whether that matters; nothing where households are randomized."""
    if not readout.spillover or not readout.is_trusted:
        return []
    first = readout.spillover[0]
    mixed, shared = wording.count(first.n_mixed_households), wording.count(first.n_shared_households)
    told = [f"{mixed} of {shared} households with several profiles hold different arms."]
    for row in readout.spillover:
        if row.status != OK or row.effect is None or row.ci_low is None or row.ci_high is None:
            continue
        decimals = wording.decimals_for(row.std_error)
        low, effect, high = (
            wording.number(value, decimals, signed=True) for value in (row.ci_low, row.effect, row.ci_high)
        )
        is_clear = row.adjusted_p_value is not None and row.adjusted_p_value < 1 - readout.level
        meaning = (
            "arms reach across a household, which the difference between them leaves out"
            if is_clear
            else "no sign that arms reach across a household"
        )
        p = wording.p_value(row.adjusted_p_value)
        told.append(
            f"Housemates in {row.arm} change a profile's {wording.label(row.metric).lower()} by {effect} "
            f"({wording.share(readout.level)} interval {low} to {high}, p {p}): {meaning}."
        )
    return told


def remainder(look: LookRow, readout: Readout) -> str:
    """What is left of one comparison after a look: of its alpha, of the information planned, of the looks to come."""
    plan = readout.plan_of(look.metric)
    alpha = plan.alpha - look.alpha_spent
    days = (plan.last_look - look.analysis_day).days
    if days <= 0:
        return "this was the last look"
    if alpha < plan.alpha * _NOTHING_LEFT:
        return "nothing is left to spend"
    information = wording.percent(max(1 - look.information_fraction, 0.0), 0, signed=False)
    looks = "the last look" if days == 1 else f"{days} looks"
    return (
        f"{wording.number(alpha, 4)} of alpha, {information} of the planned information and {looks}, to "
        f"{plan.last_look}, remain"
    )


def quality_sentence(readout: Readout) -> str:
    quality = readout.quality
    if not quality.n_expectations:
        return "no audit results recorded."
    critical = sum(failure.severity == "critical" for failure in quality.failures)
    warnings = len(quality.failures) - critical
    if not quality.failures:
        return f"all {quality.n_expectations:,} expectations held."
    noun = "warning" if warnings == 1 else "warnings"
    return f"{quality.n_expectations:,} expectations, {critical} critical failures, {warnings} {noun}."


def observed(check: SrmCheck) -> str:
    return " / ".join(f"{arm} {wording.count(n)}" for arm, n in check.observed.items())


def detectable(row: Estimate) -> str:
    """The minimum detectable effect in per cent of the control mean."""
    if row.mde is None or not row.control_mean:
        return wording.MISSING
    return wording.percent(row.mde / abs(row.control_mean), signed=False)


def differences(readout: Readout, metric: str) -> str:
    """Whether an effect differs between the levels of each segmentation; nothing where that is not known."""
    tests = [test for test in readout.interactions if test.metric == metric and test.p_value is not None]
    if not tests or not readout.is_trusted:
        return ""
    told = [
        f"{test.segment.replace('_', ' ')}{f' ({test.arm})' if readout.has_several_treatments else ''} "
        f"p {wording.p_value(test.p_value)}"
        for test in tests
    ]
    return f"Tests that the effect is the same at every level: {', '.join(told)}."


def some(values: Sequence[str]) -> str:
    return ", ".join(values[:3]) + (f" and {len(values) - 3} more" if len(values) > 3 else "") or "unknown"
