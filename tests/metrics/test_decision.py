"""Every branch of the gate, from rows as the tables hold them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from metrics.decision import Decision, Stage, decide
from metrics.enrollment import EnrollmentSlice
from metrics.evidence import gather
from metrics.gate import FUTILITY, replayed
from metrics.rows import Estimate, QualityResult, SrmCheck, row_of
from tests.result_rows import DAY, EXPERIMENT, configuration, crash_rate, empty, estimate, quality, srm_check

START = date(2026, 3, 2)
TWO_TREATMENTS = EXPERIMENT.replace("{control: 0.5, treatment: 0.5}", "{control: 0.5, a: 0.25, b: 0.25}")
NULL: dict[str, Any] = {"effect": 0.02, "relative_effect": 0.002}
# As much information as a standard error of 0.05 brings.
PLANNED = {"play_starts_7d": 400.0}


class Gate:
    """decide() on table rows of the day, with one SRM check that is fine unless others are given."""

    def __init__(self, folder: Path, text: str = EXPERIMENT) -> None:
        self.experiment, self.catalogue = configuration(folder, text)

    def __call__(
        self,
        estimates: Sequence[Mapping[str, Any]],
        checks: Sequence[Mapping[str, Any]] | None = None,
        audits: Sequence[Mapping[str, Any]] = (),
        day: date = DAY,
        stage: Stage | None = None,
        enrollment: Sequence[EnrollmentSlice] = (),
        history: Sequence[Mapping[str, Any]] = (),
        planned: Mapping[str, float] | None = None,
        accepted: Mapping[str, str] | None = None,
    ) -> Decision:
        evidence = gather(
            self.experiment,
            self.catalogue,
            day,
            [row_of(Estimate, {**row, "analysis_day": day}) for row in estimates],
            [row_of(SrmCheck, row) for row in ([srm_check()] if checks is None else checks)],
            [row_of(QualityResult, row) for row in audits],
            enrollment,
            [row_of(Estimate, row) for row in history],
            planned,
            accepted,
        )
        decision = decide(evidence, stage)
        assert_replayed(decision)
        return decision


def assert_replayed(decision: Decision) -> None:
    """What a decision row keeps leads to the same answer."""
    kept = json.loads(json.dumps(asdict(decision.facts) | {"futility": FUTILITY}, default=str))
    found = replayed(kept)
    assert (found.action, found.stage_to, found.arm) == (decision.action, decision.stage_to, decision.arm)


# A guardrail that was looked at with all the information of its plan: the boundary stays at its 1.96.
ALL_SPENT = crash_rate(0.0, 0.0002, analysis_day=DAY - timedelta(days=1))
BOUNDARY = 1.9604


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_ships_at_the_planned_end_when_the_primary_won_and_guardrails_passed(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()])
    assert (decision.action, decision.arm) == ("ship", "treatment")
    assert decision.reasons == (
        "Play starts (7 days) is significantly better: +5.0% (95% interval +3.0% to +7.0%); it crossed at look 20, "
        "of 2026-03-21 (z 4.99, boundary 1.96).",
        "Harm beyond the margin is ruled out for every guardrail.",
    )
    assert decision.stage_from == decision.stage_to == 0.5


def test_without_a_registered_maximum_the_primary_waits_for_the_planned_end(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()], day=DAY - timedelta(days=1))
    assert decision.action == "hold"
    assert decision.planned_end == DAY
    assert decision.primaries[0].verdict == "open"
    assert decision.reasons[0] == (
        "No maximum of information was registered, so the primary metric is read once, when every enrolled profile has "
        "matured: on 2026-03-21, in 1 day. So far 18,010 of 20,000 exposed profiles (90%) have matured."
    )


def test_a_breached_guardrail_rolls_back_on_any_day(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate(0.0006)], day=DAY - timedelta(days=10))
    assert (decision.action, decision.stage_to) == ("rollback", 0.0)
    assert decision.reasons == (
        "Crash rate is worse by 0.00060 (95% repeated interval 0.00040 to 0.00080), which "
        "reaches the margin of 0.00050.",
    )


@pytest.mark.parametrize(
    ("effect", "half_width", "verdict"),
    [
        (0.0005, 0.0004, "breached"),  # L > 0 and h = m
        (0.0004, 0.0003, "undecided"),  # harm for sure, but less than the margin so far
        (0.0006, 0.0007, "undecided"),  # at the margin, but not for sure harm
        (0.0002, 0.0002, "passed"),  # U < m
        (0.0002, 0.00030001, "undecided"),  # U = m
        (-0.002, 0.0001, "passed"),
    ],
)
def test_guardrail_verdicts(gate: Gate, effect: float, half_width: float, verdict: str) -> None:
    row = crash_rate(effect, std_error=half_width / BOUNDARY * (1 - 1e-9))
    assert gate([estimate(), row], history=[ALL_SPENT]).guardrails[0].verdict == verdict


def test_harm_of_a_metric_where_higher_is_better_is_its_fall(tmp_path: Path) -> None:
    gate = Gate(tmp_path, EXPERIMENT.replace("{crash_rate: {margin: 0.0005}}", "{active_7d: {margin: 0.01}}"))
    fall = crash_rate(-0.02, metric="active_7d", estimator="cuped", std_error=0.001)
    verdict = gate([estimate(), fall]).guardrails[0]
    assert (verdict.verdict, verdict.harm) == ("breached", 0.02)
    assert (verdict.harm_low, verdict.harm_high) == pytest.approx((0.02 - 0.00196, 0.02 + 0.00196), abs=1e-5)


def test_holds_when_the_primary_won_but_a_guardrail_is_open(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate(0.0004)])
    assert decision.action == "hold"
    assert decision.reasons[1] == (
        "Crash rate is undecided: harm beyond the margin of 0.00050 is not ruled out "
        "(95% repeated interval 0.00020 to 0.00060)."
    )


def test_a_guardrail_without_a_row_is_not_computable_and_holds(gate: Gate) -> None:
    decision = gate([estimate()])
    assert (decision.action, decision.guardrails[0].verdict) == ("hold", "not computable")
    assert decision.reasons[1] == "Crash rate cannot be computed (no row in estimates)."


def test_rolls_back_at_the_planned_end_when_the_primary_is_significantly_worse(gate: Gate) -> None:
    decision = gate([estimate(effect=-0.5, relative_effect=-0.05), crash_rate()])
    assert (decision.action, decision.primaries[0].verdict) == ("rollback", "worse")


def test_stops_without_power_and_says_so(gate: Gate) -> None:
    decision = gate([estimate(**NULL), crash_rate()])
    assert (decision.action, decision.stage_to) == ("stop", 0.5)
    assert decision.reasons[0].endswith(
        "this test could count on detecting 2.8% or more and the design sought 1.0%, "
        "so it cannot rule a smaller change out."
    )


def test_stops_without_effect_and_says_so(gate: Gate) -> None:
    decision = gate([estimate(**NULL, mde=0.05), crash_rate()])
    assert decision.action == "stop"
    assert decision.reasons[0].endswith("a change of 0.5% would most likely have been detected.")


def test_holds_when_the_primary_cannot_be_computed(gate: Gate) -> None:
    decision = gate([empty(status="no_variance"), crash_rate()])
    assert decision.action == "hold"
    assert decision.reasons == ("Play starts (7 days) cannot be computed (all values are equal).",)


def test_the_level_is_split_over_the_arms_and_few_households_need_more(tmp_path: Path) -> None:
    gate = Gate(tmp_path, TWO_TREATMENTS)
    strong = {"effect": 0.23, "relative_effect": 0.023}  # p 0.021, below 0.025
    assert gate(arms(strong, NULL)).action == "ship"
    assert gate(arms({"effect": 0.22}, NULL)).action == "stop"
    assert gate(arms({**strong, "df": 20.0}, NULL)).action == "stop"


def days_before(count: int, **changed: Any) -> dict[str, Any]:
    return estimate(analysis_day=DAY - timedelta(days=count), **changed)


def test_a_crossing_ships_before_the_end_and_stays_crossed(gate: Gate) -> None:
    day = DAY - timedelta(days=5)
    safe = [estimate(std_error=0.1), crash_rate()]
    decision = gate(safe, day=day, planned=PLANNED)
    assert (decision.action, decision.primaries[0].verdict) == ("ship", "better")
    weaker = gate([estimate(**NULL), crash_rate()], history=[days_before(1)], planned=PLANNED)
    assert weaker.action == "ship"
    assert "crossed at look 19, of 2026-03-20" in weaker.reasons[0]
    against = gate(safe, history=[days_before(1, effect=-0.5)], planned=PLANNED, stage=Stage(0.05))
    assert (against.action, against.stage_to) == ("rollback", 0.0)


def test_a_look_whose_own_audit_failed_does_not_count(gate: Gate) -> None:
    absurd = days_before(1, effect=-5.0)
    audits = [quality(success=False, table="estimates", day=DAY - timedelta(days=1))]
    safe = [estimate(**NULL), crash_rate()]
    assert gate(safe, audits=audits, history=[absurd], planned=PLANNED).action == "stop"
    assert gate(safe, history=[absurd], planned=PLANNED).action == "rollback"


def test_what_crossed_is_told_by_its_own_look_though_today_has_no_number(gate: Gate) -> None:
    gone = gate([empty(status="no_variance"), crash_rate()], history=[days_before(1)], planned=PLANNED)
    assert gone.action == "ship"
    assert gone.reasons[0].startswith(
        "Play starts (7 days) is significantly better (+0.50, repeated interval +0.2"
    )
    turned = gate(
        [
            estimate(effect=-0.05, relative_effect=-0.005, relative_ci_low=-0.02, relative_ci_high=0.01),
            crash_rate(),
        ],
        history=[days_before(1)],
        planned=PLANNED,
    )
    assert "on 2026-03-21: −0.5% (95% interval −2.0% to +1.0%)" in turned.reasons[0]


def test_what_would_do_at_one_look_does_not_at_many(gate: Gate) -> None:
    """z of 2.1 at half of the information: above 1.96, below the boundary."""
    day = DAY - timedelta(days=5)
    decision = gate([estimate(effect=0.1485, std_error=0.0707), crash_rate()], day=day, planned=PLANNED)
    assert decision.action == "hold"
    verdict = decision.primaries[0]
    assert verdict.verdict == "open" and verdict.look is not None
    assert verdict.look.alpha_spent == pytest.approx(0.05 * math.log(1 + (math.e - 1) * 0.5), rel=1e-3)
    assert verdict.look.z_boundary == pytest.approx(2.157, abs=0.01)


def test_an_early_crossing_skips_to_the_last_stage_after_the_minimum_days(gate: Gate) -> None:
    rows, day = [estimate(), crash_rate()], DAY - timedelta(days=8)
    young = gate(rows, day=day, stage=Stage(0.05, day), planned=PLANNED)
    grown = gate(rows, day=day, stage=Stage(0.05, day - timedelta(days=1)), planned=PLANNED)
    assert young.action == "hold"
    assert (grown.action, grown.stage_to) == ("advance", 0.5)
    assert "significantly better" in grown.reasons[0]


def test_stops_for_futility_at_the_last_stage_alone(gate: Gate) -> None:
    rows, day = [estimate(**NULL, std_error=0.055), crash_rate()], DAY - timedelta(days=3)
    last = gate(rows, day=day, planned=PLANNED)
    assert (last.action, last.primaries[0].verdict) == ("stop", "futile")
    assert "its chance to cross by the end is" in last.reasons[0]
    assert gate(rows, day=day, stage=Stage(0.2, START), planned=PLANNED).action == "advance"
    early = gate([estimate(**NULL, std_error=0.2), crash_rate()], day=day, planned=PLANNED)
    assert (early.action, early.primaries[0].verdict) == ("hold", "open")


def test_the_last_look_spends_what_is_left(gate: Gate) -> None:
    decision = gate([estimate(effect=0.203), crash_rate()], planned=PLANNED)
    assert decision.action == "ship"
    look = decision.primaries[0].look
    assert look is not None and look.alpha_spent == 0.05 and look.information_fraction == pytest.approx(0.25)


def test_only_the_decision_estimator_decides(gate: Gate) -> None:
    other = estimate(estimator="ols", effect=-0.5)
    assert gate([other, estimate(), crash_rate()]).action == "ship"


def test_a_sample_ratio_mismatch_holds_and_outweighs_a_breach(gate: Gate) -> None:
    checks = [srm_check(), srm_check(slice="device", slice_value="tv", triggered=True)]
    decision = gate([estimate(), crash_rate(0.01)], checks)
    assert decision.action == "hold"
    assert "Sample ratio broken: device tv, " in decision.reasons[0]
    assert "sample ratio mismatch: device tv" in decision.reasons[1]
    assert {verdict.verdict for verdict in decision.guardrails} == {"not computable"}
    assert {verdict.verdict for verdict in decision.primaries} == {"not computable"}


def test_only_the_latest_cumulative_check_triggers(gate: Gate) -> None:
    end = srm_check()["window_end"]
    old = srm_check(window_end=end - timedelta(days=1), triggered=True)
    hourly = srm_check(window_kind="hour", triggered=True)
    assert gate([estimate(), crash_rate()], [srm_check(), old, hourly]).action == "ship"


def test_a_blocked_slice_holds_though_it_does_not_trigger_any_more(gate: Gate) -> None:
    tv = EnrollmentSlice("homepage", 0, "device", "tv", "blocked", "sample ratio", srm_check()["window_end"])
    decision = gate([estimate(), crash_rate()], enrollment=[tv])
    assert decision.action == "hold"
    assert decision.reasons[0] == (
        "Sample ratio broken: device tv, since 2026-03-22 00:00 UTC; sample ratio."
    )


def test_after_a_rollback_a_broken_sample_ratio_is_told_as_well(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()], [srm_check(triggered=True)], stage=Stage(0.0))
    assert decision.action == "rollback"
    assert [reason[:20] for reason in decision.reasons] == [
        "Its share is 0: nobo",
        "Sample ratio broken:",
        "The arms do not have",
    ]


def test_rows_marked_as_blocked_are_not_used(gate: Gate) -> None:
    for status in ("srm_blocked", "audit_failed"):
        assert gate([estimate(status=status), crash_rate(status=status)]).action == "hold"


def test_an_unchecked_sample_ratio_holds_but_does_not_delay_a_rollback(gate: Gate) -> None:
    assert gate([estimate(), crash_rate()], checks=[]).action == "hold"
    assert gate([estimate(), crash_rate(0.01)], checks=[]).action == "rollback"


def test_observational_data_have_no_sample_ratio_to_check(tmp_path: Path) -> None:
    gate = Gate(tmp_path, EXPERIMENT + "randomized_by: none\n")
    assert gate([estimate(), crash_rate()], checks=[]).action == "ship"


def test_a_failed_critical_audit_holds(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()], audits=[quality(success=False)])
    assert decision.action == "hold"
    assert "event_id is unique on events of 2026-03-18" in decision.reasons[0]


def test_a_failed_warning_and_an_old_windows_audit_do_not_hold(gate: Gate) -> None:
    audits = [quality(success=False, severity="warning"), quality(success=False, table="profile_windows")]
    assert gate([estimate(), crash_rate()], audits=audits).action == "ship"


def test_earlier_stages_advance_after_the_minimum_days_unless_breached(gate: Gate) -> None:
    since = DAY - timedelta(days=1)
    rows = [estimate(**NULL), crash_rate(0.0003, 0.0004)]
    young = gate(rows, stage=Stage(0.05, DAY))
    assert young.action == "hold"
    assert young.reasons == ("The stage of 5% runs for at least 2 days, to 2026-03-22.",)
    grown = gate(rows, stage=Stage(0.05, since))
    assert (grown.action, grown.stage_from, grown.stage_to) == ("advance", 0.05, 0.2)
    assert gate([estimate(), crash_rate(0.01)], stage=Stage(0.05, since)).action == "rollback"


def arms(a: Mapping[str, Any], b: Mapping[str, Any], harm_a: float = 0.0) -> list[dict[str, Any]]:
    primaries = [estimate(arm="a", **a), estimate(arm="b", **b)]
    return [*primaries, crash_rate(harm_a, arm="a"), crash_rate(arm="b")]


def test_of_two_winners_the_stronger_ships(tmp_path: Path) -> None:
    gate = Gate(tmp_path, TWO_TREATMENTS)
    assert gate(arms({"statistic": 4.0}, {"statistic": 5.0})).arm == "b"
    assert gate(arms({"statistic": 5.0}, {"statistic": 5.0})).arm == "a"


def test_a_treatment_ships_on_its_own_guardrails(tmp_path: Path) -> None:
    gate = Gate(tmp_path, TWO_TREATMENTS)
    decision = gate(arms({"statistic": 9.0}, {}, harm_a=0.0004))
    assert (decision.action, decision.arm) == ("ship", "b")


def test_one_treatment_against_rolls_back_although_another_won(tmp_path: Path) -> None:
    gate = Gate(tmp_path, TWO_TREATMENTS)
    decision = gate(arms({"effect": -0.5, "relative_effect": -0.05}, {}))
    assert decision.action == "rollback"
    assert decision.reasons[0].startswith("Play starts (7 days) in a is significantly worse: −")


def test_a_replay_finds_each_verdict_again_from_its_numbers(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()])
    kept = json.loads(json.dumps(asdict(decision.facts) | {"futility": FUTILITY}, default=str))
    assert replayed(kept).action == "ship"
    (guardrail,) = kept["guardrails"]
    guardrail["margin"] = -0.01
    guardrail["harm_low"] = 0.00001
    assert replayed(kept).action == "rollback"
    del kept["accepted"]
    with pytest.raises(KeyError):
        replayed(kept)


def test_a_harm_that_people_took_on_rolls_nothing_back_and_is_told(gate: Gate) -> None:
    why = {"crash_rate": "a broken counter", "play_starts_7d": "sought so"}
    decision = gate([estimate(), crash_rate(0.0006)], accepted=why)
    assert (decision.action, decision.guardrails[0].verdict) == ("ship", "breached")
    assert decision.reasons[-2:] == (
        "Crash rate rolls nothing back, as people decided: a broken counter.",
        "Play starts (7 days) rolls nothing back, as people decided: sought so.",
    )
    undecided = gate([estimate(), crash_rate(0.0004)], accepted=why)
    assert (undecided.action, undecided.guardrails[0].verdict) == ("hold", "undecided")
    worse = estimate(effect=-0.5, relative_effect=-0.05)
    assert gate([worse, crash_rate(0.0006)], accepted=why).action == "stop"
    assert gate([worse, crash_rate(0.0006)], accepted={"play_starts_7d": "sought so"}).action == "rollback"
