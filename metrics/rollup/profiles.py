"""Profiles: the latest row of each from a day's snapshot."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical
from metrics.schemas import PROFILE_COLUMNS


def latest_profiles(landed: Sequence[tuple[Source, DataFrame]]) -> DataFrame:
    """One row per profile_id with `snapshot_day`; of several rows the one of the last (source_file, row)."""
    frames = [canonical(raw, source, PROFILE_COLUMNS) for source, raw in landed]
    rows = reduce(DataFrame.unionByName, frames).where(F.col("profile_id").isNotNull())
    others = [name for name in PROFILE_COLUMNS if name != "profile_id"]
    last = F.max_by(F.struct("ingest_day", *others), F.struct("source_file", "row")).alias("_last")
    return (
        rows.groupBy("profile_id")
        .agg(last)
        .select("profile_id", "_last.*")
        .withColumnRenamed("ingest_day", "snapshot_day")
    )
