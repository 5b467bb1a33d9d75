"""A sample of a large table's profiles, the same on every day: what is asked of single rows' company needs no more."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

UNIT = "profile_id"
# Of a day: drawn apart, they tell a share to a permille, and keys that repeat if one in ten thousand does.
ROWS_LOOKED_AT = 200_000


@dataclass(frozen=True)
class Sample:
    """The rows of one profile in `one_in`; of a table without profiles, or a small one, all."""

    rows: DataFrame
    one_in: int = 1

    @property
    def words(self) -> str:
        return f" of one profile in {self.one_in}" if self.one_in > 1 else ""


def sample_of(frame: DataFrame, most_rows: int) -> Sample:
    """About ROWS_LOOKED_AT rows of a day of `most_rows`."""
    one_in = max(1, math.ceil(most_rows / ROWS_LOOKED_AT))
    if one_in == 1 or UNIT not in frame.columns:
        return Sample(frame)
    return Sample(frame.where(F.pmod(F.xxhash64(UNIT), F.lit(one_in)) == 0), one_in)


@contextmanager
def read_once(sample: Sample, columns: Sequence[str]) -> Iterator[Sample]:
    """Within it the columns of a sample are kept: what costs is to read the rows among which they lie."""
    if sample.one_in == 1:
        yield sample
        return
    kept = sample.rows.select(*columns).persist()
    try:
        yield Sample(kept, sample.one_in)
    finally:
        kept.unpersist()
