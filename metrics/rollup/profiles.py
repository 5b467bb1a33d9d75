"""Profiles: row rules, and the latest row of each from a day's snapshot."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical, judge, missing_rules
from metrics.schemas import PROFILE_COLUMNS


def judged_profiles(raw: DataFrame, source: Source) -> DataFrame:
    """Raw rows of a source as profiles with provenance, `broken` and `reasons`."""
    return judge(canonical(raw, source, PROFILE_COLUMNS), missing_rules("profile_id", "household_id"))


def latest_profiles(profiles: DataFrame) -> DataFrame:
    """One row per profile_id with `snapshot_day`; of several rows the one of the last (source_file, row)."""
    others = [name for name in PROFILE_COLUMNS if name != "profile_id"]
    last = F.max_by(F.struct("ingest_day", *others), F.struct("source_file", "row")).alias("_last")
    return (
        profiles.groupBy("profile_id")
        .agg(last)
        .select("profile_id", "_last.*")
        .withColumnRenamed("ingest_day", "snapshot_day")
    )
