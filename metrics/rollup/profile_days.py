"""The roll-up: events to measures per profile and day, and the exposure day's part, in one scan (DESIGN §2)."""

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics import histogram
from metrics.configuration.catalogue import Catalogue, Measure

# Not null, so that sums and histograms are joined by plain keys.
_WHOLE_DAY = ""
_KEYS = ("day", "profile_id", "experiment_id")


def roll_up(events: DataFrame, first: DataFrame, catalogue: Catalogue) -> DataFrame:
    """Measures per (day, profile_id, experiment_id); experiment_id null is the whole day.

    A row with an experiment_id holds the events at or after that experiment's exposure, on the exposure day.
    `first`: experiment_id, profile_id, exposure_day, exposed_at as `first_exposures` gives them. One shuffle:
    each event is counted for its day, and once more per experiment that its profile entered earlier that day.
    Histograms, if there are any, are a second scan and shuffle, of the events that have a value.
    """
    sums = (
        _counted_for(events, first)
        .groupBy(*_KEYS)
        .agg(F.max("household_id").alias("household_id"), *_aggregates(catalogue))
    )
    rolled = _with_histograms(sums, events, first, catalogue) if catalogue.histograms else sums
    experiment_id = F.nullif("experiment_id", F.lit(_WHOLE_DAY)).alias("experiment_id")
    return rolled.select("day", experiment_id, "profile_id", "household_id", *catalogue.measures)


def _counted_for(events: DataFrame, first: DataFrame) -> DataFrame:
    """Events once per slot: experiment_id says which, `_WHOLE_DAY` is the day's."""
    slots = F.inline(F.coalesce("_slots", F.array(_whole_day())))
    slotted = events.join(_slots(first), ["day", "profile_id"], how="left").select("*", slots)
    return slotted.where((F.col("experiment_id") == _WHOLE_DAY) | (F.col("event_ts") >= F.col("exposed_at")))


def profile_days(rolled: DataFrame) -> DataFrame:
    return rolled.where(F.col("experiment_id").isNull()).drop("experiment_id")


def exposure_day_measures(rolled: DataFrame) -> DataFrame:
    return rolled.where(F.col("experiment_id").isNotNull())


def _slots(first: DataFrame) -> DataFrame:
    """What a profile's events of a day may count for: the whole day, and each experiment entered that day.

    Made on the small side: lambdas over arrays would keep every event out of generated code (measured: 4 times slower).
    """
    exposures = F.collect_list(F.struct("experiment_id", "exposed_at"))
    return first.groupBy(F.col("exposure_day").alias("day"), "profile_id").agg(
        F.concat(F.array(_whole_day()), exposures).alias("_slots")
    )


def _whole_day() -> Column:
    return F.struct(
        F.lit(_WHOLE_DAY).alias("experiment_id"), F.lit(None).cast("timestamp").alias("exposed_at")
    )


def _with_histograms(sums: DataFrame, events: DataFrame, first: DataFrame, catalogue: Catalogue) -> DataFrame:
    values = {name: F.expr(catalogue.measures[name].sql) for name in catalogue.histograms}
    has_value = reduce(or_, [value.isNotNull() for value in values.values()])
    bins = histogram.counted(_counted_for(events.where(has_value), first), _KEYS, values)
    joined = sums.join(bins, list(_KEYS), how="left")
    # The profile was active: no event with a value is known to be none.
    return joined.withColumns({name: F.coalesce(name, histogram.empty()) for name in values})


def _aggregates(catalogue: Catalogue) -> list[Column]:
    return [_aggregate(catalogue.measures[name]) for name in catalogue.numbers]


def _aggregate(measure: Measure) -> Column:
    # A sum over no matching event is null in SQL; here the profile was active, so it is a true zero.
    return F.coalesce(F.expr(measure.sql).cast("double"), F.lit(0.0)).alias(measure.name)
