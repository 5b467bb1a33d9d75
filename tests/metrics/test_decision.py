"""Every branch of the gate, from rows as the tables hold them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from metrics.decision import Decision, Stage, decide
from metrics.enrollment import EnrollmentSlice
from metrics.evidence import gather
from metrics.rows import Estimate, QualityResult, SrmCheck, row_of
from tests.result_rows import DAY, EXPERIMENT, configuration, crash_rate, empty, estimate, quality, srm_check

TWO_TREATMENTS = EXPERIMENT.replace("{control: 0.5, treatment: 0.5}", "{control: 0.5, a: 0.25, b: 0.25}")
NULL: dict[str, Any] = {"effect": 0.02, "p_value": 0.8, "relative_effect": 0.002}


class Gate:
    """decide() on table rows, with one SRM check that is fine unless others are given."""

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
    ) -> Decision:
        evidence = gather(
            self.experiment,
            self.catalogue,
            day,
            [row_of(Estimate, row) for row in estimates],
            [row_of(SrmCheck, row) for row in ([srm_check()] if checks is None else checks)],
            [row_of(QualityResult, row) for row in audits],
            enrollment,
        )
        return decide(evidence, stage)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_ships_at_the_planned_end_when_the_primary_won_and_guardrails_passed(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()])
    assert (decision.action, decision.arm) == ("ship", "treatment")
    assert decision.reasons == (
        "Play starts (7 days) is significantly better: +5.0% (95% interval +3.0% to +7.0%, p <0.001).",
        "Harm beyond the margin is ruled out for every guardrail.",
    )
    assert decision.stage_from == decision.stage_to == 0.5


def test_holds_before_the_planned_end_however_strong_the_primary_is(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate()], day=DAY - timedelta(days=1))
    assert decision.action == "hold"
    assert decision.planned_end == DAY
    assert decision.primaries[0].verdict == "not due"
    assert decision.reasons[0] == (
        "The primary metric is read once, when every enrolled profile has matured: on 2026-03-21, in 1 day. "
        "So far 18,010 of 20,000 exposed profiles (90%) have matured."
    )


def test_a_breached_guardrail_rolls_back_on_any_day(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate(0.0006)], day=DAY - timedelta(days=10))
    assert (decision.action, decision.stage_to) == ("rollback", 0.0)
    assert decision.reasons == (
        "Crash rate is worse by 0.00060 (95% interval 0.00040 to 0.00080), which reaches the margin of 0.00050.",
    )


@pytest.mark.parametrize(
    ("effect", "half_width", "verdict"),
    [
        (0.0005, 0.0004, "breached"),  # L > 0 and h = m
        (0.0004, 0.0003, "undecided"),  # harm for sure, but less than the margin so far
        (0.0006, 0.0007, "undecided"),  # at the margin, but not for sure harm
        (0.0002, 0.0002, "passed"),  # U < m
        (0.0002, 0.0003, "undecided"),  # U = m
        (-0.002, 0.0001, "passed"),
    ],
)
def test_guardrail_verdicts(gate: Gate, effect: float, half_width: float, verdict: str) -> None:
    row = crash_rate(effect, ci_low=round(effect - half_width, 9), ci_high=round(effect + half_width, 9))
    assert gate([estimate(), row]).guardrails[0].verdict == verdict


def test_harm_of_a_metric_where_higher_is_better_is_its_fall(tmp_path: Path) -> None:
    gate = Gate(tmp_path, EXPERIMENT.replace("{crash_rate: {margin: 0.0005}}", "{active_7d: {margin: 0.01}}"))
    fall = crash_rate(-0.02, metric="active_7d", estimator="cuped", ci_low=-0.03, ci_high=-0.01)
    verdict = gate([estimate(), fall]).guardrails[0]
    assert (verdict.verdict, verdict.harm, verdict.harm_low, verdict.harm_high) == (
        "breached",
        0.02,
        0.01,
        0.03,
    )


def test_holds_when_the_primary_won_but_a_guardrail_is_open(gate: Gate) -> None:
    decision = gate([estimate(), crash_rate(0.0003, 0.0004)])
    assert decision.action == "hold"
    assert decision.reasons[1] == (
        "Crash rate is undecided: harm beyond the margin of 0.00050 is not ruled out "
        "(95% interval −0.00010 to 0.00070)."
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


def test_significance_is_at_the_level_of_the_row(gate: Gate) -> None:
    assert gate([estimate(p_value=0.03, alpha=0.025), crash_rate()]).action == "stop"
    assert gate([estimate(p_value=0.02, alpha=0.025), crash_rate()]).action == "ship"


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
    rows = [estimate(), crash_rate(0.0003, 0.0004)]
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
