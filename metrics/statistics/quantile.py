"""Quantiles of arms (inverse CDF, Hyndman-Fan type 1), exact without a sort of all rows, and their bootstrap.

A first pass counts values by their leading bits, which says between which values the quantile lies with everything that
its replicates can reach; a second counts, by bucket of households, what is below and each value between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from metrics.statistics.bootstrap import BLOCK, BUCKETS, block_weights
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
_SLICES_AT_ONCE = 4


@dataclass(frozen=True)
class Slice:
    """One outcome's values in one arm of a cell; `level` is the place of the cell's value in its segmentation.

    alike: the sum of the households' squared sizes by their sum, the most that clustering multiplies a variance by.
    """

    metric: str
    cell: Cell
    level: int
    arm: int
    probability: float
    # What follows from the cell is not compared.
    group: Group = field(compare=False)
    alike: float = field(default=1.0, compare=False)


@dataclass(frozen=True, eq=False)
class Counts:
    """Of one slice, by bucket: rows (BUCKETS,), rows below the first of `values`, and of each value (BUCKETS, V)."""

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

    Weights are drawn once for some slices together, whose totals are some 160 MiB at 10,000 replicates.
    """
    found: dict[Slice, Floats] = {}
    slices = list(counts)
    for start in range(0, len(slices), _SLICES_AT_ONCE):
        batch = slices[start : start + _SLICES_AT_ONCE]
        tables = [_table(counts[slice_]) for slice_ in batch]
        totals = np.split(_totals(tables, seed, replicates), np.cumsum([t.shape[1] for t in tables])[:-1])
        for slice_, own in zip(batch, totals, strict=True):
            found[slice_] = _reached(_steps(counts[slice_]), own, slice_.probability)
    return found


def _table(counts: Counts) -> sparse.csr_matrix:
    """By bucket: rows of each step, rows below the first, all rows."""
    return sparse.hstack([_thinned(counts), counts.below[:, None], counts.rows[:, None]]).tocsr()


def _totals(tables: Sequence[sparse.csr_matrix], seed: int, replicates: int) -> Floats:
    """The tables' columns in every replicate, (columns, R)."""
    table = sparse.hstack(tables).tocsr()
    totals = np.zeros((table.shape[1], replicates))
    for block in range(BUCKETS // BLOCK):
        part = table[block * BLOCK : (block + 1) * BLOCK]
        if part.nnz:
            totals += part.T @ block_weights(seed, block, replicates).T.astype(np.float64)
    return totals


def _reached(values: Floats, totals: Floats, probability: float) -> Floats:
    """The first value that enough rows reach, (R,), from totals of its steps, of what is below and of all rows."""
    rank = np.maximum(np.ceil(totals[-1] * probability * (1 - FUZZ)), 1)
    reached = totals[-2] + np.cumsum(totals[:-2], axis=0)
    place = np.minimum((reached < rank).sum(axis=0), len(values) - 1)
    return np.where(totals[-1] > 0, values[place], np.nan)


def _values(raw: RawRows, slice_: Slice) -> tuple[Floats, Integers]:
    """The slice's values and their buckets."""
    inside = slice_.group.matured(raw.columns, len(raw)) & (raw.arm == slice_.arm)
    if slice_.cell.segment != ALL:
        inside &= raw.columns[code_of(slice_.cell.segment)] == slice_.level
    # Adding 0 makes minus zero plus zero.
    return raw.columns[slice_.metric][inside] + 0.0, raw.columns["bucket"][inside].astype(np.int64)


def _leading_kernel(slices: Sequence[Slice]) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, slice_ in enumerate(slices):
            values, _ = _values(raw, slice_)
            if len(values):
                keys, counts = np.unique(_ordered_bits(values) >> _DROPPED_BITS, return_counts=True)
                yield position, np.concatenate([keys, counts]).tobytes()

    return kernel


def _merged_leading(parts: Sequence[bytes]) -> bytes:
    halves = [np.frombuffer(part, dtype=np.int64).reshape(2, -1) for part in parts]
    keys, place = np.unique(np.concatenate([half[0] for half in halves]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([half[1] for half in halves]))
    return np.concatenate([keys, counts]).tobytes()


def _bracket(payload: bytes, slice_: Slice) -> tuple[int, int]:
    """First and last leading bits that a replicate's quantile may have."""
    keys, counts = np.frombuffer(payload, dtype=np.int64).reshape(2, -1)
    n, p = int(counts.sum()), slice_.probability
    rank = quantile_rank(n, p)
    reach = _REACH * (np.sqrt(n * p * (1 - p) * slice_.alike) + slice_.alike)
    first, last = np.searchsorted(np.cumsum(counts), [max(rank - reach, 1), min(rank + reach, n)])
    return int(keys[first]), int(keys[min(last, len(keys) - 1)])


def _counting_kernel(slices: Sequence[Slice], brackets: dict[int, tuple[int, int]]) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, (low, high) in brackets.items():
            values, bucket = _values(raw, slices[position])
            if not len(values):
                continue
            key = _ordered_bits(values) >> _DROPPED_BITS
            between = (key >= low) & (key <= high)
            rows = np.bincount(bucket, minlength=BUCKETS).astype(np.float64)
            below = np.bincount(bucket[key < low], minlength=BUCKETS).astype(np.float64)
            yield (
                position,
                np.concatenate([rows, below, _tallied(bucket[between], values[between])]).tobytes(),
            )

    return kernel


def _tallied(bucket: Integers, values: Floats) -> Floats:
    """Each (bucket, value) once with its number of rows, as one array: ties take no more room than a row."""
    order = np.lexsort((values, bucket))
    bucket, values = bucket[order], values[order]
    starts = np.flatnonzero(begins(bucket) | begins(values))
    number = np.diff(np.append(starts, len(order)))
    return np.column_stack([bucket[starts].astype(np.float64), values[starts], number]).ravel()


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
