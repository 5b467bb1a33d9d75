"""Which rows are a profile's: of tables that hold profile_id, and of raw rows that broke a rule."""

from collections.abc import Iterator
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from metrics.configuration.sources import CORRUPT, Source, Sources
from metrics.rollup.landing import fields_of

# Without ingest_day, which files do not hold: of a Delta source, a stranger's row of another day may go along.
QUARANTINE_KEY = ("source", "source_file", "row")


def rows_of_profiles(rows: DataFrame, profiles: DataFrame) -> DataFrame:
    """The rows of a table with profile_id that are the profiles' own. `profiles`: profile_id."""
    return rows.join(F.broadcast(profiles), "profile_id", how="left_semi")


def raw_rows_of_profiles(quarantine: DataFrame, profiles: DataFrame, sources: Sources) -> DataFrame:
    """The keys of the rows of events_quarantine that are the profiles' own: those whose source reads such an id.

    Where it reads none (a broken line, a source that is gone, a null that was the fault), each whole number in the raw
    text counts as one: rather a stranger's broken row too many than one of theirs left.
    """
    numbers = F.regexp_extract_all("raw", F.lit(r"(?<![0-9])([0-9]+)(?![0-9])"), F.lit(1))
    read = reduce(DataFrame.unionByName, _as_read(quarantine, sources))
    ids = F.when(F.col("read").isNull(), numbers).otherwise(F.array(F.col("read").cast("string")))
    texts = profiles.select(F.abs("profile_id").cast("string").alias("id"))
    single = read.select(*QUARANTINE_KEY, F.explode(ids).alias("id"))
    return single.join(F.broadcast(texts), "id", how="left_semi").select(*QUARANTINE_KEY).distinct()


def _as_read(quarantine: DataFrame, sources: Sources) -> Iterator[DataFrame]:
    """The rows of each source with `read`, what it reads as profile_id; the rows of other sources with null."""
    # Of a source without a schema only its files know the columns.
    readable = {name: source for name, source in sources.by_name.items() if source.schema}
    unread = quarantine.where(~F.col("source").isin(list(readable)))
    yield unread.select(*QUARANTINE_KEY, "raw", F.lit(None).cast("bigint").alias("read"))
    for name, source in readable.items():
        yield _read_by(quarantine.where(F.col("source") == name), source)


def _read_by(rows: DataFrame, source: Source) -> DataFrame:
    aside = [F.col(name).alias(f"_{name}") for name in (*QUARANTINE_KEY, "raw")]
    told = F.expr(source.columns["profile_id"]).try_cast("bigint")
    return (
        rows.select(*aside, fields_of("raw", source).alias("_fields"))
        .select(*(f"_{name}" for name in (*QUARANTINE_KEY, "raw")), "_fields.*")
        .select(
            *(F.col(f"_{name}").alias(name) for name in (*QUARANTINE_KEY, "raw")),
            F.when(F.col(CORRUPT).isNull(), F.abs(told)).alias("read"),
        )
    )
