"""Quantiles of arms (inverse CDF, Hyndman-Fan type 1), exact without a sort of all rows, and their bootstrap.

A first pass counts values by their leading bits, which says between which values the quantile lies with everything that
its replicates can reach; a second counts, by bucket of households, what is below and each value between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import sparse

from metrics.statistics.bootstrap import BLOCK, BUCKETS, weights_in_turn
from metrics.statistics.cells import Cell
from metrics.statistics.layout import ALL, Group, code_of
from metrics.statistics.moments import Floats, Integers, begins
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows
from metrics.statistics.winsorize import FUZZ, quantile_rank

# Sign, exponent and 12 bits of the fraction: values that share them differ by 0.02% at most.
_DROPPED_BITS = 40
# Replicates are followed over this many standard errors, to either side, were all rows of a household alike.
_REACH = 10.0
# Distinct values between which replicates are told apart: 0.04 of such a standard error, or each value.
_STEPS = 512
# Doubles that are held at once: 160 MiB of weights and of totals.
_NUMBERS_AT_ONCE = 20 << 20


@dataclass(frozen=True)
class Slice:
    """One outcome's values in one arm of a cell; `level` is the place of the cell's value in its segmentation.

    source: the column of the profiles' values, or the histograms of their events, each event being a row.
    """

    source: str
    cell: Cell
    level: int
    arm: int
    probability: float
    # What follows from the cell is not compared.
    group: Group = field(compare=False)


@dataclass(frozen=True, eq=False)
class Counts:
    """Of one slice, by bucket: rows (BUCKETS,), rows below the first of `values`, and of each value (BUCKETS, V).

    Where the values are those of events, rows are events.
    """

    rows: Floats
    below: Floats
    values: Floats
    each: sparse.csr_matrix

    def quantile(self, probability: float) -> float:
        """Smallest value with at least n p rows up to it."""
        reached = self.below.sum() + np.cumsum(np.asarray(self.each.sum(axis=0)).ravel())
        rank = quantile_rank(round(self.rows.sum()), probability)
        place = int(np.searchsorted(reached, rank))
        return float(self.values[min(place, len(self.values) - 1)])


def count_slices(rows: HouseholdRows, slices: Sequence[Slice]) -> dict[Slice, Counts]:
    """Counts of every slice that has rows, in two passes (none without slices)."""
    if not slices:
        return {}
    leading = rows.summed(_leading_kernel(slices), _merged_leading)
    brackets = {i: _bracket(payload, slices[i]) for i, payload in leading.items()}
    counted = rows.summed(_counting_kernel(slices, brackets), _merged_counts)
    return {slices[i]: _counts(payload) for i, payload in counted.items()}


def replicate_quantiles(counts: Mapping[Slice, Counts], seed: int, replicates: int) -> dict[Slice, Floats]:
    """The quantile (R,) of every slice in every replicate; NaN where a replicate has no rows.

    Weights are drawn once for all slices, some replicates at a time.
    """
    if not counts:
        return {}
    tables = [_table(each) for each in counts.values()]
    ends = np.cumsum([table.shape[1] for table in tables])
    steps = [_steps(each) for each in counts.values()]
    found: dict[Slice, list[Floats]] = {slice_: [] for slice_ in counts}
    for totals in _totals(sparse.hstack(tables).tocsr(), seed, replicates):
        for slice_, values, own in zip(counts, steps, np.split(totals, ends[:-1]), strict=True):
            found[slice_].append(_reached(values, own, slice_.probability))
    return {slice_: np.concatenate(parts) for slice_, parts in found.items()}


def _table(counts: Counts) -> sparse.csr_matrix:
    """By bucket: rows of each step, rows below the first, all rows."""
    return sparse.hstack([_thinned(counts), counts.below[:, None], counts.rows[:, None]]).tocsr()


def _totals(table: sparse.csr_matrix, seed: int, replicates: int) -> Iterator[Floats]:
    """The table's columns in some replicates after others, (columns, n)."""
    occupied = np.flatnonzero(np.diff(table.indptr))
    summed = table[occupied].T.tocsr()
    at_once = max(_NUMBERS_AT_ONCE // (4 * sum(summed.shape)), 1) * 4
    turns = [min(at_once, replicates - start) for start in range(0, replicates, at_once)]
    blocks, first = np.unique(occupied // BLOCK, return_index=True)
    places = np.split(occupied % BLOCK, first[1:])
    streams = [weights_in_turn(seed, int(block), turns) for block in blocks]
    for n in turns:
        weights = np.empty((len(occupied), n))
        for start, place, stream in zip(first, places, streams, strict=True):
            weights[start : start + len(place)] = next(stream)[:, place].T
        yield summed @ weights


def _reached(values: Floats, totals: Floats, probability: float) -> Floats:
    """The first value that enough rows reach, (R,), from totals of its steps, of what is below and of all rows."""
    rank = np.maximum(np.ceil(totals[-1] * probability * (1 - FUZZ)), 1)
    reached = totals[-2] + np.cumsum(totals[:-2], axis=0)
    place = np.minimum((reached < rank).sum(axis=0), len(values) - 1)
    return np.where(totals[-1] > 0, values[place], np.nan)


class _Values(NamedTuple):
    """A slice's values (n,), how many rows have each, and whose they are, those of a household together."""

    value: Floats
    number: Floats
    bucket: Integers
    household: Integers


def _values(raw: RawRows, slice_: Slice) -> _Values:
    inside = slice_.group.matured(raw.columns, len(raw)) & (raw.arm == slice_.arm)
    if slice_.cell.segment != ALL:
        inside &= raw.columns[code_of(slice_.cell.segment)] == slice_.level
    if slice_.source in raw.bins:
        bins = raw.bins[slice_.source]
        kept = inside[bins.row]
        row, value, number = bins.row[kept], bins.value[kept], bins.events[kept]
    else:
        row = np.flatnonzero(inside)
        value, number = raw.columns[slice_.source][row], np.ones(len(row))
    # Adding 0 makes minus zero plus zero.
    return _Values(value + 0.0, number, raw.columns["bucket"][row].astype(np.int64), raw.household[row])


def _leading_kernel(slices: Sequence[Slice]) -> Kernel:
    """Payloads: the sum of the households' squared numbers of rows, then leading bits, then the rows that have them."""

    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, slice_ in enumerate(slices):
            found = _values(raw, slice_)
            if len(found.value):
                keys, counts = _counted(_ordered_bits(found.value) >> _DROPPED_BITS, found.number)
                sizes = np.add.reduceat(found.number, np.flatnonzero(begins(found.household)))
                squares = np.array([sizes @ sizes], dtype=np.int64)
                yield position, np.concatenate([squares, keys, counts]).tobytes()

    return kernel


def _counted(keys: Integers, number: Floats) -> tuple[Integers, Integers]:
    """Each key once, and its number."""
    each, place = np.unique(keys, return_inverse=True)
    return each, np.bincount(place, weights=number, minlength=len(each)).astype(np.int64)


def _merged_leading(parts: Sequence[bytes]) -> bytes:
    arrays = [np.frombuffer(part, dtype=np.int64) for part in parts]
    keys, counts = np.concatenate([array[1:].reshape(2, -1) for array in arrays], axis=1)
    squares = np.sum([array[:1] for array in arrays], axis=0)
    return np.concatenate([squares, *_counted(keys, counts.astype(np.float64))]).tobytes()


def _bracket(payload: bytes, slice_: Slice) -> tuple[int, int]:
    """First and last leading bits that a replicate's quantile may have."""
    array = np.frombuffer(payload, dtype=np.int64)
    keys, counts = array[1:].reshape(2, -1)
    n, p = int(counts.sum()), slice_.probability
    rank = quantile_rank(n, p)
    # The most that clustering multiplies a variance by: the households' squared sizes by their sum.
    alike = int(array[0]) / n
    reach = _REACH * (np.sqrt(n * p * (1 - p) * alike) + alike)
    first, last = np.searchsorted(np.cumsum(counts), [max(rank - reach, 1), min(rank + reach, n)])
    return int(keys[first]), int(keys[min(last, len(keys) - 1)])


def _counting_kernel(slices: Sequence[Slice], brackets: dict[int, tuple[int, int]]) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, (low, high) in brackets.items():
            values, number, bucket, _ = _values(raw, slices[position])
            if not len(values):
                continue
            key = _ordered_bits(values) >> _DROPPED_BITS
            lower, between = key < low, (key >= low) & (key <= high)
            rows = np.bincount(bucket, weights=number, minlength=BUCKETS)
            below = np.bincount(bucket[lower], weights=number[lower], minlength=BUCKETS)
            tallied = _tallied(bucket[between], values[between], number[between])
            yield position, np.concatenate([rows, below, tallied]).tobytes()

    return kernel


def _tallied(bucket: Integers, values: Floats, number: Floats) -> Floats:
    """Each (bucket, value) once with its number of rows, as one array: ties take no more room than a row."""
    if not len(values):
        return np.zeros(0)
    order = np.lexsort((values, bucket))
    bucket, values, number = bucket[order], values[order], number[order]
    starts = np.flatnonzero(begins(bucket) | begins(values))
    sums = np.add.reduceat(number, starts)
    return np.column_stack([bucket[starts].astype(np.float64), values[starts], sums]).ravel()


def _merged_counts(parts: Sequence[bytes]) -> bytes:
    arrays = [np.frombuffer(part) for part in parts]
    sums = np.sum([array[: 2 * BUCKETS] for array in arrays], axis=0)
    return np.concatenate([sums, *(array[2 * BUCKETS :] for array in arrays)]).tobytes()


def _counts(payload: bytes) -> Counts:
    array = np.frombuffer(payload)
    bucket, between, number = array[2 * BUCKETS :].reshape(-1, 3).T
    values, place = np.unique(between, return_inverse=True)
    each = sparse.csr_matrix((number, (bucket.astype(np.int64), place)), shape=(BUCKETS, len(values)))
    return Counts(array[:BUCKETS], array[BUCKETS : 2 * BUCKETS], values, each)


def _step_of(counts: Counts) -> Integers:
    """To which step (V,) each value belongs: itself, or one of `_STEPS` with about as many rows each."""
    if len(counts.values) <= _STEPS:
        return np.arange(len(counts.values))
    reached = np.cumsum(np.asarray(counts.each.sum(axis=0)).ravel())
    steps = np.minimum(np.ceil(reached / reached[-1] * _STEPS).astype(np.int64), _STEPS) - 1
    place: Integers = np.unique(steps, return_inverse=True)[1]
    return place


def _steps(counts: Counts) -> Floats:
    """The largest value of each step."""
    step = _step_of(counts)
    return counts.values[np.append(np.flatnonzero(np.diff(step)), len(step) - 1)]


def _thinned(counts: Counts) -> sparse.csr_matrix:
    step = _step_of(counts)
    onto = sparse.csr_matrix((np.ones(len(step)), (np.arange(len(step)), step)))
    return counts.each @ onto


def _ordered_bits(values: Floats) -> Integers:
    """Integers in the order of the doubles."""
    bits = values.view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)
