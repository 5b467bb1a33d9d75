"""A pass over households: a numpy kernel on each partition's rows, whose payloads add up by their position.

Rows of one partition are brought to the driver once (a partition holds 200,000 rows at most) and every pass is a call;
more rows stay in Spark, and each pass is a job. The kernels, and hence the numbers, are the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from metrics.histogram import middles
from metrics.statistics.moments import Floats, Integers

_PARTS = "position INT, part INT, payload BINARY"
_SCHEMA = pa.schema([("position", pa.int32()), ("part", pa.int32()), ("payload", pa.binary())])


@dataclass(frozen=True, eq=False)
class Bins:
    """The histograms of a partition's rows: of each bin its row, the value that stands for it, and its events."""

    row: Integers
    value: Floats
    events: Floats

    def where(self, chosen: np.ndarray) -> "Bins":
        kept = chosen[self.row]
        place = np.cumsum(chosen) - 1
        return Bins(place[self.row[kept]], self.value[kept], self.events[kept])


@dataclass(frozen=True, eq=False)
class RawRows:
    """A partition's columns as arrays of n rows, sorted by household and arm, and its histograms."""

    columns: Mapping[str, np.ndarray]
    household: Integers
    arm: Integers
    bins: Mapping[str, Bins] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arm)

    def where(self, chosen: np.ndarray) -> "RawRows":
        if chosen.all():
            return self
        columns = {name: values[chosen] for name, values in self.columns.items()}
        bins = {name: each.where(chosen) for name, each in self.bins.items()}
        return RawRows(columns, self.household[chosen], self.arm[chosen], bins)


# What a kernel makes of one partition: payloads by position. An adder merges payloads of one position, in order.
Kernel = Callable[[RawRows], Iterator[tuple[int, bytes]]]
Adder = Callable[[Sequence[bytes]], bytes]


@dataclass(frozen=True)
class HouseholdRows:
    """The rows of an analysis, as `frame.analysis_frame` makes them: here, or in Spark where they are many."""

    here: RawRows | None
    in_spark: DataFrame | None

    def summed(self, kernel: Kernel, add: Adder) -> dict[int, bytes]:
        """The kernel's payloads, added up over the partitions; positions without any are absent."""
        if self.here is not None:
            with one_thread():
                return dict(kernel(self.here)) if len(self.here) else {}
        assert self.in_spark is not None
        parts = self.in_spark.mapInArrow(_on_batches(kernel), _PARTS)
        sums = parts.groupBy("position").applyInArrow(_on_parts(add), _PARTS)
        return {row["position"]: bytes(row["payload"]) for row in sums.collect()}


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on the caller's thread alone.

    Its own threads wait for each other by spinning: with another process on the machine small products took 20 times
    as long. Spark and Airflow are what runs things side by side.
    """
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


@contextmanager
def household_rows(frame: DataFrame, partitions: int) -> Iterator[HouseholdRows]:
    """The rows of a frame of so many partitions, held until the last pass."""
    if partitions == 1:
        yield HouseholdRows(raw_rows(frame.toArrow()), None)
        return
    kept = frame.persist()
    try:
        yield HouseholdRows(None, kept)
    finally:
        kept.unpersist()


def raw_rows(table: pa.Table) -> RawRows:
    """Arrow rows of an analysis frame as arrays; null doubles become NaN."""
    lists = [field.name for field in table.schema if pa.types.is_list(field.type)]
    aside = ("household", "profile", *lists)
    columns = {name: table[name].to_numpy() for name in table.column_names if name not in aside}
    bins = {name: _bins(table[name].combine_chunks()) for name in lists}
    return RawRows(columns, _integers(table["household"]), columns["arm"].astype(np.int64), bins)


def _bins(histograms: pa.ListArray) -> Bins:
    rows, entries = pc.list_parent_indices(histograms), pc.list_flatten(histograms)
    numbers = [pc.struct_field(entries, name).to_numpy(zero_copy_only=False) for name in ("bin", "events")]
    places, events = (each.astype(np.int64) for each in numbers)
    return Bins(np.asarray(rows.to_numpy(), dtype=np.int64), middles(places), events.astype(np.float64))


def _integers(ids: pa.ChunkedArray) -> Integers:
    """Ids as integers that tell them apart; text ids become their positions in a dictionary."""
    if not pa.types.is_integer(ids.type):
        ids = pc.dictionary_encode(ids.combine_chunks()).indices
    return np.asarray(ids.to_numpy(zero_copy_only=False), dtype=np.int64)


def _on_batches(
    kernel: Kernel,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = [batch for batch in batches if batch.num_rows]
        if not found:
            return
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        with one_thread():
            for position, payload in kernel(raw_rows(pa.Table.from_batches(found))):
                yield _record(position, part, payload)

    return work


def _on_parts(add: Adder) -> Callable[[pa.Table], pa.Table]:
    def work(parts: pa.Table) -> pa.Table:
        ordered = parts.sort_by("part").to_pylist()
        total = add([row["payload"] for row in ordered])
        return pa.Table.from_batches([_record(ordered[0]["position"], 0, total)])

    return work


def _record(position: int, part: int, payload: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"position": position, "part": part, "payload": payload}], _SCHEMA)
