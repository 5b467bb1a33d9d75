"""The roll-up: events to measures per profile and day, and the exposure day's part from the exposure on (DESIGN §2)."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics import histogram
from metrics.configuration.catalogue import Catalogue, Measure

_DAY = ("day", "profile_id")
_EXPOSURE_DAY = ("day", "experiment_id", "profile_id")


def profile_days(events: DataFrame, catalogue: Catalogue) -> DataFrame:
    """One row per day and profile: household_id and the measures of all its events of that day.

    Sums are made before the shuffle, which moves profiles, not events. Histograms, if there are any, are a second scan
    and shuffle, of the events that have a value.
    """
    return _measured(events, _DAY, catalogue)


def exposure_day_measures(events: DataFrame, first: DataFrame, catalogue: Catalogue) -> DataFrame:
    """The same per experiment, over the events of the exposure day at or after the exposure.

    `first`: experiment_id, profile_id, exposed_at; each profile's first exposure in an experiment. A scan of its own:
    in one with the whole day every event would have to meet the exposures before it is counted, and where these are
    too many for each executor's memory, be shuffled and sorted for it (measured: docs/performance.md).
    """
    exposed = first.select(F.to_date("exposed_at").alias("day"), "experiment_id", "profile_id", "exposed_at")
    seen = events.join(exposed, list(_DAY), how="inner").where(F.col("event_ts") >= F.col("exposed_at"))
    return _measured(seen, _EXPOSURE_DAY, catalogue)


def _measured(events: DataFrame, keys: Sequence[str], catalogue: Catalogue) -> DataFrame:
    household = F.max("household_id").alias("household_id")
    sums = events.groupBy(*keys).agg(household, *_aggregates(catalogue))
    measured = _with_histograms(sums, events, keys, catalogue) if catalogue.histograms else sums
    return measured.select(*keys, "household_id", *catalogue.measures)


def _with_histograms(
    sums: DataFrame, events: DataFrame, keys: Sequence[str], catalogue: Catalogue
) -> DataFrame:
    values = {name: F.expr(catalogue.measures[name].sql) for name in catalogue.histograms}
    has_value = reduce(or_, [value.isNotNull() for value in values.values()])
    joined = sums.join(histogram.counted(events.where(has_value), keys, values), list(keys), how="left")
    # The profile was active: no event with a value is known to be none.
    return joined.withColumns({name: F.coalesce(name, histogram.empty()) for name in values})


def _aggregates(catalogue: Catalogue) -> list[Column]:
    return [_aggregate(catalogue.measures[name]) for name in catalogue.numbers]


def _aggregate(measure: Measure) -> Column:
    # A sum over no matching event is null in SQL; here the profile was active, so it is a true zero.
    return F.coalesce(F.expr(measure.sql).cast("double"), F.lit(0.0)).alias(measure.name)
