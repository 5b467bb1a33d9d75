from collections import Counter

from pyspark.sql import functions as F

from metrics.simulation.population import profiles, snapshots
from metrics.simulation.settings import BOT_SESSIONS_PER_DAY, Faults
from tests.metrics.simulation.services import ServiceFrames, service


def test_households_have_one_to_five_profiles_who_share_a_region(plain: ServiceFrames) -> None:
    rows = plain.population.select("household_id", "region", "plan").collect()
    sizes = Counter(Counter(row["household_id"] for row in rows).values())
    # 600 profiles are 30 times the pattern 1 2 1 3 2 4 1 5 1.
    assert sizes == {1: 120, 2: 60, 3: 30, 4: 30, 5: 30}
    assert len({(row["household_id"], row["region"], row["plan"]) for row in rows}) == 270


def test_profiles_sign_up_until_the_last_day_and_some_are_new(plain: ServiceFrames) -> None:
    last = plain.settings.last_day
    days_ago = [row[0] for row in plain.population.select(F.date_diff(F.lit(last), "signup_day")).collect()]
    assert min(days_ago) == 0
    assert max(days_ago) < 1500
    assert 0.08 < sum(days < 30 for days in days_ago) / 600 < 0.25


def test_a_profile_does_not_depend_on_how_many_there_are(plain: ServiceFrames) -> None:
    fewer = profiles(plain.spark.range(100), plain.settings)
    assert fewer.exceptAll(plain.population).count() == 0


def test_activity_is_heavy_tailed_and_shared_in_the_household(plain: ServiceFrames) -> None:
    table = plain.population.select("household_id", F.log("sessions_per_day").alias("habit")).toPandas()
    assert table["habit"].std() > 0.8
    of_many = table.groupby("household_id").filter(lambda members: len(members) > 1)
    within = of_many.groupby("household_id")["habit"].var().mean()
    assert within < 0.9 * of_many["habit"].var()


def test_bots_are_extra_profiles_in_households_of_their_own(plain: ServiceFrames) -> None:
    infested = service(plain.spark, faults=Faults(bots=0.01))
    bots = infested.population.where("is_bot").collect()
    assert sorted(row["profile_id"] for row in bots) == [601, 602, 603, 604, 605, 606]
    assert {row["sessions_per_day"] for row in bots} == {BOT_SESSIONS_PER_DAY}
    assert len({row["household_id"] for row in bots}) == 6
    assert infested.population.where("not is_bot").exceptAll(plain.population).count() == 0


def test_a_snapshot_holds_who_had_signed_up_by_its_day(plain: ServiceFrames) -> None:
    directory = snapshots(plain.population, plain.settings)
    first, last = plain.settings.first_day, plain.settings.last_day
    counts = {row["ingest_day"]: row["count"] for row in directory.groupBy("ingest_day").count().collect()}
    assert counts[last] == 600
    assert counts[first] == plain.population.where(F.col("signup_day") <= F.lit(first)).count() < 600
    assert directory.where(F.col("signup_day") > F.col("ingest_day")).count() == 0
