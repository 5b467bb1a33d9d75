"""The power table against simulated experiments with the effect it is for: estimated, looked at, crossed or not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.looks import ledger_of, looks_planned
from metrics.planning import history_of, power_rows
from metrics.rows import Estimate, PowerRow, row_of
from metrics.statistics import estimators as e
from metrics.statistics.analysis import Analysis, MomentsRow
from metrics.statistics.moments import Moments
from metrics.statistics.results import Result
from tests.metrics.statistics.support import moments
from tests.result_rows import EXPERIMENT, configuration, estimate

SIMULATED = 400
MARGIN, CRASHES, CUT = 0.012, 0.05, 0.995
COLUMNS = {
    "play_starts_7d": ["play_starts_7d", "pre_play_starts"],
    "watch_minutes_7d": ["watch_minutes_7d", "pre_play_starts"],
    "crash_rate": ["crash_rate_numerator", "crash_rate_denominator"],
}
TEXT = EXPERIMENT.replace("enrollment_days: 14", "enrollment_days: 4").replace(
    "margin: 0.0005", f"margin: {MARGIN}"
)
TEXT = TEXT.replace("attributes: [device]", "attributes: []") + "design: {mde_relative: 0.1}\n"


def profiles(n_households: int, rng: np.random.Generator, effects: Mapping[str, float]) -> pd.DataFrame:
    """Profiles in households of one to three, that share some of their taste; their past tells of their plays."""
    sizes = rng.integers(1, 4, n_households)
    n = int(sizes.sum())
    taste = np.repeat(rng.gamma(4, 0.25, n_households), sizes) * rng.gamma(4, 0.25, n)
    treated = rng.random(n) < 0.5
    sessions = 1 + rng.poisson(5 * taste)
    rate = CRASHES + treated * effects.get("crash_rate", 0.0)
    watched = 20 * taste * rng.lognormal(0, 1, n)
    return pd.DataFrame(
        {
            "household_id": np.repeat(np.arange(n_households), sizes),
            "arm": np.where(treated, "treatment", "control"),
            "pre_play_starts": rng.poisson(6 * taste).astype(float),
            "play_starts_7d": rng.poisson(3 * taste) + treated * effects.get("play_starts_7d", 0.0),
            "watch_minutes_7d": np.minimum(watched, np.quantile(watched, CUT))
            + treated * effects.get("watch_minutes_7d", 0.0),
            "crash_rate_numerator": rng.binomial(sessions, rate).astype(float),
            "crash_rate_denominator": sessions.astype(float),
        }
    )


def estimated(metric: str, sums: Moments, alpha: float) -> Result:
    """By the estimator that decides."""
    comparison = e.Comparison(1, "auto", alpha)
    if metric == "crash_rate":
        return e.ratio(sums, "crash_rate_numerator", "crash_rate_denominator", comparison)
    return e.cuped(sums, metric, ["pre_play_starts"], comparison)


def row_for(metric: str, result: Result) -> Estimate:
    numbers = {
        name: getattr(result, name)
        for name in ("status", "effect", "std_error", "statistic", "df", "p_value")
    }
    counts = {
        "n_profiles_control": result.counts.n_profiles_control,
        "n_profiles_arm": result.counts.n_profiles_arm,
        "variance_reduction": result.variance_reduction,
        "estimator": "ratio" if metric == "crash_rate" else "cuped",
    }
    return row_of(Estimate, {**estimate(metric), **numbers, **counts})


def planned(experiment: Experiment, catalogue: Catalogue) -> dict[str, PowerRow]:
    """The power table from a history of some 30,000 profiles."""
    history = history_of(
        experiment, catalogue, experiment.start - timedelta(days=28), experiment.start - timedelta(1)
    )
    frame = profiles(15_000, np.random.default_rng(5), {})
    by_group = {
        "7d": ["play_starts_7d", "watch_minutes_7d", "pre_play_starts"],
        "to_date": COLUMNS["crash_rate"],
    }
    groups = {group: moments(frame, columns) for group, columns in by_group.items()}
    known = [
        MomentsRow(
            *("homepage", 0, experiment.start, group, "all", "all"),
            ("control", "treatment"),
            sums.columns,
            len(frame),
            sums.to_bytes(),
        )
        for group, sums in groups.items()
    ]
    rows = [
        row_for(metric, estimated(metric, groups[catalogue.metrics[metric].maturity_group], 0.05))
        for metric in COLUMNS
    ]
    analysis = Analysis("in", tuple(known), tuple(rows), ())
    return {row.metric: row for row in power_rows(experiment, history, catalogue, analysis, 10**9)}


@pytest.mark.slow
@pytest.mark.parametrize("metric", COLUMNS)
def test_experiments_of_the_size_in_the_table_find_the_effect_as_often_as_it_says(
    metric: str, tmp_path: Path
) -> None:
    experiment, catalogue = configuration(tmp_path, TEXT)
    row = planned(experiment, catalogue)[metric]
    assert row.n_per_arm and row.baseline_mean and row.max_information
    is_guardrail = metric in experiment.guardrails
    effect = MARGIN if is_guardrail else experiment.mde_relative * row.baseline_mean
    looks = looks_planned(experiment, catalogue.metrics[metric], catalogue)
    rng, found = np.random.default_rng(17), 0
    for _ in range(SIMULATED):
        frame = profiles(
            round(row.n_per_arm), rng, {metric: effect}
        )  # of households, with two profiles in the mean
        shift = frame[COLUMNS[metric]].mean().tolist()
        bounds = np.linspace(0, frame["household_id"].max() + 1, looks + 1)
        sums, rows = None, []
        for k, (first, end) in enumerate(pairwise(bounds)):
            part = frame[(frame["household_id"] >= first) & (frame["household_id"] < end)]
            come = moments(part, COLUMNS[metric], shift=shift)
            sums = come if sums is None else sums + come
            result = estimated(metric, sums, experiment.alpha)
            rows.append(replace(row_for(metric, result), analysis_day=experiment.opens + timedelta(days=k)))
        if metric in experiment.secondary:
            found += bool(
                rows[-1].p_value and rows[-1].p_value < experiment.alpha and (rows[-1].effect or 0) > 0
            )
        else:
            ledger = ledger_of(experiment, catalogue, rows, {metric: row.max_information})
            found += any(look.crossed and look.statistic > 0 for look in ledger[metric, "treatment"])
    error = (experiment.power * (1 - experiment.power) / SIMULATED) ** 0.5
    assert found / SIMULATED == pytest.approx(experiment.power, abs=3 * error)
