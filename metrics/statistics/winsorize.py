"""Exact pooled quantiles, inverse-CDF definition (Hyndman-Fan type 1), and the cut at them (DESIGN §6)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.statistics.moments import Floats

# percentile_approx is off by at most n / accuracy ranks; the bracket reaches twice as far.
BRACKET_ACCURACY = 10_000
# What R allows for: 0.995 * 200 counts as exactly 199.
FUZZ = 4 * 2.0**-52
# Beyond this many digits the order of summation shows.
_SIGNIFICANT_DIGITS = 12


def quantile_rank(n: int, probability: float) -> int:
    """Which of n sorted values, from 1, is the quantile: the smallest with at least n p values up to it."""
    return min(max(math.ceil(n * probability * (1 - FUZZ)), 1), n)


def type1_quantile(values: Floats, probability: float) -> float:
    """Smallest value with F(x) >= p. Raises ValueError without values."""
    if len(values) == 0:
        raise ValueError("a quantile needs at least one value")
    rank = quantile_rank(len(values), probability)
    return float(np.partition(values, rank - 1)[rank - 1])


def rounded(value: float | None) -> float | None:
    """To 12 significant digits, so that a sum does not depend on the order of its rows."""
    return None if value is None else float(f"{value:.{_SIGNIFICANT_DIGITS - 1}e}")


@dataclass(frozen=True)
class Bracket:
    """A column's number of values and two of them with the quantile surely between."""

    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Request:
    """A column to cut at its quantile; its value is null on rows that do not count."""

    value: Column
    probability: float
    bracket: Bracket


@dataclass(frozen=True)
class Cap:
    """Where a column is cut, and its mean once nothing lies above.

    shortfall: by how much its values fall short of the threshold in the mean, those above counting as none: what the
    mean gains once nothing lies below.
    """

    threshold: float
    capped_mean: float
    shortfall: float


@dataclass(frozen=True)
class _Tally:
    """Distinct values within a bracket, ascending, with their counts; and what lies below it."""

    values: Floats
    counts: np.ndarray
    n_below: int
    sum_below: float


def bracket_ranks(probability: float) -> list[float]:
    reach = 2 / BRACKET_ACCURACY
    return [max(probability - reach, 0.0), min(probability + reach, 1.0)]


def exact_caps(rows: DataFrame, requests: Sequence[Request]) -> list[Cap]:
    """The exact quantile of each column, in one pass that collects only the distinct values of its bracket.

    A bracket that misses the quantile, which the sketch's error bound excludes, is opened on the side it missed.
    """
    if not requests:
        return []
    tallies = _tallies(rows, requests)
    reopened = [_reopened(request, tally) for request, tally in zip(requests, tallies, strict=True)]
    if list(requests) != reopened:
        return exact_caps(rows, reopened)
    return [_cap(request, tally) for request, tally in zip(requests, tallies, strict=True)]


def _tallies(rows: DataFrame, requests: Sequence[Request]) -> list[_Tally]:
    counted = (
        rows.select(
            F.explode(F.array(*(_entry(i, request) for i, request in enumerate(requests)))).alias("entry")
        )
        .where(F.col("entry.value") <= F.col("entry.high"))
        .groupBy(
            F.col("entry.request"), F.when(F.col("entry.value") >= F.col("entry.low"), F.col("entry.value"))
        )
        .agg(F.count(F.lit(1)), F.sum("entry.value"))
        .collect()
    )
    found: dict[int, dict[float | None, tuple[int, float]]] = {i: {} for i in range(len(requests))}
    for request, value, count, total in counted:
        found[request][value] = (count, total)
    return [_tally(found[i]) for i in range(len(requests))]


def _entry(position: int, request: Request) -> Column:
    return F.struct(
        F.lit(position).alias("request"),
        request.value.cast("double").alias("value"),
        F.lit(float(request.bracket.low)).alias("low"),
        F.lit(float(request.bracket.high)).alias("high"),
    )


def _tally(found: Mapping[float | None, tuple[int, float]]) -> _Tally:
    n_below, sum_below = found.get(None, (0, 0.0))
    inside = sorted((value, count) for value, (count, _) in found.items() if value is not None)
    values = np.array([value for value, _ in inside], dtype=np.float64)
    return _Tally(values, np.array([count for _, count in inside], dtype=np.int64), n_below, sum_below)


def _reopened(request: Request, tally: _Tally) -> Request:
    rank = quantile_rank(request.bracket.n, request.probability)
    bracket = request.bracket
    if rank <= tally.n_below:
        return Request(request.value, request.probability, Bracket(bracket.n, -math.inf, bracket.low))
    if rank > tally.n_below + tally.counts.sum():
        return Request(request.value, request.probability, Bracket(bracket.n, bracket.high, math.inf))
    return request


def _cap(request: Request, tally: _Tally) -> Cap:
    n = request.bracket.n
    rank = quantile_rank(n, request.probability)
    reached = tally.n_below + np.cumsum(tally.counts)
    threshold = float(tally.values[np.searchsorted(reached, rank)])
    n_above = n - tally.n_below - int(tally.counts.sum())
    inside = float(np.minimum(tally.values, threshold) @ tally.counts)
    mean = (tally.sum_below + inside + n_above * threshold) / n
    return Cap(threshold, rounded(mean) or 0.0, rounded(threshold - mean) or 0.0)
