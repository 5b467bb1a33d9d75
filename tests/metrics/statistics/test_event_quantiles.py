"""Quantiles of events, from the histograms of profiles to rows of estimates."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiment
from metrics.histogram import BINS_PER_DOUBLING, SQL_TYPE, middles
from metrics.rows import Estimate
from metrics.statistics import frame as frame_module
from metrics.statistics.analysis import estimate
from metrics.statistics.winsorize import type1_quantile
from tests.metrics.statistics.test_analysis import DAY

CATALOGUE = """
measures:
  plays: {sql: "count(*)"}
  delay: {sql: "latency_ms", kind: histogram}
metrics:
  plays_7d: {kind: mean, measure: plays, window: 7, better: higher}
  delay_p50: {kind: quantile, measure: delay, window: 7, quantile: 0.5, better: lower}
  delay_p95: {kind: quantile, measure: delay, window: 7, quantile: 0.95, better: lower}
"""
EXPERIMENT = """
id: player
arms: {control: 0.5, treatment: 0.5}
start: 2026-03-02
metrics: {primary: [plays_7d], secondary: [delay_p50, delay_p95]}
segments: [device]
"""
SCHEMA = f"""profile_id BIGINT, household_id BIGINT, arm STRING, tenure_band STRING, device STRING, stratum STRING,
             plays_7d DOUBLE, delay_p50 {SQL_TYPE}, delay_p95 {SQL_TYPE}"""
Key = tuple[str, str, str]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Catalogue]:
    folder = tmp_path_factory.mktemp("conf")
    (folder / "metrics.yml").write_text(CATALOGUE)
    (folder / "player.yml").write_text(EXPERIMENT)
    catalogue = load_catalogue(folder / "metrics.yml")
    return load_experiment(folder / "player.yml", catalogue), catalogue


@pytest.fixture(scope="module")
def delays() -> pd.DataFrame:
    """One row per event: households of 1 to 3 profiles whose delays are alike; no event on device `radio`."""
    random = np.random.default_rng(8)
    household = np.repeat(np.arange(500), random.integers(1, 4, 500))
    n = len(household)
    profiles = pd.DataFrame(
        {
            "profile_id": np.arange(n),
            "household_id": household,
            "arm": random.choice(["control", "treatment"], n),
            "device": random.choice(["tv", "web", "radio"], n, p=[0.6, 0.3, 0.1]),
            "matured": random.random(n) < 0.9,
        }
    )
    line = random.normal(0, 0.5, 500)[household]
    number = np.where(profiles["device"] == "radio", 0, random.poisson(6, n))
    events = profiles.loc[np.repeat(np.arange(n), np.maximum(number, 1))].copy()
    noise = random.normal(6, 0.7, len(events)) + line[events["profile_id"]]
    slower = np.where(events["arm"] == "treatment", 0.2, 0.0)
    silent = np.repeat(number == 0, np.maximum(number, 1))
    return events.assign(delay=np.where(silent, np.nan, np.exp(noise + slower)))


def on_spark(spark: SparkSession, delays: pd.DataFrame) -> DataFrame:
    """Rows of profile_windows, as the roll-up would make them of the events."""
    rows: list[tuple[Any, ...]] = []
    for _, own in delays.groupby("profile_id"):
        first = own.iloc[0]
        bins = np.floor(np.log2(own["delay"].dropna()) * BINS_PER_DOUBLING).astype(int).value_counts()
        held = [(int(place), int(number)) for place, number in bins.sort_index().items()]
        outcomes = (1.0, held, held) if first["matured"] else (None, None, None)
        row = (
            int(first["profile_id"]),
            int(first["household_id"]),
            first["arm"],
            "new",
            first["device"],
            "all",
        )
        rows.append((*row, *outcomes))
    return spark.createDataFrame(rows, SCHEMA)


def estimates(windows: DataFrame, plan: tuple[Experiment, Catalogue]) -> dict[Key, Estimate]:
    analysis = estimate(windows, *plan, DAY, replicates=300)
    return {
        (r.metric, r.segment, r.segment_value): r for r in analysis.estimates if r.estimator == "quantile"
    }


@pytest.fixture(scope="module")
def found(
    spark: SparkSession, delays: pd.DataFrame, plan: tuple[Experiment, Catalogue]
) -> dict[Key, Estimate]:
    return estimates(on_spark(spark, delays), plan)


def in_arms(events: pd.DataFrame) -> list[np.ndarray]:
    """Events of control and treatment as the middles of their bins."""
    binned = middles(np.floor(np.log2(events["delay"]) * BINS_PER_DOUBLING).to_numpy().astype(np.int64))
    return [binned[(events["arm"] == arm).to_numpy()] for arm in ("control", "treatment")]


@pytest.mark.parametrize(("metric", "probability"), [("delay_p50", 0.5), ("delay_p95", 0.95)])
def test_quantiles_are_those_of_all_events_and_their_spread_that_of_resampled_households(
    delays: pd.DataFrame, found: dict[Key, Estimate], metric: str, probability: float
) -> None:
    counted = delays[delays["matured"] & delays["delay"].notna()]
    for segment, value in (("all", "all"), ("device", "tv")):
        events = counted if segment == "all" else counted[counted["device"] == value]
        row = found[metric, segment, value]
        control, treatment = (type1_quantile(own, probability) for own in in_arms(events))
        assert (row.control_mean, row.arm_mean, row.effect) == (control, treatment, treatment - control)
        exact = type1_quantile(events.loc[events["arm"] == "control", "delay"].to_numpy(), probability)
        assert row.control_mean == pytest.approx(exact, rel=0.002)
        assert row.std_error == pytest.approx(resampled(events, probability), rel=0.2)
        assert row.ci_low < row.effect < row.ci_high  # type: ignore[operator]


def resampled(events: pd.DataFrame, probability: float, replicates: int = 300) -> float:
    random = np.random.default_rng(1)
    homes, place = np.unique(events["household_id"], return_inverse=True)
    arms = [(events["arm"] == arm).to_numpy() for arm in ("control", "treatment")]
    values = in_arms(events)
    effects = []
    for _ in range(replicates):
        weights = random.poisson(1, len(homes))[place]
        control, treatment = (
            type1_quantile(np.repeat(own, weights[inside]), probability)
            for own, inside in zip(values, arms, strict=True)
        )
        effects.append(treatment - control)
    return float(np.std(effects))


def test_where_nobody_has_an_event_there_is_no_data(found: dict[Key, Estimate]) -> None:
    row = found["delay_p95", "device", "radio"]
    assert (row.status, row.effect, row.ci_low) == ("no_data", None, None)
    assert row.n_profiles_control


def test_counts_are_of_profiles(found: dict[Key, Estimate], delays: pd.DataFrame) -> None:
    matured = delays[delays["matured"]].drop_duplicates("profile_id")
    row = found["delay_p50", "all", "all"]
    counts = matured["arm"].value_counts()
    assert (row.n_profiles_control, row.n_profiles_arm) == (counts["control"], counts["treatment"])


def test_many_partitions_give_the_same_numbers(
    spark: SparkSession,
    delays: pd.DataFrame,
    plan: tuple[Experiment, Catalogue],
    found: dict[Key, Estimate],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_module, "EVENTS_PER_PARTITION", 2_000)
    assert estimates(on_spark(spark, delays), plan) == found
