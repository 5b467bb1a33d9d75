import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from metrics.simulation.delivery import delivered
from metrics.simulation.events import canonical
from metrics.simulation.settings import Faults
from tests.metrics.simulation.services import ServiceFrames, fingerprint, service

FAULTS = Faults(duplicates=0.05, late=0.04, broken=0.03, null_keys=0.02, clock_skew=0.02)
EVENT = ("session_key", "slot", "step")


@pytest.fixture(scope="module")
def faulty(plain: ServiceFrames) -> DataFrame:
    settings = service(plain.spark, faults=FAULTS).settings
    sent = plain.events.withColumn("true_ms", F.col("ts_ms"))
    return delivered(sent, settings).withColumn("day", F.to_date(F.timestamp_millis("true_ms"))).persist()


def share(part: DataFrame, plain: ServiceFrames) -> float:
    return part.count() / plain.events.count()


def test_without_faults_every_event_lands_once_in_its_hour(plain: ServiceFrames) -> None:
    landed = delivered(plain.events, plain.settings)
    assert landed.count() == plain.events.count()
    at = F.timestamp_millis("ts_ms")
    elsewhere = (F.col("ingest_day") != F.to_date(at)) | (F.col("hour") != F.date_format(at, "HH"))
    assert landed.where(elsewhere | F.col("damage").isNotNull()).count() == 0


def test_faults_do_not_touch_what_happened(plain: ServiceFrames) -> None:
    same = service(plain.spark, faults=FAULTS)
    assert fingerprint(same.events) == fingerprint(plain.events)
    assert fingerprint(same.log) == fingerprint(plain.log)


def test_every_event_is_delivered_and_duplicates_twice(faulty: DataFrame, plain: ServiceFrames) -> None:
    copies = faulty.groupBy(*EVENT).count()
    assert copies.count() == plain.events.count()
    assert share(copies.where("count = 2"), plain) == pytest.approx(0.05, abs=0.005)
    assert copies.where("count > 2").count() == 0


def test_late_events_keep_their_time_and_land_up_to_three_days_later(
    faulty: DataFrame, plain: ServiceFrames
) -> None:
    twice = faulty.groupBy(*EVENT).count().where("count = 2")
    once = faulty.join(twice, list(EVENT), how="left_anti")
    days_late = F.date_diff("ingest_day", "day")
    rows = once.where(days_late > 0).groupBy(days_late.alias("days")).count().collect()
    late = {row["days"]: row["count"] for row in rows}
    assert set(late) == {1, 2, 3}
    # Of the last days' late events some cannot come later: delivery ends with the simulation.
    assert sum(late.values()) / plain.events.count() == pytest.approx(0.04 * 12 / 14, abs=0.006)
    assert faulty.where(F.col("ingest_day") > F.lit(plain.settings.last_day)).count() == 0
    assert once.where((days_late > 0) & (F.col("ts_ms") != F.col("true_ms"))).count() == 0


def test_damage_and_skewed_clocks_come_at_their_rates(faulty: DataFrame, plain: ServiceFrames) -> None:
    assert share(faulty.where("damage = 'broken'"), plain) == pytest.approx(0.03, abs=0.004)
    assert share(faulty.where("damage = 'no_profile'"), plain) == pytest.approx(0.01, abs=0.003)
    assert share(faulty.where("damage = 'no_event_id'"), plain) == pytest.approx(0.01, abs=0.003)
    skew_hours = (F.col("ts_ms") - F.col("true_ms")) / 3_600_000
    assert share(faulty.where(skew_hours >= 48), plain) == pytest.approx(0.01, abs=0.003)
    assert share(faulty.where((skew_hours < 0) & (skew_hours >= -2)), plain) == pytest.approx(0.01, abs=0.003)
    assert faulty.where(((skew_hours > 0) & (skew_hours < 48)) | (skew_hours < -2)).count() == 0


def test_sound_first_copies_are_the_events_themselves(faulty: DataFrame, plain: ServiceFrames) -> None:
    sound = faulty.where("damage is null and ts_ms = true_ms").select(plain.events.columns).distinct()
    assert sound.exceptAll(plain.events).count() == 0
    assert share(sound, plain) == pytest.approx(1 - 0.07, abs=0.01)


def test_bots_flood_the_events_of_no_one_else(plain: ServiceFrames) -> None:
    infested = service(plain.spark, profiles=60, faults=Faults(bots=0.05))
    events = canonical(infested.events).groupBy("profile_id").count()
    bots = events.where("profile_id > 60").agg(F.min("count")).first()
    assert bots is not None and bots[0] > 3_000
    people = infested.events.where("profile_id <= 60")
    assert people.exceptAll(plain.events).count() == 0
