"""A pass over households: a numpy kernel on each partition's rows, whose payloads add up by their position.

Rows of one partition are brought to the driver once (a partition holds 200,000 rows at most) and every pass is a call;
more rows stay in Spark, and each pass is a job. The kernels, and hence the numbers, are the same.

Spark keeps a partition as one value, its rows sorted and written by Arrow: sorting, storing and handing over single
rows in Java costs more than all the sums made of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from metrics.histogram import middles
from metrics.statistics.moments import Floats, Integers

_ORDER = ("household", "arm", "profile")
_PACKED = "rows BINARY"
_VALUE_BYTES = 1 << 28  # of a value; Java's arrays end at eight times that
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
    """A partition's columns as arrays of n rows, sorted by household and arm, and its histograms.

    household: (n,) integers that tell its households apart. levels: of a column of codes, what each stands for.
    """

    columns: Mapping[str, np.ndarray]
    household: Integers
    arm: Integers
    bins: Mapping[str, Bins] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arm)

    def coded(self, levels: Mapping[str, tuple[str, ...]]) -> "RawRows":
        """The same with codes that are positions among these levels, which are those of all partitions."""
        codes = {}
        for name, texts in levels.items():
            places = [texts.index(text) for text in self.levels[name]]
            codes[name] = np.array(places, dtype=np.int64)[self.columns[name]]
        return replace(self, columns={**self.columns, **codes}, levels=levels)

    def where(self, chosen: np.ndarray) -> "RawRows":
        if chosen.all():
            return self
        columns = {name: values[chosen] for name, values in self.columns.items()}
        bins = {name: each.where(chosen) for name, each in self.bins.items()}
        return RawRows(columns, self.household[chosen], self.arm[chosen], bins, self.levels)


# What a kernel makes of one partition: payloads by position. An adder merges payloads of one position, in order.
Kernel = Callable[[RawRows], Iterator[tuple[int, bytes]]]
Adder = Callable[[Sequence[bytes]], bytes]


@dataclass(frozen=True)
class HouseholdRows:
    """The rows of an analysis, as `frame.analysis_frame` makes them: here, or in Spark where they are many.

    levels: of columns of codes, what the codes are positions in; None where each partition has its own.
    """

    here: RawRows | None
    in_spark: DataFrame | None
    levels: Mapping[str, tuple[str, ...]] | None = None

    def coded(self, levels: Mapping[str, tuple[str, ...]]) -> "HouseholdRows":
        """The same rows, with codes that are positions among these levels."""
        here = None if self.here is None else self.here.coded(levels)
        return HouseholdRows(here, self.in_spark, levels)

    def summed(self, kernel: Kernel, add: Adder) -> dict[int, bytes]:
        """The kernel's payloads, added up over the partitions; positions without any are absent."""
        if self.here is not None:
            with one_thread():
                return dict(kernel(self.here)) if len(self.here) else {}
        assert self.in_spark is not None
        parts = self.in_spark.mapInArrow(_on_packed(kernel, self.levels), _PARTS)
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
        yield HouseholdRows(raw_rows(sorted_rows(frame.toArrow())), None)
        return
    kept = frame.mapInArrow(_packed, _PACKED).persist()
    try:
        yield HouseholdRows(None, kept)
    finally:
        kept.unpersist()


def sorted_rows(table: pa.Table) -> pa.Table:
    """An analysis frame's rows by household, arm and profile; NaN for null, texts as codes with their dictionary."""
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _ORDER])
    kept = [name for name in table.column_names if name != "profile"]
    return pa.table({name: _ready(table[name].combine_chunks().take(order)) for name in kept})


def _ready(values: pa.Array) -> pa.Array:
    if pa.types.is_float64(values.type):
        return values.fill_null(np.nan)
    return values.dictionary_encode() if pa.types.is_string(values.type) else values


def raw_rows(table: pa.Table) -> RawRows:
    """Sorted rows as arrays."""
    found = {name: table[name].combine_chunks() for name in table.column_names}
    household = pc.dictionary_encode(found.pop("household"), null_encoding="encode")
    bins = {name: _bins(values) for name, values in found.items() if pa.types.is_list(values.type)}
    texts = {name: values for name, values in found.items() if pa.types.is_dictionary(values.type)}
    numbers = {name: values for name, values in found.items() if name not in (*bins, *texts)}
    columns = {name: values.to_numpy() for name, values in numbers.items()}
    columns |= {name: values.indices.to_numpy() for name, values in texts.items()}
    levels = {name: tuple(values.dictionary.to_pylist()) for name, values in texts.items()}
    return RawRows(columns, household.indices.to_numpy(), columns["arm"].astype(np.int64), bins, levels)


def _bins(histograms: pa.ListArray) -> Bins:
    rows, entries = pc.list_parent_indices(histograms), pc.list_flatten(histograms)
    numbers = [pc.struct_field(entries, name).to_numpy(zero_copy_only=False) for name in ("bin", "events")]
    places, events = (each.astype(np.int64) for each in numbers)
    return Bins(np.asarray(rows.to_numpy(), dtype=np.int64), middles(places), events.astype(np.float64))


def _packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    found = [batch for batch in batches if batch.num_rows]
    if not found:
        return
    rows = sorted_rows(pa.Table.from_batches(found))
    size = max(1, rows.num_rows * _VALUE_BYTES // max(rows.nbytes, 1))
    for first in range(0, rows.num_rows, size):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.slice(first, size))
        yield pa.RecordBatch.from_arrays([_one_value(sink.getvalue())], names=["rows"])


def unpacked(batches: Iterable[pa.RecordBatch]) -> RawRows | None:
    """A partition's rows from the values that they are kept as; None where there are none."""
    parts = []
    for value in (value for batch in batches for value in batch["rows"]):
        with pa.ipc.open_stream(value.as_buffer()) as reader:
            parts.append(reader.read_all())
    return raw_rows(pa.concat_tables(parts)) if parts else None


def _one_value(payload: pa.Buffer) -> pa.Array:
    """An array of one binary value, without copying it."""
    ends = pa.py_buffer(np.array([0, payload.size], dtype=np.int32))
    return pa.Array.from_buffers(pa.binary(), 1, [None, ends, payload])


def _on_packed(
    kernel: Kernel, levels: Mapping[str, tuple[str, ...]] | None
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        raw = unpacked(batches)
        if raw is not None:
            with one_thread():
                for position, payload in kernel(raw.coded(levels) if levels else raw):
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
