from datetime import timedelta
from pathlib import Path

from metrics.readout.page import render_page
from metrics.readout.terminal import WIDTH, render_text
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import DAY, EXPERIMENT, crash_rate, empty, estimate, srm_check, truth, usual_estimates

LONG = EXPERIMENT.replace("{control: 0.5, treatment: 0.5}", "{control: 0.5, ranking_with_a_long_name: 0.5}")


def line(text: str, start: str) -> list[str]:
    return next(found for found in text.splitlines() if found.startswith(start)).split()


def test_the_whole_readout(tmp_path: Path) -> None:
    text = render_text(readout_of(tmp_path))
    assert "DECISION: SHIP TREATMENT" in text
    primary, guardrail = line(text, "play_starts_7d"), line(text, "crash_rate  +")
    assert " ".join(primary) == "play_starts_7d 10.00 10.50 +0.50 +5.0% (+3.0% to +7.0%) <0.001"
    assert " ".join(guardrail) == "crash_rate +0.00010 (−0.00010 to +0.00030) 0.00050 PASSED"
    assert "10,000 more play starts a week: at full rollout to 20,000 profiles" in " ".join(text.split())
    assert line(text, "control  ") == ["control", "50%", "10,010", "10", "9,000"]
    assert "SAMPLE RATIO: as planned in all 3 slices checked" in text
    assert "watch_minutes_7d: no power. Too few data" in text
    assert "row count as usual on events of 2026-03-18" in text


def test_injected_truth_says_whether_it_is_covered(tmp_path: Path) -> None:
    text = render_text(readout_of(tmp_path))
    section = text[text.index("INJECTED TRUTH") :]
    assert line(section, "play_starts_7d")[1] == "+0.45"
    assert line(section, "play_starts_7d")[-1] == "yes"
    assert line(section, "crash_rate")[-1] == "NO"
    assert "INJECTED TRUTH" not in render_text(readout_of(tmp_path, truth=[]))


def test_no_line_is_wider_than_the_terminal(tmp_path: Path) -> None:
    big = {"control_mean": 123456.789, "arm_mean": 123999.123, "effect": 1234567.8, "std_error": 0.0123}
    rows = [{**row, **big, "arm": "ranking_with_a_long_name"} for row in usual_estimates()]
    checks = [
        srm_check(slice="stratum", slice_value=f"some_long_region_{n}|android_webview", triggered=True)
        for n in range(9)
    ]
    for readout in (
        readout_of(tmp_path),
        readout_of(
            tmp_path, LONG, estimates=rows, srm_checks=checks, truth=[truth(arm="ranking_with_a_long_name")]
        ),
        readout_of(tmp_path, estimates=[empty(), crash_rate()]),
    ):
        text = render_text(readout)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "\x1b" not in text
        assert "nan" not in text.lower()


def test_two_treatments_are_named(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("{control: 0.5, treatment: 0.5}", "{control: 0.4, a: 0.3, b: 0.3}")
    rows = [{**row, "arm": arm} for row in usual_estimates() for arm in ("a", "b")]
    shown = render_text(readout_of(tmp_path, text, estimates=rows))
    assert "play_starts_7d a " in shown
    assert "play_starts_7d b " in shown


def test_a_mismatch_hides_business_terms_and_is_shown(tmp_path: Path) -> None:
    checks = [srm_check(), srm_check(slice="device", slice_value="tv", triggered=True, p_value=1e-9)]
    text = render_text(readout_of(tmp_path, srm_checks=checks))
    assert "DECISION: HOLD" in text
    assert "BUSINESS TERMS" not in text
    assert "SAMPLE RATIO: MISMATCH in 1 of 2 slices" in text
    assert "profiles, device tv: control 10,010 / treatment 9,990, p <0.001" in text


def test_early_business_terms_are_marked(tmp_path: Path) -> None:
    day = DAY - timedelta(days=1)
    rows = [estimate(analysis_day=day), crash_rate(analysis_day=day)]
    assert "IN BUSINESS TERMS (so far; not final)" in render_text(
        readout_of(tmp_path, day=day, estimates=rows)
    )


def test_differences_between_levels_are_told_on_page_and_terminal(tmp_path: Path) -> None:
    test = {"experiment_id": "homepage", "epoch": 0, "analysis_day": DAY, "metric": "play_starts_7d"}
    tests = [
        {**test, "segment": "tenure_band", "arm": "treatment", "status": "ok", "p_value": 0.0124},
        {**test, "segment": "device", "arm": "treatment", "status": "empty_arm", "p_value": None},
    ]
    readout = readout_of(tmp_path, interactions=tests)
    sentence = "Tests that the effect is the same at every level: tenure band p 0.012."
    assert sentence in " ".join(render_text(readout).split())
    assert sentence in render_page(readout)
    assert "same at every level" not in render_text(readout_of(tmp_path))
