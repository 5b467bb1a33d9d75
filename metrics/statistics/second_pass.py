"""The second pass over households: sums of scores at fixed coefficients (DESIGN §2)."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame

from metrics.statistics.cells import Batches, RawRows, raw_rows
from metrics.statistics.interactions import LevelFit, LevelSums, level_sums
from metrics.statistics.layout import Group, code_of
from metrics.statistics.moments import Floats
from metrics.statistics.regression import Fit, Rows, ScoreSums, score_sums

Key = TypeVar("Key", bound=Hashable)
AnyFit = Fit | LevelFit
AnySums = ScoreSums | LevelSums
_SUMS = "fit INT, part INT, sums ARRAY<DOUBLE>"


def sum_scores(frame: DataFrame, fits: Mapping[Key, tuple[Group, AnyFit]]) -> dict[Key, AnySums]:
    """Score sums of every fit over the rows of its group, in one pass (none without fits).

    frame: `analysis_frame`. Collects a few hundred numbers per fit and partition.
    """
    if not fits:
        return {}
    ordered = list(fits.values())
    totals: dict[int, AnySums] = {}
    records = frame.mapInArrow(_kernel(ordered), _SUMS).collect()
    for record in sorted(records, key=lambda record: (record["fit"], record["part"])):
        position = record["fit"]
        sums = _unflattened(np.array(record["sums"]), ordered[position][1])
        totals[position] = totals[position] + sums if position in totals else sums  # type: ignore[operator]
    return {key: totals[i] for i, key in enumerate(fits)}


def partition_scores(raw: RawRows, fits: Sequence[tuple[Group, AnyFit]]) -> Iterator[tuple[int, AnySums]]:
    """Score sums of one partition by the fit's position. Numpy only."""
    groups = {group.name: group for group, _ in fits}
    for name, group in groups.items():
        inside = raw.where(group.matured(raw.columns, len(raw)))
        x = group.rows(inside.columns, len(inside))
        one_level = np.zeros(len(inside), dtype=np.int64)
        for position, (own, fit) in enumerate(fits):
            if own.name != name:
                continue
            level = inside.columns[code_of(fit.by)] if fit.by else one_level
            rows = Rows(x, inside.arm, inside.household, level)
            yield position, score_sums(fit, rows) if isinstance(fit, Fit) else level_sums(fit, rows)


def _kernel(fits: Sequence[tuple[Group, AnyFit]]) -> Callable[[Batches], Batches]:
    def kernel(batches: Batches) -> Batches:
        found = [batch for batch in batches if batch.num_rows]
        if not found:
            return
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        schema = pa.schema([("fit", pa.int32()), ("part", pa.int32()), ("sums", pa.list_(pa.float64()))])
        for position, sums in partition_scores(raw_rows(found), fits):
            record = {"fit": position, "part": part, "sums": _flattened(sums)}
            yield pa.RecordBatch.from_pylist([record], schema)

    return kernel


def _flattened(sums: AnySums) -> Floats:
    if isinstance(sums, LevelSums):
        return np.concatenate([[sums.n_households, sums.scale], sums.products.ravel()])
    scalars = [sums.own, sums.own_squared, sums.overlap, sums.leverage]
    return np.concatenate([sums.products.ravel(), scalars, sums.shared.ravel()])


def _unflattened(values: Floats, fit: AnyFit) -> AnySums:
    if isinstance(fit, LevelFit):
        size = len(fit.effects)
        return LevelSums(round(values[0]), values[2:].reshape(size, size), float(values[1]))
    k = len(fit.root)
    own, own_squared, overlap, leverage = map(float, values[4:8])
    return ScoreSums(values[:4].reshape(2, 2), own, own_squared, overlap, values[8:].reshape(k, k), leverage)
