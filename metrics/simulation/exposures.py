"""Who is in the experiment, since when, and what the exposure log says of it."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.assignment import allocate
from metrics.configuration.experiment import NEW_PROFILE_DAYS, STANDING_SEGMENT, Experiment
from metrics.enrollment import end_of
from metrics.errors import InputError
from metrics.rollup.exposures import targeted, tenure_band
from metrics.simulation import settings as S
from metrics.simulation.draws import named, uniform
from metrics.simulation.sessions import sessions
from metrics.simulation.settings import Settings, epoch_day

_ASSIGNMENT_VERSION = "1"
# Room for a position in DEVICES beside a time, so that the first visit is the minimum of one number.
_DEVICE_BITS = 3


def assigned(population: DataFrame, experiment: Experiment, settings: Settings) -> DataFrame:
    """`population` plus arm (null outside the experiment's layer buckets), by the bucketing of every service."""
    if experiment.randomized_by == "none":
        raise InputError(f"experiment '{experiment.id}' is observational; simulate one that randomizes")
    allocation = allocate(experiment, settings.exposed_share, end_of(settings.last_day))
    return population.select("*", allocation.arm_column(allocation.unit).alias("arm"))


def visits(assignments: DataFrame, experiment: Experiment, settings: Settings) -> DataFrame:
    """Each profile's first homepage visit on each day from the experiment's start, inside the experiment only,
    and only while it targets the profile.

    Columns: profile_id, epoch_day INT, visit BIGINT (time and device in one number, see `_visited_ms`).
    """
    first = max(epoch_day(experiment.start), epoch_day(settings.first_day))
    last = epoch_day(settings.last_day)
    # An experiment that starts after the last simulated day has no visits.
    candidates = assignments.where(F.col("arm").isNotNull() & F.lit(first <= last))
    at_visit = {
        "region": named(S.REGIONS, F.col("region")),
        "device": named(S.DEVICES, F.col("session_device")),
        STANDING_SEGMENT: tenure_band(F.col("epoch_day") - F.unix_date("signup_day")),
    }
    opened = sessions(candidates, settings, min(first, last), last)
    homepage = opened.where(F.col("from_homepage") & targeted(experiment, at_visit))
    visit = F.shiftleft("started_ms", _DEVICE_BITS) + F.col("session_device")
    return homepage.groupBy("profile_id", "epoch_day").agg(F.min(visit).alias("visit"))


def participants(
    assignments: DataFrame, visited: DataFrame, experiment: Experiment, settings: Settings
) -> DataFrame:
    """`assignments` plus the first exposure in the enrolment.

    Added columns: exposed_ms (null: never), exposed_device, lift (of a treatment arm on the exposure day), is_logged
    (false: the log lost this profile).
    """
    enrolled = visited.where(F.col("epoch_day") <= epoch_day(experiment.last_enrollment_day))
    first = enrolled.groupBy("profile_id").agg(F.min("visit").alias("visit"))
    exposed = first.select(
        "profile_id", _visited_ms().alias("exposed_ms"), _visited_device().alias("exposed_device")
    )
    joined = assignments.join(exposed, on="profile_id", how="left")
    return joined.select(
        "*", _lift(settings).alias("lift"), _is_logged(experiment, settings).alias("is_logged")
    )


def exposure_log(
    joined: DataFrame, visited: DataFrame, experiment: Experiment, settings: Settings
) -> DataFrame:
    """The canonical exposures: a row per profile and day visited, and the second arm of each crossover.

    Columns: those of the table `exposures`, and is_bot.
    """
    logged = joined.where(F.col("exposed_ms").isNotNull() & F.col("is_logged"))
    seen = logged.join(visited, on="profile_id", how="inner").where(_visited_ms() >= F.col("exposed_ms"))
    log = _rows(seen, experiment, F.col("arm"), _visited_ms(), _visited_device())
    return log.unionByName(_second_arms(logged, experiment, settings)) if settings.faults.crossovers else log


def _second_arms(logged: DataFrame, experiment: Experiment, settings: Settings) -> DataFrame:
    """The next arm, seen up to half an hour after the first."""
    seed, arms = settings.seed, list(experiment.arms)
    crossing = logged.where(uniform(seed, "crossover", "profile_id") < settings.faults.crossovers)
    next_arm = F.coalesce(
        *(
            F.when(F.col("arm") == arm, F.lit(other))
            for arm, other in zip(arms, arms[1:] + arms[:1], strict=True)
        )
    )
    wait_ms = (60_000 + uniform(seed, "crossing time", "profile_id") * 1_740_000).cast("bigint")
    end_ms = (epoch_day(settings.last_day) + 1) * S.DAY_MS
    at_ms = F.least(F.col("exposed_ms") + wait_ms, F.lit(end_ms - 1))
    return _rows(crossing, experiment, next_arm, at_ms, F.col("exposed_device"))


def _rows(seen: DataFrame, experiment: Experiment, arm: Column, at_ms: Column, device: Column) -> DataFrame:
    exposed_at = F.timestamp_millis(at_ms)
    day = F.to_date(exposed_at)
    return seen.select(
        F.lit(experiment.id).alias("experiment_id"),
        "profile_id",
        exposed_at.alias("exposed_at"),
        arm.alias("arm"),
        "household_id",
        named(S.DEVICES, device).alias("device"),
        named(S.REGIONS, F.col("region")).alias("region"),
        F.date_diff(day, F.col("signup_day")).alias("tenure_days"),
        F.lit(_ASSIGNMENT_VERSION).alias("assignment_version"),
        day.alias("day"),
        "is_bot",
    )


def _visited_ms() -> Column:
    return F.shiftright("visit", _DEVICE_BITS)


def _visited_device() -> Column:
    return F.col("visit").bitwiseAND(F.lit((1 << _DEVICE_BITS) - 1)).cast("int")


def _lift(settings: Settings) -> Column:
    tenure_days = F.floor(F.col("exposed_ms") / S.DAY_MS) - F.unix_date("signup_day")
    is_new = tenure_days < NEW_PROFILE_DAYS
    lift = F.when(is_new, settings.effects.new_lift).otherwise(settings.effects.lift)
    return F.when(F.col("is_bot"), 0.0).otherwise(lift).cast("double")


def _is_logged(experiment: Experiment, settings: Settings) -> Column:
    """Lose exposures of one side on one device until the control has the share of what is left that was asked for."""
    faults, control_share = settings.faults, experiment.arms[experiment.control]
    if faults.srm_device is None:
        return F.lit(True)
    # The others' odds of being kept, relative to the control's: where above 1, the control is thinned instead.
    kept = (1 - faults.srm_share) / faults.srm_share * control_share / (1 - control_share)
    is_control = F.col("arm") == experiment.control
    lost = uniform(settings.seed, "lost exposure", "profile_id") >= min(kept, 1 / kept)
    on_device = F.col("exposed_device") == list(S.DEVICES).index(faults.srm_device)
    return ~F.coalesce((is_control if kept > 1 else ~is_control) & on_device & lost, F.lit(False))
