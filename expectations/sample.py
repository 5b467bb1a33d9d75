"""A sample of a large table's profiles, the same on every day: what is asked of single rows' company needs no more."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

UNIT = "profile_id"
# Where rows lie in its order, Parquet's statistics of pages spare reading those that are not in the sample.
STORED_HASH = "profile_hash"
# Of a day: drawn apart, they tell a share to a permille, and keys that repeat if one in ten thousand does.
ROWS_LOOKED_AT = 200_000
# Of days together, which the driver holds at once: some fifty bytes each.
ROWS_HELD = 2_000_000


@dataclass(frozen=True)
class Sample:
    """The rows of one profile in `one_in`; of a table without profiles, or a small one, all."""

    rows: DataFrame
    one_in: int = 1

    @property
    def words(self) -> str:
        return f" of one profile in {self.one_in}" if self.one_in > 1 else ""


def sample_of(frame: DataFrame, unit_hash: str | None, most_rows: int) -> Sample:
    """About ROWS_LOOKED_AT rows of a day of `most_rows`.

    `unit_hash`: SQL, a profile's hash of 32 bits; None for a table that is looked at whole. Rows that were written
    before it was stored have none.
    """
    one_in = max(1, math.ceil(most_rows / ROWS_LOOKED_AT))
    if one_in == 1 or unit_hash is None or UNIT not in frame.columns:
        return Sample(frame)
    end = F.lit(-(1 << 31) + (1 << 32) // one_in)
    sample = frame.where(F.expr(unit_hash) < end)
    if STORED_HASH in frame.columns:
        sample = sample.where((F.col(STORED_HASH) < end) | F.col(STORED_HASH).isNull())
    return Sample(sample, one_in)


def held_together(rows: Mapping[date, int], one_in: int) -> Iterator[list[date]]:
    """The days in groups, of which the driver holds the sampled rows at once. `rows`: of each day."""
    group, held = list[date](), 0.0
    for day, n in rows.items():
        if group and held + n / one_in > ROWS_HELD:
            yield group
            group, held = [], 0.0
        group.append(day)
        held += n / one_in
    yield group


def brought(sample: Sample, columns: Mapping[str, Column]) -> pa.Table:
    """The sample's values on the driver, by one Spark job that moves no rows between tasks.

    What is asked of them there takes hundredths of a second, where each of Spark's own aggregations takes one.
    """
    if not columns:
        return pa.table({})
    return sample.rows.select(*(column.alias(name) for name, column in columns.items())).toArrow()
