from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from metrics.histogram import BINS_PER_DOUBLING
from metrics.rollup.exposures import exposed_on, first_exposures
from metrics.rollup.profile_days import exposure_day_measures, profile_days
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
    whole = {
        (r["day"].day, r["profile_id"]): (r["plays"], r["minutes"], r["active"])
        for r in profile_days(log, CATALOGUE).collect()
    }
    assert whole == {(2, 1): (2.0, 1.0, 1.0), (3, 1): (1.0, 0.0, 1.0), (2, 2): (0.0, 0.0, 1.0)}
    from_exposure = {
        r["experiment_id"]: (r["day"], r["plays"], r["minutes"])
        for r in exposure_day_measures(log, first, CATALOGUE).collect()
    }
    assert from_exposure == {"x": (date(2026, 3, 2), 1.0, 1.0), "y": (date(2026, 3, 2), 0.0, 1.0)}


def test_without_exposures_the_days_are_the_same(spark: SparkSession) -> None:
    none = first_exposures(exposures(spark, {}), [])
    log = events(spark, {}, {})
    assert [r["plays"] for r in profile_days(log, CATALOGUE).collect()] == [2.0]
    assert exposure_day_measures(log, none, CATALOGUE).isEmpty()


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
    days, from_exposures = (
        profile_days(log, WITH_HISTOGRAM),
        exposure_day_measures(log, first, WITH_HISTOGRAM),
    )
    whole = {r["profile_id"]: [tuple(each) for each in r["render"]] for r in days.collect()}
    assert whole == {1: [(9 * BINS_PER_DOUBLING, 1), (10 * BINS_PER_DOUBLING, 2)], 2: []}
    (from_exposure,) = from_exposures.collect()
    assert [tuple(each) for each in from_exposure["render"]] == [(10 * BINS_PER_DOUBLING, 2)]
    for rolled, plain in (
        (days, profile_days(log, CATALOGUE)),
        (from_exposures, exposure_day_measures(log, first, CATALOGUE)),
    ):
        assert sorted(rolled.drop("render").collect(), key=str) == sorted(plain.collect(), key=str)


SPAN = (date(2026, 3, 2), date(2026, 3, 10))


def test_exposed_on_a_day_are_those_whose_first_exposure_of_the_enrolment_it_was(spark: SparkSession) -> None:
    log = exposures(
        spark,
        {"exposed_at": at("2026-03-01T12:00")},  # before the start
        {"exposed_at": at("2026-03-02T13:00")},
        {"exposed_at": at("2026-03-02T12:00"), "arm": "treatment"},
        {"profile_id": 2, "exposed_at": at("2026-03-03T12:00")},
        {"profile_id": 3, "exposed_at": at("2026-03-02T12:00")},
        {"profile_id": 3, "exposed_at": at("2026-03-03T12:00")},
        {"profile_id": 4, "experiment_id": "y", "exposed_at": at("2026-03-03T09:00")},
        {"profile_id": 5, "experiment_id": "unknown", "exposed_at": at("2026-03-03T09:00")},
    )
    days = [date(2026, 3, 2), date(2026, 3, 3)]
    first = first_exposures(log, [EXPERIMENT, OTHER]).where(F.col("exposure_day").isin(days))
    named = ("experiment_id", "profile_id", "exposed_at")
    expected = sorted(map(tuple, first.select(*named).collect()))
    assert (
        sorted(map(tuple, exposed_on(log, {"x": SPAN, "y": SPAN}, days).select(*named).collect())) == expected
    )
    assert len(expected) == 4
    (only,) = exposed_on(log, {"x": SPAN}, days[1:]).collect()
    assert only["profile_id"] == 2
