"""Openings of the app: how many a day, when, on which device. The same in every arm."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.simulation import settings as S
from metrics.simulation.draws import (
    at,
    choice,
    exponential,
    from_histogram,
    geometric,
    log_normal,
    normal,
    uniform,
)
from metrics.simulation.settings import Settings

_MOST_SESSIONS = 200
_MOST_PLAYS = 8


def sessions(
    population: DataFrame, settings: Settings, first_epoch_day: int, last_epoch_day: int
) -> DataFrame:
    """One row per session in a range of days (both included), from the profile's sign-up day on.

    Columns: those of `population`, plus epoch_day INT (UTC), session_no INT, session_key BIGINT (for draws, not
    unique by contract), started_ms BIGINT (since 1970), session_device INT (position in DEVICES), from_homepage
    BOOLEAN.
    """
    signup = F.unix_date("signup_day")
    first = F.greatest(F.lit(first_epoch_day), signup)
    present = population.where(signup <= last_epoch_day)
    days = present.select("*", F.explode(F.sequence(first, F.lit(last_epoch_day))).alias("epoch_day"))
    # Counted from 0 and filtered afterwards: a filter on the count itself would evaluate the count twice.
    numbered = days.select("*", F.explode(F.sequence(F.lit(0), _count(settings))).alias("session_no"))
    numbered = numbered.where(F.col("session_no") > 0)
    keyed = numbered.select("*", F.xxhash64("profile_id", "epoch_day", "session_no").alias("session_key"))
    seed = settings.seed
    return keyed.select(
        "*",
        _started_ms(settings).alias("started_ms"),
        _device(settings).alias("session_device"),
        (uniform(seed, "homepage", "session_key") < S.HOMEPAGE_SHARE).alias("from_homepage"),
    )


def with_contents(opened: DataFrame, settings: Settings) -> DataFrame:
    """Add what a session holds: candidates INT (plays that some arm would make), slot_ms BIGINT (the time of one
    play, waiting included), impressions INT."""
    seed, key = settings.seed, "session_key"
    most_plays = S.PLAYS_PER_SESSION * (1 + settings.effects.largest_lift)
    minutes = 9.0 + 22.0 * F.pow(exponential(uniform(seed, "slot", key)), F.lit(0.9))
    return opened.select(
        "*",
        geometric(uniform(seed, "plays", key), most_plays, _MOST_PLAYS).alias("candidates"),
        (F.least(minutes, F.lit(180.0)) * 60_000).cast("bigint").alias("slot_ms"),
        (F.floor(uniform(seed, "impressions", key) * 3) + 1).cast("int").alias("impressions"),
    )


def _count(settings: Settings) -> Column:
    """Geometric around the profile's habit, its mood of the week and the weekday: many zeros, a long tail."""
    seed = settings.seed
    monday = F.col("epoch_day") + 3
    week = F.floor(monday / 7)
    mood = log_normal(normal(seed, "week", "profile_id", week), S.WEEK_SIGMA)
    rate = F.col("sessions_per_day") * mood * at(S.WEEKDAYS, F.pmod(monday, F.lit(7)))
    return geometric(uniform(seed, "sessions", "profile_id", "epoch_day"), rate, _MOST_SESSIONS)


def _started_ms(settings: Settings) -> Column:
    local = from_histogram(uniform(settings.seed, "hour", "session_key"), S.HOURS)
    ahead = at([hours / 24 for hours in S.HOURS_AHEAD_OF_UTC.values()], F.col("region"))
    time_of_day = F.floor(F.pmod(local - ahead, F.lit(1.0)) * S.DAY_MS)
    return F.col("epoch_day").cast("bigint") * S.DAY_MS + F.least(time_of_day, F.lit(S.DAY_MS - 1))


def _device(settings: Settings) -> Column:
    seed = settings.seed
    is_main = uniform(seed, "on main device", "session_key") < S.MAIN_DEVICE_SHARE
    other = choice(uniform(seed, "other device", "session_key"), S.DEVICES)
    return F.when(is_main, F.col("device")).otherwise(other)
