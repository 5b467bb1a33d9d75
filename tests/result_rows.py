"""Rows of the result tables as the tables give them: a base row plus overrides, for tests of what reads them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiment

CONF = Path(__file__).resolve().parents[1] / "conf"
DAY = date(2026, 3, 21)  # the planned end of an experiment of 14 days from 2026-03-02 with a 7-day metric

CATALOGUE = """
measures:
  play_starts: {sql: "count_if(event_type = 'play_start')"}
  watch_minutes: {sql: "sum(watch_ms) / 60000"}
  crashes: {sql: "count_if(event_type = 'crash')"}
  sessions: {sql: "count_if(event_type = 'session_start')"}
  active: {sql: "count_if(event_type = 'session_start') > 0", kind: any}
metrics:
  play_starts_7d: {kind: mean, measure: play_starts, window: 7, unit: plays per profile, better: higher}
  watch_minutes_7d: {kind: mean, measure: watch_minutes, window: 7, winsorize: 0.995, unit: minutes, better: higher}
  active_7d: {kind: proportion, measure: active, window: 7, unit: share, better: higher}
  crash_rate:
    {kind: ratio, numerator: crashes, denominator: sessions, window: to_date, unit: crashes per session, better: lower}
"""
EXPERIMENT = """
id: homepage
owner: discovery
hypothesis: A re-ranked homepage makes profiles start more titles.
arms: {control: 0.5, treatment: 0.5}
start: 2026-03-02
enrollment_days: 14
strata: [region, device]
covariates: {days: 14, measures: [play_starts], attributes: [device]}
metrics:
  primary: [play_starts_7d]
  secondary: [watch_minutes_7d]
  guardrails: {crash_rate: {margin: 0.0005}}
segments: [tenure_band, device]
rollout: {stages: [0.05, 0.2, 0.5], min_days: 2}
"""


def configuration(folder: Path, experiment: str = EXPERIMENT) -> tuple[Experiment, Catalogue]:
    """The experiment and catalogue of these tests, read as any other."""
    (folder / "metrics.yml").write_text(CATALOGUE)
    (folder / "homepage.yml").write_text(experiment)
    catalogue = load_catalogue(folder / "metrics.yml")
    return load_experiment(folder / "homepage.yml", catalogue), catalogue


def estimate(metric: str = "play_starts_7d", **overrides: Any) -> dict[str, Any]:
    """A significant +5% of the primary: control 10, arm 10.5, standard error 0.1."""
    row = {
        "experiment_id": "homepage",
        "epoch": 0,
        "analysis_day": DAY,
        "metric": metric,
        "estimator": "cuped",
        "segment": "all",
        "segment_value": "all",
        "arm": "treatment",
        "role": "primary",
        "control_arm": "control",
        "control_mean": 10.0,
        "arm_mean": 10.5,
        "effect": 0.5,
        "std_error": 0.1,
        "ci_low": 0.304,
        "ci_high": 0.696,
        "relative_effect": 0.05,
        "relative_std_error": 0.0102,
        "relative_ci_low": 0.03,
        "relative_ci_high": 0.07,
        "statistic": 5.0,
        "df": 5000.0,
        "p_value": 5.7e-7,
        "adjusted_p_value": None,
        "alpha": 0.05,
        "vcov": "cr1s",
        "n_profiles_control": 9000,
        "n_profiles_arm": 9010,
        "n_households": 10200,
        "variance_reduction": 0.41,
        "winsor_threshold": None,
        "winsor_lower_threshold": None,
        "mde": 0.28,
        "status": "ok",
        "quality_run_id": "q1",
        "spec_hash": "abc123",
        "input_version": "in-77",
        "code_version": "0.1.0",
        "computed_at": datetime(2026, 3, 22, 6, tzinfo=UTC),
    }
    return {**row, **overrides}


def crash_rate(effect: float = 0.0, half_width: float = 0.0002, **overrides: Any) -> dict[str, Any]:
    """A guardrail around 0.01 with the given effect and half of its interval's width; the margin is 0.0005."""
    base = estimate(
        "crash_rate",
        estimator="ratio",
        role="guardrail",
        control_mean=0.01,
        arm_mean=0.01 + effect,
        effect=effect,
        std_error=half_width / 1.96,
        ci_low=effect - half_width,
        ci_high=effect + half_width,
        relative_effect=effect / 0.01,
        relative_ci_low=(effect - half_width) / 0.01,
        relative_ci_high=(effect + half_width) / 0.01,
        statistic=1.96 * effect / half_width,
        p_value=0.5,
        variance_reduction=None,
        mde=2.8 * half_width / 1.96,
    )
    return {**base, **overrides}


def empty(metric: str = "play_starts_7d", status: str = "not_matured", **overrides: Any) -> dict[str, Any]:
    """A row that could not be computed: a status and nulls."""
    row = estimate(metric, status=status, **overrides)
    kept = {"alpha", "epoch"}
    return {k: None if isinstance(v, float | int) and k not in kept else v for k, v in row.items()}


def srm_check(**overrides: Any) -> dict[str, Any]:
    row = {
        "experiment_id": "homepage",
        "epoch": 0,
        "window_kind": "cumulative",
        "window_end": datetime(2026, 3, 22, tzinfo=UTC),
        "unit": "profile",
        "slice": "all",
        "slice_value": "all",
        "observed": {"control": 10010, "treatment": 9990},
        "expected": {"control": 10000.0, "treatment": 10000.0},
        "p_value": 0.888,
        "log_e_value": -2.0,
        "threshold": 4.6,
        "triggered": False,
    }
    return {**row, **overrides}


def quality(**overrides: Any) -> dict[str, Any]:
    row = {
        "table": "events",
        "day": DAY - timedelta(days=3),
        "expectation": "event_id is unique",
        "run_id": "q1",
        "severity": "critical",
        "success": True,
        "observed": None,
        "unexpected_count": 0,
        "details": None,
    }
    return {**row, **overrides}


def truth(metric: str = "play_starts_7d", **overrides: Any) -> dict[str, Any]:
    """As the simulator writes it: dates are texts."""
    row = {
        "experiment_id": "homepage",
        "analysis_day": DAY.isoformat(),
        "metric": metric,
        "segment": "all",
        "segment_value": "all",
        "arm": "treatment",
        "control_mean": 10.0,
        "arm_mean": 10.45,
        "effect": 0.45,
        "relative_effect": 0.045,
        "n_profiles": 18010,
    }
    return {**row, **overrides}


def usual_estimates() -> list[dict[str, Any]]:
    """A primary that won, a secondary without power, a passed guardrail, segments and another estimator."""
    watch: dict[str, Any] = {
        "role": "secondary",
        "control_mean": 312.4,
        "arm_mean": 315.9,
        "effect": 3.5,
        "std_error": 3.9,
        "ci_low": -4.144,
        "ci_high": 11.144,
        "relative_effect": 0.0112,
        "relative_ci_low": -0.0133,
        "relative_ci_high": 0.0357,
        "p_value": 0.37,
        "adjusted_p_value": 0.37,
        "mde": 10.9,
        "winsor_threshold": 2210.0,
    }
    weak: dict[str, Any] = {
        "std_error": 0.4,
        "ci_low": -0.68,
        "ci_high": 0.88,
        "effect": 0.1,
        "relative_effect": 0.01,
        "mde": 1.12,
    }
    weak |= {"relative_ci_low": -0.068, "relative_ci_high": 0.088, "p_value": 0.8, "adjusted_p_value": 1.0}
    return [
        estimate(),
        estimate("watch_minutes_7d", **watch),
        crash_rate(0.0001),
        estimate(estimator="difference_in_means", effect=0.47, std_error=0.14, variance_reduction=None),
        estimate(segment="tenure_band", segment_value="new", n_profiles_control=1200, n_profiles_arm=1190),
        estimate(segment="tenure_band", segment_value="established", adjusted_p_value=0.00001),
        estimate(segment="device", segment_value="android_webview", **weak),
        estimate(segment="device", segment_value="tv"),
    ]
