"""Poisson bootstrap over households (Chamandy and others 2012), percentile intervals.

A household's weight in a replicate is a pure function of (seed, household, replicate), so that intervals stay where
they are when data are repartitioned, retried or loaded again. Households are hashed into 65,536 buckets that draw as
one: up to some hundred households that is each household; beyond it a bucket is a larger cluster, which leaves the
variance unbiased and adds 0.3% of noise to the standard error, less than 10,000 replicates do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import exp, factorial

import numpy as np
from numpy.typing import NDArray

from metrics.statistics.moments import Floats

BUCKETS = 1 << 16
BLOCK = 256  # buckets that share a stream of random bits
_LEVELS = 1 << 16
_PER_WORD = 4  # weights of 16 bits each in a word of the stream


@dataclass(frozen=True)
class Interval:
    """What replicates say of one number: standard deviation, percentile interval, two-sided p against 0."""

    std_error: float
    low: float
    high: float
    p_value: float


def replicate_totals(sums: Floats, seed: int, replicates: int) -> Floats:
    """Weighted totals (R, m) of the buckets' sums (BUCKETS, m) in every replicate."""
    totals = np.zeros((replicates, sums.shape[1]))
    for block, occupied in _occupied(sums):
        weights = block_weights(seed, block, replicates)[:, occupied]
        totals += weights.astype(np.float64) @ sums[block * BLOCK + occupied]
    return totals


def block_weights(seed: int, block: int, replicates: int) -> NDArray[np.uint8]:
    """Poisson(1) weights (R, BLOCK) of a block of buckets. More replicates continue the same draws."""
    return next(weights_in_turn(seed, block, (replicates,)))


def weights_in_turn(seed: int, block: int, replicates: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
    """The same weights, so many replicates at a time; all but the last a multiple of 4."""
    stream = np.random.Philox(key=np.array([seed, block], dtype=np.uint64))
    for n in replicates:
        words = stream.random_raw(-(-n // _PER_WORD) * BLOCK)
        # A word's four weights go to four replicates of one bucket.
        draws = words.reshape(-1, BLOCK, 1).view("<u2").transpose(0, 2, 1).reshape(-1, BLOCK)
        weights: NDArray[np.uint8] = _table()[draws[:n]]
        yield weights


def interval_of(replicates: Floats, level: float) -> Interval | None:
    """Percentile interval at 1 - level over the replicates that could be computed; None if fewer than two could."""
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [level / 2, 1 - level / 2])
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    p_value = min(1.0, 2 * (1 + min(below, above)) / (1 + len(known)))
    return Interval(float(known.std(ddof=1)), float(low), float(high), p_value)


def _occupied(sums: Floats) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Blocks with anything in them, and where."""
    filled = (sums != 0).any(axis=1).reshape(-1, BLOCK)
    for block in np.flatnonzero(filled.any(axis=1)):
        yield int(block), np.flatnonzero(filled[block])


@cache
def _table() -> NDArray[np.uint8]:
    """Poisson(1) by inverse CDF on 65,536 equally likely draws; its mean is 1 to 1e-5."""
    masses = [exp(-1) / factorial(k) for k in range(16)]
    upper = np.rint(np.cumsum(masses) * _LEVELS)
    table = np.searchsorted(upper, np.arange(_LEVELS), side="right")
    return table.astype(np.uint8)


def ratios(totals: Floats) -> Floats:
    """Ratio (R,) of the first to the second of two totals (R, 2); NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients: Floats = np.where(totals[:, 1] != 0, totals[:, 0] / totals[:, 1], np.nan)
    return quotients
