"""One pass over households for the bootstrap: sums of outcomes by bucket, arm and slice, in numpy per partition."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame

from metrics.statistics.bootstrap import BUCKETS
from metrics.statistics.cells import Batches, Cell, RawRows, raw_rows
from metrics.statistics.layout import ALL, Group, code_of
from metrics.statistics.moments import Floats

BUCKET = "bucket"
_PARTS = "cell INT, part INT, payload BINARY"


@dataclass(frozen=True)
class BucketPlan:
    """Which cells to sum, with the position of each one's level in its segmentation (0 for `all`)."""

    groups: Mapping[str, Group]
    cells: tuple[tuple[Cell, int], ...]
    n_arms: int


def outcomes_only(group: Group) -> Group:
    """The group without its covariates."""
    return replace(group, columns=tuple(c for c in group.columns if c.name in group.outcomes))


def bucket_sums(frame: DataFrame, plan: BucketPlan) -> dict[Cell, Floats]:
    """Sums of x = (1, outcomes) by bucket and arm, (BUCKETS, A, 1+q), of every cell that has rows.

    frame: `analysis_frame` with its column `bucket`. Collects one array per cell.
    """
    parts = frame.mapInArrow(_kernel(plan), _PARTS)
    rows = parts.groupBy("cell").applyInArrow(_added_up, _PARTS).collect()
    found: dict[Cell, Floats] = {}
    for row in rows:
        cell, _ = plan.cells[row["cell"]]
        width = 1 + len(plan.groups[cell.group].columns)
        found[cell] = np.frombuffer(row["payload"]).reshape(BUCKETS, plan.n_arms, width)
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


def _kernel(plan: BucketPlan) -> Callable[[Batches], Batches]:
    def kernel(batches: Batches) -> Batches:
        found = [batch for batch in batches if batch.num_rows]
        if not found:
            return
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        for cell, sums in partition_sums(raw_rows(found), plan):
            yield _record(cell, part, sums.tobytes())

    return kernel


def _record(cell: int, part: int, payload: bytes) -> pa.RecordBatch:
    schema = pa.schema([("cell", pa.int32()), ("part", pa.int32()), ("payload", pa.binary())])
    return pa.RecordBatch.from_pylist([{"cell": cell, "part": part, "payload": payload}], schema)


def _added_up(parts: pa.Table) -> pa.Table:
    ordered: Sequence[dict[str, object]] = parts.sort_by("part").to_pylist()
    total = sum(np.frombuffer(row["payload"]) for row in ordered)  # type: ignore[call-overload]
    cell = int(str(ordered[0]["cell"]))
    return pa.Table.from_batches([_record(cell, 0, np.asarray(total).tobytes())])
