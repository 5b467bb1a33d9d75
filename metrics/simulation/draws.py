"""Random draws as pure functions of (seed, stream name, ids): the same whatever the partitioning.

A 64-bit hash of the ids gives a uniform number; inverse distribution functions give the rest, so that a larger
parameter only ever moves a draw one way. That is what makes potential outcomes share their draws.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from hashlib import blake2b
from itertools import accumulate
from operator import add

from pyspark.sql import Column
from pyspark.sql import functions as F

Id = str | Column


def uniform(seed: int, stream: str, *ids: Id) -> Column:
    """A number in (0, 1), both excluded. Each stream name is a sequence of its own."""
    key = int.from_bytes(blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "big", signed=True)
    # Typed, because a hash of INT and of BIGINT differ.
    names = [F.col(name) if isinstance(name, str) else name for name in ids]
    hashed = F.xxhash64(F.lit(key).cast("bigint"), *(name.cast("bigint") for name in names))
    return (F.shiftrightunsigned(hashed, 11).cast("double") + 0.5) * 2.0**-53


def exponential(u: Column) -> Column:
    """Mean 1."""
    return -F.log(u)


def normal(seed: int, stream: str, *ids: Id) -> Column:
    """Mean 0, variance 1 (Box & Muller 1958)."""
    radius = F.sqrt(2.0 * exponential(uniform(seed, f"{stream}/radius", *ids)))
    return radius * F.cos(2.0 * math.pi * uniform(seed, f"{stream}/angle", *ids))


def log_normal(z: Column, sigma: float) -> Column:
    """Mean 1, from a standard normal `z`."""
    return F.exp(sigma * z - sigma**2 / 2)


def geometric(u: Column, mean: Column | float, most: int) -> Column:
    """0, 1, 2, … with the given mean, as INT, cut at `most`."""
    mean = F.lit(mean) if isinstance(mean, float | int) else mean
    return F.least(F.floor(F.log(u) / F.log(mean / (1.0 + mean))), F.lit(most)).cast("int")


def choice(u: Column, weights: Mapping[str, float]) -> Column:
    """The position of a name, as INT, as often as its weight says; weights add up to 1."""
    bounds = list(accumulate(weights.values()))[:-1]
    return reduce(add, [(u >= bound).cast("int") for bound in bounds])


def named(names: Iterable[str], position: Column) -> Column:
    """The name at a position."""
    return F.get(F.array(*(F.lit(name) for name in names)), position)


def at(values: Sequence[float], index: Column) -> Column:
    """The number at a position from 0."""
    return F.get(F.array(*(F.lit(value) for value in values)), index.cast("int"))


def from_histogram(u: Column, weights: Sequence[float], steps: int = 192) -> Column:
    """A position in [0, 1) of a cycle whose equal bins have these weights, by a table of quantiles."""
    table = _quantiles(weights, steps)
    place = u * float(steps)
    left = F.floor(place)
    low, high = at(table, left), at(table, left + 1)
    return low + (high - low) * (place - left)


def _quantiles(weights: Sequence[float], steps: int) -> list[float]:
    """The quantiles 0, 1/steps, …, 1 of a histogram over [0, 1)."""
    total, cumulative = sum(weights), [0.0]
    for weight in weights:
        cumulative.append(cumulative[-1] + weight / total)
    quantiles = []
    for step in range(steps):
        share = step / steps
        bin_ = min(bisect_right(cumulative, share) - 1, len(weights) - 1)
        width = cumulative[bin_ + 1] - cumulative[bin_]
        quantiles.append((bin_ + (share - cumulative[bin_]) / width) / len(weights))
    return [*quantiles, 1.0]
