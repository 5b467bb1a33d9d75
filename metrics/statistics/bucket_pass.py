"""One pass over households for the bootstrap: sums of outcomes by bucket, arm and slice, in numpy per partition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics.bootstrap import BUCKETS
from metrics.statistics.cells import Cell
from metrics.statistics.layout import ALL, Group, code_of, population
from metrics.statistics.moments import Floats, Integers
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows

BUCKET = "bucket"


@dataclass(frozen=True)
class BucketPlan:
    """Which cells to sum, with the position of each one's level in its segmentation (0 for `all`)."""

    groups: Mapping[str, Group]
    cells: tuple[tuple[Cell, int], ...]
    n_arms: int


@dataclass(frozen=True, eq=False)
class BucketSums:
    """Sums (k, A, 1+q) of x = (1, outcomes) by arm in the k buckets that have rows."""

    buckets: Integers
    sums: Floats

    def dense(self) -> Floats:
        """(BUCKETS, A(1+q)), with 0 where a bucket has no rows."""
        table = np.zeros((BUCKETS, self.sums[0].size))
        table[self.buckets] = self.sums.reshape(len(self.buckets), -1)
        return table


def outcomes_only(group: Group) -> Group:
    """The group without its covariates."""
    return replace(group, columns=tuple(c for c in group.columns if c.name in group.outcomes))


def bucket_sums(rows: HouseholdRows, plan: BucketPlan) -> dict[Cell, BucketSums]:
    """Sums of every cell that has rows."""
    found: dict[Cell, BucketSums] = {}
    for position, payload in rows.summed(_kernel(plan), _added_up).items():
        cell, _ = plan.cells[position]
        width = 1 + len(plan.groups[cell.group].columns)
        buckets, sums = _read(payload)
        found[cell] = BucketSums(buckets, sums.reshape(len(buckets), plan.n_arms, width))
    return found


def partition_sums(raw: RawRows, plan: BucketPlan) -> Iterator[tuple[int, Integers, Floats]]:
    """By the cell's position the buckets of one partition, and their sums (k, A(1+q)). Numpy only."""
    for name, group in plan.groups.items():
        inside, x = population(group, raw)
        bucket = inside.columns[BUCKET].astype(np.int64)
        for position, (cell, level) in enumerate(plan.cells):
            if cell.group != name:
                continue
            if cell.segment == ALL:
                yield position, *_sums(x, bucket, inside.arm, plan.n_arms)
            else:
                chosen = inside.columns[code_of(cell.segment)] == level
                yield position, *_sums(x[chosen], bucket[chosen], inside.arm[chosen], plan.n_arms)


def _sums(x: Floats, bucket: Integers, arm: Integers, n_arms: int) -> tuple[Integers, Floats]:
    buckets, place = np.unique(bucket, return_inverse=True)
    kind, size = place * n_arms + arm, len(buckets) * n_arms
    columns = [np.bincount(kind, weights=x[:, j], minlength=size) for j in range(x.shape[1])]
    sums = np.array(columns, dtype=np.float64).T.reshape(len(buckets), n_arms * x.shape[1])
    return buckets, sums


def _kernel(plan: BucketPlan) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, buckets, sums in partition_sums(raw, plan):
            if len(buckets):
                yield position, _written(buckets, sums)

    return kernel


def _added_up(parts: Sequence[bytes]) -> bytes:
    read = [_read(part) for part in parts]
    buckets, place = np.unique(np.concatenate([found for found, _ in read]), return_inverse=True)
    total = np.zeros((len(buckets), read[0][1].shape[1]))
    np.add.at(total, place, np.concatenate([sums for _, sums in read]))
    return _written(buckets, total)


def _written(buckets: Integers, sums: Floats) -> bytes:
    """Rows of (bucket, its sums), with their number first."""
    table = np.column_stack([buckets.astype(np.float64), sums])
    return np.concatenate([[float(len(buckets))], table.ravel()]).tobytes()


def _read(payload: bytes) -> tuple[Integers, Floats]:
    array = np.frombuffer(payload)
    table = array[1:].reshape(int(array[0]), -1)
    return table[:, 0].astype(np.int64), table[:, 1:]
