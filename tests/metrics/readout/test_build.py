from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from metrics.configuration.experiment import Restart
from metrics.enrollment import Restarts, row_of_restart
from metrics.errors import InputError
from metrics.readout.page import render_page
from metrics.readout.terminal import render_text
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import DAY, EXPERIMENT, crash_rate, empty, estimate, srm_check, usual_estimates


def test_metrics_in_file_order_with_their_readings(tmp_path: Path) -> None:
    readings = readout_of(tmp_path).metrics
    assert [(r.estimate.metric, r.reading.kind) for r in readings] == [
        ("play_starts_7d", "better"),
        ("watch_minutes_7d", "no power"),
        ("crash_rate", "passed"),
    ]
    assert readings[2].margin == 0.0005


def test_no_effect_is_told_apart_from_no_power(tmp_path: Path) -> None:
    narrow: dict[str, Any] = {"effect": 0.01, "ci_low": -0.03, "ci_high": 0.05, "mde": 0.06, "p_value": 0.6}
    wide: dict[str, Any] = {"effect": 0.01, "ci_low": -0.3, "ci_high": 0.32, "mde": 0.45, "p_value": 0.9}
    between: dict[str, Any] = {"effect": 0.06, "ci_low": -0.01, "ci_high": 0.13, "mde": 0.1, "p_value": 0.09}
    rows = [
        estimate(segment="device", segment_value=str(n), **row)
        for n, row in enumerate((narrow, wide, between))
    ]
    kinds = [s.reading.kind for s in readout_of(tmp_path, estimates=[*usual_estimates(), *rows]).segments[2:]]
    # mde_relative is 1% of a control mean of 10: a change of 0.1 is worth having
    assert kinds[:3] == ["no effect", "no power", "inconclusive"]


def test_the_primary_is_not_read_early(tmp_path: Path) -> None:
    day = DAY - timedelta(days=2)
    rows = [{**row, "analysis_day": day} for row in usual_estimates()]
    checks = [srm_check(window_end=datetime(2026, 3, 20))]
    readout = readout_of(tmp_path, day=day, estimates=rows, srm_checks=checks)
    assert (readout.is_final, readout.decision.action) == (False, "hold")
    assert readout.metrics[0].reading.kind == "too early"


def test_new_profiles_come_first_and_segments_use_the_adjusted_p(tmp_path: Path) -> None:
    readout = readout_of(tmp_path)
    values = [s.estimate.segment_value for s in readout.segments]
    assert values == ["new", "established", "android_webview", "tv"]
    adjusted = [*usual_estimates(), estimate(segment="device", segment_value="web", adjusted_p_value=0.06)]
    assert readout_of(tmp_path, estimates=adjusted).segments[-1].reading.kind != "better"


def test_truth_stands_beside_its_estimate(tmp_path: Path) -> None:
    primary, watch, crash = readout_of(tmp_path).metrics
    assert primary.truth and (primary.truth.effect, primary.truth.is_covered) == (0.45, True)
    assert watch.truth is None
    assert crash.truth and crash.truth.is_covered is False


def test_counts_by_arm(tmp_path: Path) -> None:
    control, treatment = readout_of(tmp_path).arms
    assert (control.exposed, control.crossovers, control.matured) == (10_010, 10, 9_000)
    assert (treatment.exposed, treatment.crossovers, treatment.matured) == (9_990, 5, 9_010)
    unknown = readout_of(tmp_path, srm_checks=[], analysed=None).arms[0]
    assert (unknown.exposed, unknown.crossovers) == (None, None)


def test_checks_after_the_analysis_day_do_not_count(tmp_path: Path) -> None:
    later = srm_check(window_end=datetime(2026, 3, 22, 1), triggered=True)
    assert readout_of(tmp_path, srm_checks=[srm_check(), later]).decision.action == "ship"


def test_the_latest_epoch_counts(tmp_path: Path) -> None:
    rows = [{**row, "epoch": 1} for row in usual_estimates()]
    old = estimate(effect=-0.5)
    readout = readout_of(
        tmp_path, estimates=[*rows, old], srm_checks=[srm_check(epoch=1), srm_check(triggered=True)]
    )
    assert (readout.epoch, readout.decision.action) == (1, "ship")


def decided(days_ago: int, stage_from: float, stage_to: float, action: str = "advance") -> dict[str, object]:
    """A decision made for the day that many days before DAY: it is dated by that day's end."""
    at = datetime(DAY.year, DAY.month, DAY.day) - timedelta(days=days_ago - 1)
    key = {"experiment_id": "homepage", "epoch": 0, "decided_for": at}
    return {**key, "stage_from": stage_from, "stage_to": stage_to, "action": action}


def test_the_stage_is_what_the_decision_of_the_day_before_led_to(tmp_path: Path) -> None:
    decisions = [decided(9, 0.05, 0.2), decided(1, 0.2, 0.2, "hold"), decided(0, 0.2, 0.5)]
    decision = readout_of(tmp_path, rollout_decisions=decisions).decision
    assert (decision.action, decision.stage_from, decision.stage_to) == ("advance", 0.2, 0.5)


def test_days_at_a_stage_count_from_the_day_after_its_decision(tmp_path: Path) -> None:
    assert (
        readout_of(tmp_path, rollout_decisions=[decided(1, 0.05, 0.2)]).decision.action == "hold"
    )  # one of two days
    assert readout_of(tmp_path, rollout_decisions=[decided(2, 0.05, 0.2)]).decision.action == "advance"


def test_a_rollback_stays_and_is_the_more_careful_of_two_decisions(tmp_path: Path) -> None:
    decisions = [decided(3, 0.5, 0.0, "rollback"), decided(3, 0.5, 0.5, "hold")]
    decision = readout_of(tmp_path, rollout_decisions=decisions).decision
    assert (decision.action, decision.stage_to) == ("rollback", 0.0)
    assert decision.reasons == (
        "Its share is 0 since 2026-03-19: nobody is enrolled until people open it again.",
    )


def test_results_of_a_changed_experiment_file_say_so(tmp_path: Path) -> None:
    readout = readout_of(tmp_path)
    assert readout.provenance.is_spec_changed
    assert readout.provenance.spec_hash == "abc123"


def test_rows_without_numbers_are_kept_with_their_status(tmp_path: Path) -> None:
    readout = readout_of(tmp_path, estimates=[empty(), crash_rate()])
    assert readout.metrics[0].reading.sentence == "Not computable: no profile has matured."
    assert [term.metric for term in readout.business] == ["crash_rate"]


def test_a_day_without_estimates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="homepage' has no estimates for 2026-03-21; run jobs/estimate_effects"
    ):
        readout_of(tmp_path, estimates=[])


def test_an_epoch_that_was_restarted_decides_nothing_any_more(tmp_path: Path) -> None:
    bots = Restart(1, DAY + timedelta(days=1), "bots were counted")
    restarts = Restarts.of([asdict(row_of_restart("homepage", bots))])
    readout = readout_of(tmp_path, restarts=restarts)
    assert (readout.decision.action, readout.restart) == ("hold", None)
    assert readout.decision.reasons == (
        "A restart ends this epoch: epoch 1 begins on 2026-03-22, because: bots were counted. These numbers decide "
        "nothing any more.",
    )
    breached = [estimate(), crash_rate(0.01)]
    assert readout_of(tmp_path, estimates=breached, restarts=restarts).decision.action == "rollback"
    broken = readout_of(tmp_path, srm_checks=[srm_check(triggered=True)], restarts=restarts).decision
    assert (broken.action, broken.reasons[-1]) == ("hold", readout.decision.reasons[0])


def test_a_new_epoch_has_its_own_enrolment_and_says_what_began_it(tmp_path: Path) -> None:
    restarts = Restarts.of([asdict(row_of_restart("homepage", Restart(1, DAY, "bots were counted")))])
    rows = [{**row, "epoch": 1} for row in usual_estimates()]
    readout = readout_of(tmp_path, estimates=rows, srm_checks=[srm_check(epoch=1)], restarts=restarts)
    assert (readout.epoch, readout.start, readout.last_enrollment_day) == (1, DAY, DAY + timedelta(days=13))
    assert not readout.is_final
    said = "Epoch 1, restarted on 2026-03-21: bots were counted. Profiles exposed before"
    assert said in " ".join(render_text(readout).split())
    assert said in " ".join(render_page(readout).split())


def test_what_people_changed_is_told_on_the_page_and_in_the_terminal(tmp_path: Path) -> None:
    record = "amendments: [{date: 2026-03-04, reason: One more segment., was: 0123456789abcdef}]\n"
    reopened = {**decided(5, 0.0, 0.05, "override"), "reasons": ["crashes of a test device"]}
    to_come = {**decided(0, 0.05, 0.5, "override"), "reasons": ["not yet"]}
    taken_on = {"inputs": '{"accepted": ["crash_rate"]}'}
    readout = readout_of(
        tmp_path, EXPERIMENT + record, rollout_decisions=[{**reopened, **taken_on}, {**to_come, **taken_on}]
    )
    assert readout.decision.facts.accepted == ("crash_rate",)
    page, text = render_page(readout), " ".join(render_text(readout).split())
    for told in (
        "Experiment file amended on 2026-03-04: One more segment.",
        "Share set from 0% to 5% by people from 2026-03-17 on: crashes of a test device.",
        "Crash rate rolls nothing back, as people decided: crashes of a test device.",
    ):
        assert told in page and told in text
    assert "not yet" not in page + text
