from datetime import date

from pyspark.sql import SparkSession

from metrics.histogram import BINS_PER_DOUBLING
from metrics.rollup.exposures import first_exposures
from metrics.rollup.profile_days import exposure_day_measures, profile_days, roll_up
from tests.metrics.rollup.frames import CATALOGUE, EXPERIMENT, OTHER, WITH_HISTOGRAM, at, events, exposures


def test_a_day_is_counted_whole_and_from_each_exposure_on(spark: SparkSession) -> None:
    first = first_exposures(
        exposures(
            spark,
            {"exposed_at": at("2026-03-02T12:00")},
            {"experiment_id": "y", "exposed_at": at("2026-03-02T13:00")},
        ),
        [EXPERIMENT, OTHER],
    )
    log = events(
        spark,
        {"event_ts": at("2026-03-02T11:59:59")},
        {"event_ts": at("2026-03-02T12:00")},
        {"event_ts": at("2026-03-02T13:30"), "watch_ms": 60_000, "event_type": "playback"},
        {"event_ts": at("2026-03-03T00:00")},
        {"profile_id": 2, "event_type": "search"},
    )
    rolled = roll_up(log, first, CATALOGUE)
    whole = {
        (r["day"].day, r["profile_id"]): (r["plays"], r["minutes"], r["active"])
        for r in profile_days(rolled).collect()
    }
    assert whole == {(2, 1): (2.0, 1.0, 1.0), (3, 1): (1.0, 0.0, 1.0), (2, 2): (0.0, 0.0, 1.0)}
    from_exposure = {
        r["experiment_id"]: (r["day"], r["plays"], r["minutes"])
        for r in exposure_day_measures(rolled).collect()
    }
    assert from_exposure == {"x": (date(2026, 3, 2), 1.0, 1.0), "y": (date(2026, 3, 2), 0.0, 1.0)}


def test_without_exposures_the_days_are_the_same(spark: SparkSession) -> None:
    none = first_exposures(exposures(spark, {}), [])
    rolled = roll_up(events(spark, {}, {}), none, CATALOGUE)
    assert [r["plays"] for r in profile_days(rolled).collect()] == [2.0]
    assert exposure_day_measures(rolled).isEmpty()


def test_a_histogram_holds_the_values_of_single_events(spark: SparkSession) -> None:
    first = first_exposures(exposures(spark, {"exposed_at": at("2026-03-02T12:00")}), [EXPERIMENT])
    render = {"event_type": "page_render"}
    log = events(
        spark,
        {"event_ts": at("2026-03-02T11:00"), **render, "latency_ms": 512},
        {"event_ts": at("2026-03-02T13:00"), **render, "latency_ms": 1024},
        {"event_ts": at("2026-03-02T14:00"), **render, "latency_ms": 1024},
        {"event_ts": at("2026-03-02T14:00"), **render, "latency_ms": None},
        {"event_ts": at("2026-03-02T15:00"), "latency_ms": 2048},
        {"profile_id": 2},
    )
    rolled = roll_up(log, first, WITH_HISTOGRAM)
    whole = {r["profile_id"]: [tuple(each) for each in r["render"]] for r in profile_days(rolled).collect()}
    assert whole == {1: [(9 * BINS_PER_DOUBLING, 1), (10 * BINS_PER_DOUBLING, 2)], 2: []}
    (from_exposure,) = exposure_day_measures(rolled).collect()
    assert [tuple(each) for each in from_exposure["render"]] == [(10 * BINS_PER_DOUBLING, 2)]
    plain = roll_up(log, first, CATALOGUE)
    assert sorted(rolled.drop("render").collect(), key=str) == sorted(plain.collect(), key=str)
