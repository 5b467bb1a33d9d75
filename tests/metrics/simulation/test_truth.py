"""The truth against a computation in plain pandas, from each world's events."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame

from metrics.simulation.events import canonical
from metrics.simulation.settings import Effects, Faults
from metrics.simulation.truth import potential_windows, rolled_lives, truth
from tests.metrics.simulation.services import CATALOGUE, EXPERIMENT, ServiceFrames, service

# Late enough that some profiles have matured for the 7-day windows and some have not.
ANALYSIS_DAY = EXPERIMENT.start + timedelta(days=8)
FAULTS = Faults(crossovers=0.1, bots=0.01, late=0.1, duplicates=0.1, srm_device="tv", srm_share=0.6)


@pytest.fixture(scope="module")
def frames(plain: ServiceFrames) -> ServiceFrames:
    effects = Effects(0.3, 0.6, {"start_failure_rate": 0.05})
    return service(plain.spark, profiles=150, days=16, effects=effects, faults=FAULTS)


@pytest.fixture(scope="module")
def found(frames: ServiceFrames) -> pd.DataFrame:
    rolled = rolled_lives(frames.joined, frames.log, EXPERIMENT, CATALOGUE, frames.settings)
    windows = potential_windows(rolled, frames.log, EXPERIMENT, CATALOGUE, ANALYSIS_DAY)
    key = ["metric", "segment", "segment_value"]
    return truth(windows, EXPERIMENT, CATALOGUE).toPandas().set_index(key).sort_index()


@pytest.fixture(scope="module")
def lives(frames: ServiceFrames) -> pd.DataFrame:
    """One row per analysed profile and world, with outcomes summed from that world's events."""
    log = frames.log.where("not is_bot").toPandas()
    log = log[log["day"] <= ANALYSIS_DAY].sort_values("exposed_at")
    arms = log.groupby("profile_id")["arm"].nunique()
    first = log[log["profile_id"].isin(arms[arms == 1].index)].groupby("profile_id").first()
    worlds = {arm: of_world(first, canonical(frames.lived_in(arm))) for arm in ("control", "treatment")}
    return pd.concat(worlds, names=["world"]).reset_index()


def of_world(first: pd.DataFrame, events: DataFrame) -> pd.DataFrame:
    columns = ["profile_id", "event_ts", "event_type", "watch_ms", "rebuffer_ms"]
    table = events.select(columns).toPandas().merge(first["exposed_at"].reset_index(), on="profile_id")
    table = table[table["event_ts"] >= table["exposed_at"]]
    age = (table["event_ts"].dt.normalize() - table["exposed_at"].dt.normalize()).dt.days
    table = table[table["event_ts"].dt.date <= ANALYSIS_DAY]
    in_week, by = table[age < 7], "profile_id"

    def count(rows: pd.DataFrame, kind: str) -> pd.Series:
        return rows[rows["event_type"] == kind].groupby(by).size().reindex(first.index, fill_value=0)

    def minutes(rows: pd.DataFrame, column: str) -> pd.Series:
        return (rows.groupby(by)[column].sum() / 60_000).reindex(first.index, fill_value=0.0)

    matured = first["exposed_at"].dt.date + timedelta(days=6) <= ANALYSIS_DAY
    return first.assign(
        play_starts_7d=count(in_week, "play_start").where(matured),
        watch_minutes_7d=minutes(in_week, "watch_ms").where(matured),
        failures=count(table, "play_failure"),
        attempts=count(table, "play_attempt"),
        waiting=minutes(table, "rebuffer_ms"),
        streaming=minutes(table, "watch_ms") + minutes(table, "rebuffer_ms"),
        band=np.where(first["tenure_days"] < 30, "new", "established"),
    )


def check(row: pd.Series, control: float, arm: float, n: int) -> None:
    assert row["control_mean"] == pytest.approx(control, rel=1e-12)
    assert row["arm_mean"] == pytest.approx(arm, rel=1e-12)
    assert row["effect"] == pytest.approx(arm - control, rel=1e-9, abs=1e-15)
    assert row["relative_effect"] == pytest.approx((arm - control) / control, rel=1e-9, abs=1e-12)
    assert row["n_profiles"] == n


@pytest.mark.parametrize("band", [None, "new", "established"])
def test_means_and_ratios_are_those_of_every_profile_in_both_worlds(
    found: pd.DataFrame, lives: pd.DataFrame, band: str | None
) -> None:
    rows = lives if band is None else lives[lives["band"] == band]
    worlds = [rows[rows["world"] == arm] for arm in ("control", "treatment")]
    cell = ("all", "all") if band is None else ("tenure_band", band)
    means = [world["play_starts_7d"].mean() for world in worlds]
    check(found.loc[("play_starts_7d", *cell)], *means, n=worlds[0]["play_starts_7d"].count())
    failures = [world["failures"].sum() / world["attempts"].sum() for world in worlds]
    check(found.loc[("start_failure_rate", *cell)], *failures, n=len(worlds[0]))
    waiting = [world["waiting"].sum() / world["streaming"].sum() for world in worlds]
    check(found.loc[("rebuffering_ratio", *cell)], *waiting, n=len(worlds[0]))
    assert means[1] > 1.1 * means[0]


def test_winsorized_means_are_cut_at_the_pooled_factual_quantile(
    found: pd.DataFrame, lives: pd.DataFrame
) -> None:
    matured = lives.dropna(subset=["watch_minutes_7d"])
    factual = np.sort(matured[matured["world"] == matured["arm"]]["watch_minutes_7d"])
    cap = factual[int(np.ceil(0.995 * len(factual) * (1 - 1e-15))) - 1]
    means = [
        matured[matured["world"] == arm]["watch_minutes_7d"].clip(upper=cap).mean()
        for arm in ("control", "treatment")
    ]
    check(found.loc[("watch_minutes_7d", "all", "all")], *means, n=len(factual))


def test_every_level_of_every_standing_segment_has_a_row(found: pd.DataFrame, lives: pd.DataFrame) -> None:
    for segment in ("device", "region"):
        levels = set(found.loc["play_starts_7d"].loc[segment].index)
        assert levels == set(lives[segment])
    assert len(found) == len(EXPERIMENT.metric_names) * found.loc["play_starts_7d"].shape[0]


def test_delivery_faults_leave_the_truth_alone(frames: ServiceFrames, found: pd.DataFrame) -> None:
    kept = replace(FAULTS, late=0.0, duplicates=0.0)
    clean = replace(frames, settings=replace(frames.settings, faults=kept))
    rolled = rolled_lives(clean.joined, clean.log, EXPERIMENT, CATALOGUE, clean.settings)
    windows = potential_windows(rolled, clean.log, EXPERIMENT, CATALOGUE, ANALYSIS_DAY)
    same = truth(windows, EXPERIMENT, CATALOGUE).toPandas().set_index(["metric", "segment", "segment_value"])
    assert (same["n_profiles"].sort_index() == found["n_profiles"]).all()
    assert same["effect"].sort_index().to_numpy(float) == pytest.approx(
        found["effect"].to_numpy(float), nan_ok=True
    )
