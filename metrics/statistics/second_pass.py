"""The second pass over households: sums of regression scores at fixed coefficients (DESIGN §2)."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame

from metrics.statistics.cells import Batches, RawRows, raw_rows
from metrics.statistics.layout import Group
from metrics.statistics.moments import Floats
from metrics.statistics.ols import Fit, ScoreSums, score_sums

Key = TypeVar("Key", bound=Hashable)
_SUMS = "fit INT, part INT, sums ARRAY<DOUBLE>"


def sum_scores(frame: DataFrame, fits: Mapping[Key, tuple[Group, Fit]]) -> dict[Key, ScoreSums]:
    """Score sums of every fit over the rows of its group, in one pass (none without fits).

    frame: `analysis_frame`. Collects a few hundred numbers per fit and partition.
    """
    if not fits:
        return {}
    ordered = list(fits.values())
    totals: dict[int, ScoreSums] = {}
    records = frame.mapInArrow(_kernel(ordered), _SUMS).collect()
    for record in sorted(records, key=lambda record: (record["fit"], record["part"])):
        sums = _unflattened(np.array(record["sums"]), len(ordered[record["fit"]][1].root))
        totals[record["fit"]] = totals[record["fit"]] + sums if record["fit"] in totals else sums
    return {key: totals[i] for i, key in enumerate(fits)}


def partition_scores(raw: RawRows, fits: Sequence[tuple[Group, Fit]]) -> Iterator[tuple[int, ScoreSums]]:
    """Score sums of one partition by the fit's position. Numpy only."""
    groups = {group.name: group for group, _ in fits}
    for name, group in groups.items():
        inside = raw.where(group.matured(raw.columns, len(raw)))
        rows = group.rows(inside.columns, len(inside))
        for position, (own, fit) in enumerate(fits):
            if own.name == name:
                yield position, score_sums(fit, rows, inside.arm, inside.household)


def _kernel(fits: Sequence[tuple[Group, Fit]]) -> Callable[[Batches], Batches]:
    def kernel(batches: Batches) -> Batches:
        found = [batch for batch in batches if batch.num_rows]
        if not found:
            return
        part = TaskContext.get().partitionId()  # type: ignore[union-attr]
        for position, sums in partition_scores(raw_rows(found), fits):
            schema = pa.schema([("fit", pa.int32()), ("part", pa.int32()), ("sums", pa.list_(pa.float64()))])
            record = {"fit": position, "part": part, "sums": _flattened(sums)}
            yield pa.RecordBatch.from_pylist([record], schema)

    return kernel


def _flattened(sums: ScoreSums) -> Floats:
    scalars = [sums.own, sums.own_squared, sums.overlap, sums.leverage]
    return np.concatenate([sums.products.ravel(), scalars, sums.shared.ravel()])


def _unflattened(values: Floats, k: int) -> ScoreSums:
    products, scalars, shared = values[:4].reshape(2, 2), values[4:8], values[8:].reshape(k, k)
    own, own_squared, overlap, leverage = map(float, scalars)
    return ScoreSums(products, own, own_squared, overlap, shared, leverage)
