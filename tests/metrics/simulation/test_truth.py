"""The truth against a computation in plain pandas, from each world's events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

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
# At 0.995 the few profiles of a test would not be cut at all.
WATCHED = replace(CATALOGUE.metrics["watch_minutes_7d"], winsorize=(0.9,))
CUT_AT_90 = replace(CATALOGUE, metrics={**CATALOGUE.metrics, WATCHED.name: WATCHED})
Truth = dict[tuple[str, str, str], dict[str, Any]]
FAULTS = Faults(crossovers=0.1, bots=0.01, late=0.1, duplicates=0.1, srm_device="tv", srm_share=0.6)


@pytest.fixture(scope="module")
def frames(plain: ServiceFrames) -> ServiceFrames:
    effects = Effects(0.3, 0.6, {"start_failure_rate": 0.05})
    return service(plain.spark, profiles=150, days=16, effects=effects, faults=FAULTS)


@pytest.fixture(scope="module")
def found(frames: ServiceFrames) -> Truth:
    rolled = rolled_lives(frames.joined, frames.log, EXPERIMENT, CATALOGUE, frames.settings)
    windows = potential_windows(rolled, frames.log, EXPERIMENT, CATALOGUE, ANALYSIS_DAY)
    rows = [row.asDict() for row in truth(windows, EXPERIMENT, CUT_AT_90).collect()]
    return {(row["metric"], row["segment"], row["segment_value"]): row for row in rows}


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


def check(row: dict[str, Any], by_world: Sequence[float], n: int) -> None:
    """A row of the truth against the means in the control's and in the treatment's world."""
    control, arm = by_world
    relative = pytest.approx((arm - control) / control, rel=1e-9, abs=1e-12) if control else None
    assert row["control_mean"] == pytest.approx(control, rel=1e-12)
    assert row["arm_mean"] == pytest.approx(arm, rel=1e-12)
    assert row["effect"] == pytest.approx(arm - control, rel=1e-9, abs=1e-15)
    assert row["relative_effect"] == relative
    assert row["n_profiles"] == n


@pytest.mark.parametrize("band", [None, "new", "established"])
def test_means_and_ratios_are_those_of_every_profile_in_both_worlds(
    found: Truth, lives: pd.DataFrame, band: str | None
) -> None:
    rows = lives if band is None else lives[lives["band"] == band]
    segment = ("all", "all") if band is None else ("tenure_band", band)
    worlds = [rows[rows["world"] == arm] for arm in ("control", "treatment")]
    plays = [float(world["play_starts_7d"].mean()) for world in worlds]
    failures = [world["failures"].sum() / world["attempts"].sum() for world in worlds]
    waiting = [world["waiting"].sum() / world["streaming"].sum() for world in worlds]
    check(found["play_starts_7d", *segment], plays, n=int(worlds[0]["play_starts_7d"].count()))
    check(found["start_failure_rate", *segment], failures, n=len(worlds[0]))
    check(found["rebuffering_ratio", *segment], waiting, n=len(worlds[0]))
    assert plays[1] > 1.1 * plays[0]


def test_winsorized_means_are_cut_at_the_pooled_factual_quantile(found: Truth, lives: pd.DataFrame) -> None:
    matured = lives.dropna(subset=["watch_minutes_7d"])
    factual = np.sort(matured[matured["world"] == matured["arm"]]["watch_minutes_7d"])
    cap = factual[int(np.ceil(0.9 * len(factual) * (1 - 1e-15))) - 1]
    cut = matured.assign(watch_minutes_7d=matured["watch_minutes_7d"].clip(upper=cap))
    means = cut.groupby("world")["watch_minutes_7d"].mean()
    check(found["watch_minutes_7d", "all", "all"], means[["control", "treatment"]].tolist(), n=len(factual))
    assert cut["watch_minutes_7d"].max() < matured["watch_minutes_7d"].max()


def test_every_level_of_every_standing_segment_has_a_row(found: Truth, lives: pd.DataFrame) -> None:
    segments = {"all": {"all"}, "tenure_band": set(lives["band"])}
    segments |= {name: set(lives[name]) for name in ("device", "region")}
    expected = {
        (metric, segment, level)
        for metric in EXPERIMENT.metric_names
        for segment, levels in segments.items()
        for level in levels
    }
    assert set(found) == expected
