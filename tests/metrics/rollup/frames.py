"""Small frames for the roll-up's tests: a base row each, changed by overrides."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from metrics.configuration.catalogue import Catalogue, Measure, Metric
from metrics.configuration.experiment import Covariates, Experiment
from metrics.schemas import EVENT_COLUMNS, EXPOSURE_COLUMNS

START = date(2026, 3, 2)
PLAYS = Measure("plays", "count_if(event_type = 'play_start')", "sum", "")
MINUTES = Measure("minutes", "sum(watch_ms) / 60000", "sum", "")
ACTIVE = Measure("active", "count(1) > 0", "any", "")
RENDER = Measure("render", "CASE WHEN event_type = 'page_render' THEN latency_ms END", "histogram", "")


def metric(name: str, measure: str = "plays", window: int | None = 7, kind: str = "mean") -> Metric:
    return Metric(name, kind, measure, None, None, window, (), "", "higher", "", "")


CATALOGUE = Catalogue(
    {measure.name: measure for measure in (PLAYS, MINUTES, ACTIVE)},
    {
        "plays_3d": metric("plays_3d", window=3),
        "plays_to_date": metric("plays_to_date", window=None),
        "active_3d": metric("active_3d", "active", 3, "proportion"),
        "back_on_day_2": replace(metric("back_on_day_2", "active", 3, "retention"), day=2),
        "minutes_per_play": Metric(
            "minutes_per_play", "ratio", None, "minutes", "plays", None, (), "", "higher", "", ""
        ),
    },
)
# The same with a quantile of events: a histogram is a scan and a shuffle of its own.
WITH_HISTOGRAM = Catalogue(
    {**CATALOGUE.measures, "render": RENDER},
    {
        **CATALOGUE.metrics,
        **{
            name: replace(metric(name, "render", window, "quantile"), quantile=share, of_events=True)
            for name, window, share in (
                ("render_p50", 3, 0.5),
                ("render_p95", 3, 0.95),
                ("render_p95_to_date", None, 0.95),
            )
        },
    },
)
EXPERIMENT = Experiment(
    id="x",
    owner="",
    hypothesis="",
    unit="profile_id",
    cluster="household_id",
    randomized_by="unit",
    layer="x",
    targeting={},
    arms={"control": 0.5, "treatment": 0.5},
    start=START,
    enrollment_days=3,
    strata=("region", "device"),
    covariates=Covariates(14, ("plays",), ("tenure_days",)),
    primary=("plays_3d",),
    secondary=("plays_to_date", "active_3d"),
    guardrails={"minutes_per_play": 0.1},
    decision_estimator="cuped",
    segments=("device",),
    alpha=0.05,
    power=0.8,
    mde_relative=0.01,
    spending="pocock",
    looks="daily",
    stages=(1.0,),
    min_days=1,
    vcov="auto",
    spec_hash="",
)
OTHER = replace(EXPERIMENT, id="y")


def frame(
    spark: SparkSession, columns: dict[str, str], base: dict[str, Any], *rows: dict[str, Any]
) -> DataFrame:
    full = [{**dict.fromkeys(columns), **base, **row} for row in rows]
    schema = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return spark.createDataFrame([tuple(row[name] for name in columns) for row in full], schema)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def events(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {
        "profile_id": 1,
        "household_id": 10,
        "event_type": "play_start",
        "event_ts": at("2026-03-02T12:00"),
    }
    columns = {**EVENT_COLUMNS, "day": "DATE"}
    full = [{**row, "day": row.get("event_ts", base["event_ts"]).date()} for row in rows]
    return frame(spark, columns, base, *full)


def exposures(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    base = {
        "experiment_id": "x",
        "profile_id": 1,
        "household_id": 10,
        "arm": "control",
        "device": "tv",
        "region": "eu",
        "tenure_days": 100,
        "exposed_at": at("2026-03-02T12:00"),
    }
    columns = {**EXPOSURE_COLUMNS, "day": "DATE"}
    full = [{**row, "day": row.get("exposed_at", base["exposed_at"]).date()} for row in rows]
    return frame(spark, columns, base, *full)
