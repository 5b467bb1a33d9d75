"""Histograms of a measure's events: fixed logarithmic bins, which add up over days, profiles and arms (DESIGN §5).

A bin spans 1/256 of a doubling: its middle is within 0.14% of every value in it. Only bins with events take room.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

SQL_TYPE = "ARRAY<STRUCT<bin: INT, events: BIGINT>>"
BINS_PER_DOUBLING = 256
# Holds zero, and what is below it.
ZERO_BIN = -(1 << 20)
_LARGEST = float(np.finfo(np.float64).max)
_WHICH = "_which"
# A power of two is the first value of its bin, also where its logarithm comes out a digit short.
_FUZZ = 1e-9


def bin_of(value: Column) -> Column:
    """The number of a value's bin; null for null and for what is no finite number."""
    number = value.cast("double")
    finite = F.when(F.abs(number) <= _LARGEST, number)
    place = F.floor(F.log2(finite) * BINS_PER_DOUBLING + _FUZZ).cast("int")
    return F.when(finite > 0, place).when(finite <= 0, F.lit(ZERO_BIN))


def middles(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The value (n,) that stands for those of a bin: its geometric middle, 0 for the bin of zero."""
    return np.where(bins == ZERO_BIN, 0.0, np.exp2((bins + 0.5) / BINS_PER_DOUBLING))


def empty() -> Column:
    return F.array().cast(SQL_TYPE)


def n_events(histogram: Column) -> Column:
    """How many events a histogram holds, as a double; null where it is unknown."""
    total = F.aggregate(histogram, F.lit(0).cast("bigint"), lambda total, each: total + each["events"])
    return total.cast("double")


def counted(events: DataFrame, keys: Sequence[str], values: Mapping[str, Column]) -> DataFrame:
    """One row per keys that have a value, with a histogram of each named value of the events."""
    bins = [
        F.struct(F.lit(n).alias(_WHICH), bin_of(value).alias("bin"))
        for n, value in enumerate(values.values())
    ]
    each = events.select(*keys, F.explode(F.array(*bins)).alias("_binned")).select(*keys, "_binned.*")
    number = F.count(F.lit(1)).alias("events")
    tallied = each.where("bin IS NOT NULL").groupBy(*keys, _WHICH, "bin").agg(number)
    return _collected(tallied, keys, values)


def added_up(rows: DataFrame, keys: Sequence[str], histograms: Mapping[str, Column]) -> DataFrame:
    """One row per keys that have an event, with the sum of the rows' histograms of each name; null is empty."""
    marked = [_marked(histogram, n) for n, histogram in enumerate(histograms.values())]
    each = rows.select(*keys, F.inline(F.concat(*marked)))
    tallied = each.groupBy(*keys, _WHICH, "bin").agg(F.sum("events").alias("events"))
    return _collected(tallied, keys, histograms)


def _marked(histogram: Column, n: int) -> Column:
    """A histogram's bins with the number of what they belong to, so that several are read in one scan."""
    return F.transform(
        F.coalesce(histogram, empty()),
        lambda each: F.struct(F.lit(n).alias(_WHICH), each["bin"], each["events"]),
    )


def _collected(tallied: DataFrame, keys: Sequence[str], names: Iterable[str]) -> DataFrame:
    """Bins in their order, so that the same events give the same histogram."""
    return tallied.groupBy(*keys).agg(
        *(
            F.array_sort(F.collect_list(F.when(F.col(_WHICH) == n, F.struct("bin", "events")))).alias(name)
            for n, name in enumerate(names)
        )
    )
