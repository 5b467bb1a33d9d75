"""One pass over households for the bootstrap: sums of outcomes by bucket, arm and slice, in numpy per partition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics.bootstrap import BUCKETS
from metrics.statistics.cells import Cell
from metrics.statistics.layout import ALL, Group, code_of
from metrics.statistics.moments import Floats
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows

BUCKET = "bucket"


@dataclass(frozen=True)
class BucketPlan:
    """Which cells to sum, with the position of each one's level in its segmentation (0 for `all`)."""

    groups: Mapping[str, Group]
    cells: tuple[tuple[Cell, int], ...]
    n_arms: int


def outcomes_only(group: Group) -> Group:
    """The group without its covariates."""
    return replace(group, columns=tuple(c for c in group.columns if c.name in group.outcomes))


def bucket_sums(rows: HouseholdRows, plan: BucketPlan) -> dict[Cell, Floats]:
    """Sums of x = (1, outcomes) by bucket and arm, (BUCKETS, A, 1+q), of every cell that has rows."""
    found: dict[Cell, Floats] = {}
    for position, payload in rows.summed(_kernel(plan), _added_up).items():
        cell, _ = plan.cells[position]
        width = 1 + len(plan.groups[cell.group].columns)
        found[cell] = np.frombuffer(payload).reshape(BUCKETS, plan.n_arms, width)
    return found


def partition_sums(raw: RawRows, plan: BucketPlan) -> Iterator[tuple[int, Floats]]:
    """Sums of one partition by the cell's position. Numpy only."""
    for name, group in plan.groups.items():
        inside = raw.where(group.matured(raw.columns, len(raw)))
        x = group.rows(inside.columns, len(inside))
        place = inside.columns[BUCKET].astype(np.int64) * plan.n_arms + inside.arm
        for position, (cell, level) in enumerate(plan.cells):
            if cell.group != name:
                continue
            if cell.segment == ALL:
                yield position, _sums(x, place, plan.n_arms)
            else:
                chosen = inside.columns[code_of(cell.segment)] == level
                yield position, _sums(x[chosen], place[chosen], plan.n_arms)


def _sums(x: Floats, place: np.ndarray, n_arms: int) -> Floats:
    size = BUCKETS * n_arms
    return np.column_stack([np.bincount(place, weights=x[:, j], minlength=size) for j in range(x.shape[1])])


def _kernel(plan: BucketPlan) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, sums in partition_sums(raw, plan):
            yield position, sums.tobytes()

    return kernel


def _added_up(parts: Sequence[bytes]) -> bytes:
    total = np.frombuffer(parts[0]).copy()
    for part in parts[1:]:
        total += np.frombuffer(part)
    return total.tobytes()
