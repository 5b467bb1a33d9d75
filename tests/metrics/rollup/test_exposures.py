from dataclasses import replace
from datetime import date

from pyspark.sql import SparkSession

from metrics.configuration.experiment import Restart
from metrics.rollup.exposures import exposed_on, first_exposures, without_crossovers
from tests.metrics.rollup.frames import EXPERIMENT, OTHER, at, exposures


def test_the_first_exposure_of_the_enrolment_counts_as_it_was_then(spark: SparkSession) -> None:
    frame = exposures(
        spark,
        {"exposed_at": at("2026-03-03T09:00"), "device": "web"},
        {"exposed_at": at("2026-03-03T08:00"), "device": "tv"},
        {"exposed_at": at("2026-03-01T08:00"), "device": "ios"},
    )
    rows = first_exposures(frame, [EXPERIMENT]).collect()
    assert [(row["exposed_at"], row["device"]) for row in rows] == [(at("2026-03-03T08:00"), "tv")]


def test_a_profile_first_seen_after_the_enrolment_is_not_in(spark: SparkSession) -> None:
    frame = exposures(
        spark, {"exposed_at": at("2026-03-04T23:59")}, {"profile_id": 2, "exposed_at": at("2026-03-05T00:00")}
    )
    assert [row["profile_id"] for row in first_exposures(frame, [EXPERIMENT]).collect()] == [1]


def test_a_profile_seen_in_two_arms_is_a_crossover_even_after_the_enrolment(spark: SparkSession) -> None:
    frame = exposures(
        spark,
        {},
        {"exposed_at": at("2026-03-10T12:00"), "arm": "treatment"},
        {"profile_id": 2},
        {"profile_id": 2, "exposed_at": at("2026-03-04T12:00")},
    )
    first = first_exposures(frame, [EXPERIMENT])
    assert {row["profile_id"]: row["n_arms"] for row in first.collect()} == {1: 2, 2: 1}
    assert [row["profile_id"] for row in without_crossovers(first).collect()] == [2]


def test_each_experiment_has_its_own_first_exposure(spark: SparkSession) -> None:
    frame = exposures(
        spark, {}, {"experiment_id": "y", "exposed_at": at("2026-03-03T12:00"), "arm": "treatment"}
    )
    rows = first_exposures(frame, [EXPERIMENT, OTHER]).collect()
    assert {(row["experiment_id"], row["arm"], row["n_arms"]) for row in rows} == {
        ("x", "control", 1),
        ("y", "treatment", 1),
    }
    assert [row["experiment_id"] for row in first_exposures(frame, [OTHER]).collect()] == ["y"]


def test_an_epoch_enrols_from_its_first_day_who_was_never_exposed_before(spark: SparkSession) -> None:
    frame = exposures(
        spark,
        {"exposed_at": at("2026-03-02T12:00")},
        {"exposed_at": at("2026-03-07T12:00")},
        {
            "profile_id": 2,
            "exposed_at": at("2026-03-05T12:00"),
        },  # after the first enrolment, before the second
        {"profile_id": 2, "exposed_at": at("2026-03-07T12:00")},
        {"profile_id": 3, "exposed_at": at("2026-03-06T00:00")},
        {"profile_id": 3, "exposed_at": at("2026-03-08T12:00"), "arm": "treatment"},
        {"profile_id": 4, "exposed_at": at("2026-03-08T23:59")},
        {"profile_id": 5, "exposed_at": at("2026-03-09T00:00")},
    )
    again = replace(EXPERIMENT, restart=Restart(1, date(2026, 3, 6), "salt reused"))
    first = first_exposures(frame, [again]).collect()
    assert {(row["profile_id"], row["n_arms"], row["epoch"]) for row in first} == {(3, 2, 1), (4, 1, 1)}
    assert [row["profile_id"] for row in first_exposures(frame, [EXPERIMENT]).collect()] == [1]
    # The roll-up knows no epochs: whoever may be enrolled by a later restart has an exposure day.
    days = [date(2026, 3, day) for day in range(2, 10)]
    assert {row["profile_id"] for row in exposed_on(frame, {"x": (days[0], days[-1])}, days).collect()} == {
        1,
        2,
        3,
        4,
        5,
    }
    ended = exposed_on(frame, {"x": (days[0], days[-2])}, days).collect()
    assert {row["profile_id"] for row in ended} == {1, 2, 3, 4}


def test_only_profiles_that_the_experiment_targets_at_their_first_exposure_are_in(
    spark: SparkSession,
) -> None:
    frame = exposures(
        spark,
        {"profile_id": 1, "device": "tv", "tenure_days": 40},
        {"profile_id": 2, "device": "web", "tenure_days": 40},
        {"profile_id": 2, "device": "tv", "tenure_days": 41, "exposed_at": at("2026-03-03T23:00")},
        {"profile_id": 3, "device": "tv", "tenure_days": 3},
        {"profile_id": 4, "device": "tv", "tenure_days": None},
        {"experiment_id": "y", "profile_id": 2, "device": "web"},
    )
    targeted = replace(
        EXPERIMENT, targeting={"device": ("tv", "ios"), "tenure_band": ("established", "unknown")}
    )
    rows = first_exposures(frame, [targeted, OTHER]).collect()
    assert {(row["experiment_id"], row["profile_id"]) for row in rows} == {("x", 1), ("x", 4), ("y", 2)}
