"""One good row of each audited table; tests override what matters to them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from expectations import suites
from expectations.results import AuditResult
from expectations.rules import Suite

DAY = date(2026, 3, 5)
ARMS = {"homepage": ("control", "treatment")}
MEASURES = ("play_starts", "watch_minutes")

EVENT_COLUMNS = {
    "event_id": "STRING",
    "event_ts": "TIMESTAMP",
    "day": "DATE",
    "ingest_day": "DATE",
    "profile_id": "BIGINT",
    "household_id": "BIGINT",
    "device": "STRING",
    "region": "STRING",
    "event_type": "STRING",
    "watch_ms": "BIGINT",
    "rebuffer_ms": "BIGINT",
    "latency_ms": "BIGINT",
    "attributes": "MAP<STRING, STRING>",
}
PROFILE_COLUMNS = {
    "profile_id": "BIGINT",
    "household_id": "BIGINT",
    "signup_day": "DATE",
    "snapshot_day": "DATE",
}
EXPOSURE_COLUMNS = {
    "experiment_id": "STRING",
    "profile_id": "BIGINT",
    "exposed_at": "TIMESTAMP",
    "arm": "STRING",
    "household_id": "BIGINT",
    "tenure_days": "INT",
    "day": "DATE",
}
MEASURE_COLUMNS = dict.fromkeys(MEASURES, "DOUBLE")
PROFILE_DAY_COLUMNS = {"day": "DATE", "profile_id": "BIGINT", "household_id": "BIGINT", **MEASURE_COLUMNS}
EXPOSURE_DAY_COLUMNS = {"experiment_id": "STRING", **PROFILE_DAY_COLUMNS}
WINDOW_COLUMNS = {
    "experiment_id": "STRING",
    "epoch": "INT",
    "analysis_day": "DATE",
    "profile_id": "BIGINT",
    "household_id": "BIGINT",
    "arm": "STRING",
    "stratum": "STRING",
    "tenure_band": "STRING",
    "exposed_at": "TIMESTAMP",
    "play_starts_7d": "DOUBLE",
    "retained": "DOUBLE",
}
ESTIMATE_COLUMNS = {
    "experiment_id": "STRING",
    "analysis_day": "DATE",
    "metric": "STRING",
    "arm": "STRING",
    "role": "STRING",
    "control_arm": "STRING",
    "control_mean": "DOUBLE",
    "arm_mean": "DOUBLE",
    "effect": "DOUBLE",
    "std_error": "DOUBLE",
    "ci_low": "DOUBLE",
    "ci_high": "DOUBLE",
    "p_value": "DOUBLE",
    "adjusted_p_value": "DOUBLE",
    "n_profiles_control": "BIGINT",
    "n_profiles_arm": "BIGINT",
    "n_households": "BIGINT",
    "status": "STRING",
}

_numbers = count(1)


def events_suite(mapped: Sequence[str] = ()) -> Suite:
    return suites.events_suite(EVENT_COLUMNS, ("event_id",), ("play_start", "playback"), mapped)


def profiles_suite() -> Suite:
    return suites.profiles_suite(PROFILE_COLUMNS, ("profile_id",))


def exposures_suite() -> Suite:
    return suites.exposures_suite(
        EXPOSURE_COLUMNS, ("experiment_id", "profile_id", "exposed_at", "arm"), ARMS
    )


def profile_days_suite() -> Suite:
    return suites.profile_days_suite(PROFILE_DAY_COLUMNS, ("day", "profile_id"), MEASURES)


def exposure_day_measures_suite() -> Suite:
    key = ("day", "experiment_id", "profile_id")
    return suites.exposure_day_measures_suite(EXPOSURE_DAY_COLUMNS, key, MEASURES, tuple(ARMS))


def profile_windows_suite() -> Suite:
    key = ("experiment_id", "epoch", "analysis_day", "profile_id")
    return suites.profile_windows_suite(
        WINDOW_COLUMNS, key, ARMS, ("play_starts_7d", "retained"), ("retained",)
    )


def estimates_suite() -> Suite:
    key = ("experiment_id", "analysis_day", "metric", "arm")
    return suites.estimates_suite(ESTIMATE_COLUMNS, key, ARMS, ("ok", "no_data"))


def event(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "event_id": f"e{number}",
        "event_ts": _noon(day),
        "day": day,
        "ingest_day": day,
        "profile_id": number,
        "household_id": 1,
        "device": "tv",
        "region": "eu",
        "event_type": "playback",
        "watch_ms": 60_000,
        "rebuffer_ms": 0,
        "latency_ms": None,
        "attributes": {"a": "b"},
        **overrides,
    }


def profile(**overrides: Any) -> dict[str, Any]:
    return {
        "profile_id": next(_numbers),
        "household_id": 1,
        "signup_day": DAY - timedelta(days=100),
        "snapshot_day": DAY,
        **overrides,
    }


def exposure(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    return {
        "experiment_id": "homepage",
        "profile_id": next(_numbers),
        "exposed_at": _noon(day),
        "arm": "control",
        "household_id": 1,
        "tenure_days": 40,
        "day": day,
        **overrides,
    }


def profile_day(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    return {
        "day": day,
        "profile_id": next(_numbers),
        "household_id": 1,
        "play_starts": 2.0,
        "watch_minutes": 30.0,
        **overrides,
    }


def exposure_day(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    return {"experiment_id": "homepage", **profile_day(day), **overrides}


def window(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    return {
        "experiment_id": "homepage",
        "epoch": 0,
        "analysis_day": day,
        "profile_id": next(_numbers),
        "household_id": 1,
        "arm": "treatment",
        "stratum": "eu|tv",
        "tenure_band": "new",
        "exposed_at": _noon(day - timedelta(days=3)),
        "play_starts_7d": None,
        "retained": 1.0,
        **overrides,
    }


def estimate(day: date = DAY, **overrides: Any) -> dict[str, Any]:
    return {
        "experiment_id": "homepage",
        "analysis_day": day,
        "metric": f"metric_{next(_numbers)}",
        "arm": "treatment",
        "role": "primary",
        "control_arm": "control",
        "control_mean": 2.0,
        "arm_mean": 2.2,
        "effect": 0.2,
        "std_error": 0.1,
        "ci_low": 0.004,
        "ci_high": 0.396,
        "p_value": 0.046,
        "adjusted_p_value": None,
        "n_profiles_control": 100,
        "n_profiles_arm": 100,
        "n_households": 150,
        "status": "ok",
        **overrides,
    }


def frame_of(spark: SparkSession, columns: dict[str, str], rows: Sequence[dict[str, Any]]) -> DataFrame:
    schema = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return spark.createDataFrame([tuple(row[name] for name in columns) for row in rows], schema).coalesce(1)


def version_of(frame: DataFrame) -> Any:
    """An order-free fingerprint, as the jobs pass it."""
    return F.bit_xor(F.xxhash64(*(name for name in frame.columns if name != "attributes")))


def failed(results: Sequence[AuditResult]) -> set[tuple[date, str]]:
    return {(result.day, result.expectation) for result in results if not result.success}


def the(results: Sequence[AuditResult], expectation: str, day: date = DAY) -> AuditResult:
    (result,) = (each for each in results if (each.expectation, each.day) == (expectation, day))
    return result


def later(n: int) -> date:
    return DAY + timedelta(days=n)


@contextmanager
def no_jobs_cached(spark: SparkSession) -> Iterator[None]:
    """Nothing that was run inside stays persisted."""
    before = spark.sparkContext._jsc.getPersistentRDDs().size()
    yield
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == before


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12)
