from dataclasses import replace

import pytest
from pyspark.sql import functions as F

from metrics.bucketing import BUCKETS, arm_of, arm_salt, bucket, layer_salt
from metrics.configuration.experiment import NEW_PROFILE_DAYS
from metrics.errors import InputError
from metrics.schemas import EXPOSURE_COLUMNS
from metrics.simulation import settings as S
from metrics.simulation.exposures import assigned
from metrics.simulation.settings import Faults, epoch_day
from tests.metrics.simulation.services import EXPERIMENT, ServiceFrames, service


def test_arms_and_layer_follow_the_bucketing_of_every_service(plain: ServiceFrames) -> None:
    frames = service(plain.spark, profiles=100, exposed_share=0.3)
    for row in frames.assigned.collect():
        inside = bucket(layer_salt(EXPERIMENT.layer), row["profile_id"]) < 0.3 * BUCKETS
        expected = arm_of(bucket(arm_salt(EXPERIMENT.id), row["profile_id"]), EXPERIMENT.arms)
        assert row["arm"] == (expected if inside else None)


def test_a_household_stays_together_when_households_are_randomized(plain: ServiceFrames) -> None:
    by_household = replace(EXPERIMENT, randomized_by="cluster")
    arms = assigned(plain.population, by_household, plain.settings).groupBy("household_id")
    assert arms.agg(F.count_distinct("arm").alias("n")).where("n > 1").count() == 0


def test_an_observational_experiment_cannot_be_simulated(plain: ServiceFrames) -> None:
    with pytest.raises(InputError, match="is observational"):
        assigned(plain.population, replace(EXPERIMENT, randomized_by="none"), plain.settings)


def test_exposure_is_the_first_homepage_visit_from_the_start_on(plain: ServiceFrames) -> None:
    is_home = (F.col("kind") == 1) & (F.col("slot") == 0) & (F.col("detail") == 1)
    start_ms = epoch_day(EXPERIMENT.start) * S.DAY_MS
    homes = plain.events.where(is_home).select("profile_id", "epoch_day", "session_no")
    opened = plain.events.where((F.col("kind") == 0) & (F.col("epoch_day") * S.DAY_MS >= start_ms))
    visits = opened.join(homes, ["profile_id", "epoch_day", "session_no"], how="left_semi")
    first = {row[0]: row[1] for row in visits.groupBy("profile_id").agg(F.min("ts_ms")).collect()}
    exposed = {row["profile_id"]: row["exposed_ms"] for row in plain.joined.collect() if row["exposed_ms"]}
    # Events at the very end of the last day may be cut off with their session's second event.
    assert set(first) <= set(exposed)
    assert len(exposed) > 400
    assert all(0 <= first[profile] - exposed[profile] < 1_000 for profile in first)


def test_nobody_is_enrolled_outside_the_enrolment(plain: ServiceFrames) -> None:
    short = replace(EXPERIMENT, enrollment_days=2)
    frames = ServiceFrames(plain.spark, plain.settings, short)
    last_ms = (epoch_day(short.last_enrollment_day) + 1) * S.DAY_MS
    assert frames.joined.where(F.col("exposed_ms") >= last_ms).count() == 0
    later = frames.log.where(F.col("day") > F.lit(short.last_enrollment_day))
    assert later.count() > 0
    assert later.join(frames.joined.where("exposed_ms is null"), "profile_id", how="left_semi").count() == 0


def test_only_who_is_targeted_is_exposed(plain: ServiceFrames) -> None:
    targeting = {"device": ("tv", "web"), "region": ("latam",), "tenure_band": ("established",)}
    log = ServiceFrames(plain.spark, plain.settings, replace(EXPERIMENT, targeting=targeting)).log
    seen = log.agg(
        *(F.collect_set(name).alias(name) for name in ("device", "region")),
        F.min("tenure_days").alias("least"),
    )
    (row,) = seen.collect()
    assert (sorted(row["device"]), row["region"]) == (["tv", "web"], ["latam"])
    assert row["least"] >= NEW_PROFILE_DAYS


def test_an_experiment_that_has_not_begun_exposes_nobody(plain: ServiceFrames) -> None:
    later = service(plain.spark, profiles=50, days=3)
    assert later.settings.last_day < EXPERIMENT.start
    assert later.log.count() == 0
    assert later.joined.where("exposed_ms is not null").count() == 0


def test_the_log_has_a_row_per_day_visited_in_the_columns_of_its_table(plain: ServiceFrames) -> None:
    assert set(plain.log.columns) == {*EXPOSURE_COLUMNS, "day", "is_bot"}
    keys = plain.log.select("profile_id", "day")
    assert keys.distinct().count() == keys.count() > 1.5 * keys.select("profile_id").distinct().count()
    first = plain.log.groupBy("profile_id").agg(F.min(F.unix_millis("exposed_at")).alias("first_ms"))
    joined = first.join(plain.joined, "profile_id", how="inner")
    assert joined.where("first_ms != exposed_ms").count() == 0


def test_crossovers_are_seen_in_a_second_arm_soon_after(plain: ServiceFrames) -> None:
    crossing = service(plain.spark, faults=Faults(crossovers=0.1))
    by_profile = crossing.log.groupBy("profile_id").agg(F.count_distinct("arm").alias("arms"))
    share = by_profile.where("arms = 2").count() / by_profile.count()
    assert share == pytest.approx(0.1, abs=0.04)
    assert plain.log.exceptAll(crossing.log).count() == 0


def test_lost_exposures_shift_the_sample_ratio_on_one_device_only(plain: ServiceFrames) -> None:
    faults = Faults(srm_device="tv", srm_share=0.8)
    skewed = service(plain.spark, faults=faults)
    first = skewed.joined.where("exposed_ms is not null")
    on_tv = first.where(F.col("exposed_device") == 0)
    assert first.where("not is_logged").exceptAll(on_tv).count() == 0
    assert on_tv.where("arm = 'control' and not is_logged").count() == 0
    counts = {row["arm"]: row["count"] for row in on_tv.where("is_logged").groupBy("arm").count().collect()}
    assert counts["control"] / sum(counts.values()) == pytest.approx(0.8, abs=0.07)
    lost = first.where("not is_logged")
    assert skewed.log.join(lost, "profile_id", how="left_semi").count() == 0


def test_a_share_below_the_planned_one_thins_the_control(plain: ServiceFrames) -> None:
    skewed = service(plain.spark, faults=Faults(srm_device="tv", srm_share=0.2))
    lost = skewed.joined.where("not is_logged").select("arm").distinct().collect()
    assert [row["arm"] for row in lost] == ["control"]
