"""Exact pooled quantiles, inverse-CDF definition (Hyndman-Fan type 1), and the cut at them (DESIGN §6)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics.layout import all_known
from metrics.statistics.moments import Floats, Integers
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows

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
    """A column to cut at its quantile over the rows that know all of `outcomes`."""

    source: str
    outcomes: tuple[str, ...]
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


@dataclass(frozen=True, eq=False)
class _Tally:
    """Distinct values within a bracket, ascending, with their counts; and what lies below it."""

    values: Floats
    counts: Integers
    n_below: int
    sum_below: float


def exact_caps(rows: HouseholdRows, requests: Sequence[Request]) -> list[Cap]:
    """The exact quantile of each column, in one pass that collects only the distinct values of its bracket.

    A bracket that misses the quantile is opened on the side it missed.
    """
    if not requests:
        return []
    found = rows.summed(_kernel(requests), _added_up)
    tallies = [_read(found[i]) for i in range(len(requests))]
    reopened = [_reopened(request, tally) for request, tally in zip(requests, tallies, strict=True)]
    if list(requests) != reopened:
        return exact_caps(rows, reopened)
    return [_cap(request, tally) for request, tally in zip(requests, tallies, strict=True)]


def _kernel(requests: Sequence[Request]) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, request in enumerate(requests):
            inside = all_known(raw.columns, (*request.outcomes, request.source), len(raw))
            yield position, _written(_tallied(raw.columns[request.source][inside], request.bracket))

    return kernel


def _tallied(values: Floats, bracket: Bracket) -> _Tally:
    below = values[values < bracket.low]
    inside, counts = np.unique(values[(values >= bracket.low) & (values <= bracket.high)], return_counts=True)
    return _Tally(inside, counts, len(below), float(below.sum()))


def _added_up(parts: Sequence[bytes]) -> bytes:
    tallies = [_read(part) for part in parts]
    values, place = np.unique(np.concatenate([tally.values for tally in tallies]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([tally.counts for tally in tallies]), len(values))
    n_below, sum_below = (sum(tally.n_below for tally in tallies), sum(tally.sum_below for tally in tallies))
    return _written(_Tally(values, counts.astype(np.int64), n_below, sum_below))


def _written(tally: _Tally) -> bytes:
    below = [tally.n_below, tally.sum_below]
    return np.concatenate([below, tally.values, tally.counts]).astype(np.float64).tobytes()


def _read(payload: bytes) -> _Tally:
    array = np.frombuffer(payload)
    values, counts = array[2:].reshape(2, -1)
    return _Tally(values, counts.astype(np.int64), int(array[0]), float(array[1]))


def _reopened(request: Request, tally: _Tally) -> Request:
    rank = quantile_rank(request.bracket.n, request.probability)
    bracket = request.bracket
    if rank <= tally.n_below:
        return replace(request, bracket=Bracket(bracket.n, -math.inf, bracket.low))
    if rank > tally.n_below + tally.counts.sum():
        return replace(request, bracket=Bracket(bracket.n, bracket.high, math.inf))
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
