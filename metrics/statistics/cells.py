"""The one pass over households: the moments of every group and segment cell at once, in numpy per partition."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame

from metrics.statistics.layout import ALL, Group, code_of
from metrics.statistics.moments import Floats, Integers, Moments, merged, moments_of

_PARTS = "cell INT, part INT, payload BINARY"
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Cell:
    """One population: a maturity group's rows in one level of a segmentation, or `all`."""

    group: str
    segment: str = ALL
    value: str = ALL


@dataclass(frozen=True)
class Plan:
    """What the pass builds: every group in `all` and in every level of every segmentation."""

    arms: tuple[str, ...]
    groups: tuple[Group, ...]
    levels: Mapping[str, tuple[str, ...]]
    detail_limit: int

    @property
    def slices(self) -> tuple[tuple[str, str], ...]:
        """(segment, value) of `all` and of every level."""
        return ((ALL, ALL), *((name, value) for name, values in self.levels.items() for value in values))

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(Cell(group.name, *slice_) for group in self.groups for slice_ in self.slices)


@dataclass(frozen=True, eq=False)
class RawRows:
    """A partition's columns as arrays of n rows, sorted by household and arm."""

    columns: Mapping[str, np.ndarray]
    household: Integers
    arm: Integers

    def __len__(self) -> int:
        return len(self.arm)

    def where(self, chosen: np.ndarray) -> "RawRows":
        if chosen.all():
            return self
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return RawRows(columns, self.household[chosen], self.arm[chosen])


def cell_moments(frame: DataFrame, plan: Plan) -> dict[Cell, Moments]:
    """Moments of every cell of the plan, those without rows included. Collects one payload per cell.

    frame: `analysis_frame`. Partial moments of the partitions are added up in Spark, in the order of the partitions.
    """
    parts = frame.mapInArrow(_partition_kernel(plan), _PARTS)
    sums = parts.groupBy("cell").applyInArrow(_added_up, _PARTS)
    found = {row["cell"]: Moments.from_bytes(row["payload"]) for row in sums.collect()}
    groups = {group.name: group for group in plan.groups}
    return {
        cell: found.get(i) or _empty_moments(groups[cell.group], plan) for i, cell in enumerate(plan.cells)
    }


def partition_moments(raw: RawRows, plan: Plan) -> Iterator[tuple[int, Moments]]:
    """Moments of the plan's cells that have rows, by position. Numpy only."""
    positions = {cell: i for i, cell in enumerate(plan.cells)}
    for group in plan.groups:
        inside = raw.where(group.matured(raw.columns, len(raw)))
        rows = group.rows(inside.columns, len(inside))
        yield positions[Cell(group.name)], _moments(group, plan, rows, inside.arm, inside.household)
        for segment, values in plan.levels.items():
            code = inside.columns[code_of(segment)]
            for i, value in enumerate(values):
                chosen = code == i
                if chosen.any():
                    part = (rows[chosen], inside.arm[chosen], inside.household[chosen])
                    yield positions[Cell(group.name, segment, value)], _moments(group, plan, *part)


def raw_rows(batches: Sequence[pa.RecordBatch]) -> RawRows:
    """Arrow batches of an analysis frame as arrays; null doubles become NaN."""
    table = pa.Table.from_batches(batches)
    columns = {
        name: table[name].to_numpy() for name in table.column_names if name not in ("household", "profile")
    }
    return RawRows(columns, _integers(table["household"]), columns["arm"].astype(np.int64))


def _integers(ids: pa.ChunkedArray) -> Integers:
    """Ids as integers that tell them apart; text ids become their positions in a dictionary."""
    if not pa.types.is_integer(ids.type):
        ids = pc.dictionary_encode(ids).combine_chunks().indices
    return np.asarray(ids.to_numpy(), dtype=np.int64)


def _moments(group: Group, plan: Plan, rows: Floats, arm: Integers, household: Integers) -> Moments:
    return moments_of(group.names, plan.arms, group.shift, group.cap, rows, arm, household, plan.detail_limit)


def _empty_moments(group: Group, plan: Plan) -> Moments:
    nobody = np.zeros(0, dtype=np.int64)
    return _moments(group, plan, np.zeros((0, 1 + len(group.columns))), nobody, nobody)


def _partition_kernel(plan: Plan) -> Callable[[Batches], Batches]:
    def kernel(batches: Batches) -> Batches:
        found = [batch for batch in batches if batch.num_rows]
        if not found:
            return
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        for cell, moments in partition_moments(raw_rows(found), plan):
            yield _record(cell, part, moments)

    return kernel


def _record(cell: int, part: int, moments: Moments) -> pa.RecordBatch:
    schema = pa.schema([("cell", pa.int32()), ("part", pa.int32()), ("payload", pa.binary())])
    return pa.RecordBatch.from_pylist([{"cell": cell, "part": part, "payload": moments.to_bytes()}], schema)


def _added_up(parts: pa.Table) -> pa.Table:
    ordered = parts.sort_by("part").to_pylist()
    total = merged([Moments.from_bytes(row["payload"]) for row in ordered])
    return pa.Table.from_batches([_record(ordered[0]["cell"], 0, total)])
