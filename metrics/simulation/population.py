"""Profiles in households that share a habit, with sign-up dates up to the last simulated day."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.simulation import settings as S
from metrics.simulation.draws import at, choice, log_normal, named, normal, uniform
from metrics.simulation.settings import Settings

# Bots live alone, far above every real household.
_BOT_HOUSEHOLDS = 10**12


def profiles(ids: DataFrame, settings: Settings) -> DataFrame:
    """One row per profile from a column `id` = 0 … profiles + bots − 1 (what spark.range gives).

    Columns: profile_id, household_id, signup_day DATE, region, device, plan (INT positions in REGIONS, DEVICES and
    PLANS), sessions_per_day (its own long-run mean: household × profile × device), is_bot.
    """
    seed = settings.seed
    placed = ids.select(
        (F.col("id") + 1).alias("profile_id"),
        (F.col("id") >= settings.profiles).alias("is_bot"),
        _household(F.col("id"), settings.profiles).alias("household_id"),
    )
    described = placed.select(
        "profile_id",
        "household_id",
        "is_bot",
        _signup_day(settings).alias("signup_day"),
        choice(uniform(seed, "region", "household_id"), S.REGIONS).alias("region"),
        choice(uniform(seed, "plan", "household_id"), S.PLANS).alias("plan"),
        choice(uniform(seed, "device", "profile_id"), S.DEVICES).alias("device"),
    )
    return described.select(
        "profile_id",
        "household_id",
        "signup_day",
        "region",
        "device",
        "plan",
        F.when(F.col("is_bot"), S.BOT_SESSIONS_PER_DAY)
        .otherwise(_sessions_per_day(settings))
        .alias("sessions_per_day"),
        "is_bot",
    )


def snapshots(population: DataFrame, settings: Settings) -> DataFrame:
    """The profile directory as of each simulated day: profiles signed up by then, with `ingest_day` DATE."""
    days = F.sequence(F.lit(settings.first_day), F.lit(settings.last_day))
    dated = population.select("*", F.explode(days).alias("ingest_day"))
    kept = dated.where(F.col("signup_day") <= F.col("ingest_day"))
    return kept.select(
        "profile_id",
        "household_id",
        "signup_day",
        named(S.REGIONS, F.col("region")).alias("region"),
        named(S.DEVICES, F.col("device")).alias("device"),
        named(S.PLANS, F.col("plan")).alias("plan"),
        "ingest_day",
    )


def _household(index: Column, real_profiles: int) -> Column:
    """The household of the profile at a position: the sizes of HOUSEHOLD_SIZES, over and over."""
    members = [number for number, size in enumerate(S.HOUSEHOLD_SIZES) for _ in range(size)]
    table = F.array(*(F.lit(number) for number in members))
    block = F.floor(index / len(members))
    household = block * len(S.HOUSEHOLD_SIZES) + F.get(table, (index % len(members)).cast("int")) + 1
    return F.when(index < real_profiles, household).otherwise(index + _BOT_HOUSEHOLDS).cast("bigint")


def _signup_day(settings: Settings) -> Column:
    """Denser towards the last simulated day, so that new profiles are a tenth of the exposed ones."""
    u = uniform(settings.seed, "signup", "profile_id")
    days_ago = F.floor(S.SIGNUP_SPAN_DAYS * u * u).cast("int")
    before = F.when(F.col("is_bot"), settings.days + days_ago).otherwise(days_ago)
    return F.date_sub(F.lit(settings.last_day), before.cast("int"))


def _sessions_per_day(settings: Settings) -> Column:
    seed = settings.seed
    household = log_normal(normal(seed, "household habit", "household_id"), S.HOUSEHOLD_SIGMA)
    profile = log_normal(normal(seed, "profile habit", "profile_id"), S.PROFILE_SIGMA)
    dormant = uniform(seed, "dormant", "profile_id") < S.DORMANT_SHARE
    by_device = at(list(S.ACTIVITY.values()), F.col("device"))
    active = settings.sessions_per_day * household * profile * by_device
    human = F.when(dormant, active * S.DORMANT_FACTOR).otherwise(active)
    return F.when(F.col("is_bot"), S.BOT_SESSIONS_PER_DAY).otherwise(human)
