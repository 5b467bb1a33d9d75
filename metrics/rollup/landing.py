"""Raw rows of a source to canonical columns, each row judged: kept, or quarantined with its reasons."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.sources import CORRUPT, PROVENANCE, Source


def fields_of(line: str, source: Source) -> Column:
    """A column of JSON texts as the source's raw fields. Other formats' raw rows are kept as JSON, too."""
    of_format = source.options if source.format == "json" else {}
    options = {"columnNameOfCorruptRecord": CORRUPT, "mode": "PERMISSIVE", **of_format}
    return F.from_json(line, f"{source.schema}, {CORRUPT} STRING", options).alias("fields")


def canonical(raw: DataFrame, source: Source, columns: Mapping[str, str]) -> DataFrame:
    """The source's expressions over `raw.fields`, typed as declared; unmapped columns are null.

    `raw` has `fields` (struct of the raw columns, with CORRUPT set where a row could not be parsed) and PROVENANCE.
    A value that does not fit its type becomes null, and so breaks a rule rather than the run.
    """
    unpacked = raw.select(*PROVENANCE, "fields.*")
    if source.where:
        unpacked = unpacked.where(F.expr(source.where))
    mapped = [
        F.expr(source.columns.get(name, "NULL")).try_cast(kind).alias(name) for name, kind in columns.items()
    ]
    aside = [F.col(name).alias(f"_{name}") for name in PROVENANCE]
    malformed = F.col(CORRUPT).isNotNull().alias("_malformed")
    return (
        unpacked.select(*mapped, *aside, malformed)
        .withColumns({name: F.col(f"_{name}") for name in PROVENANCE})
        .drop(*(f"_{name}" for name in PROVENANCE))
    )


def judge(frame: DataFrame, rules: Mapping[str, Column]) -> DataFrame:
    """Adds `broken`, and `reasons`: the names of the broken rules. A malformed row has that reason alone.

    `broken` is apart because nearly every row is good: it stays in generated code, and the reasons, which do not, are
    worked out for the quarantine alone.
    """
    named = F.array_compact(F.array(*(F.when(rule, F.lit(name)) for name, rule in rules.items())))
    malformed = F.array(F.lit("malformed"))
    return frame.withColumns(
        {
            "broken": reduce(
                or_, (F.coalesce(rule, F.lit(False)) for rule in rules.values()), F.col("_malformed")
            ),
            "reasons": F.when(F.col("_malformed"), malformed).otherwise(named),
        }
    ).drop("_malformed")


@dataclass(frozen=True)
class Landed:
    """What came of a source on an ingest day; `broken` of the rows broke a rule."""

    source: str
    ingest_day: date
    rows: int
    broken: int
    damaged_files: int = 0


def in_one(judged: Mapping[str, DataFrame]) -> DataFrame:
    """The judged rows of all sources with their `source`, without what only the quarantine needs."""
    named = (frame.drop("raw", "reasons").withColumn("source", F.lit(name)) for name, frame in judged.items())
    return reduce(DataFrame.unionByName, named)


def kept(judged: DataFrame) -> DataFrame:
    """The good ones of the rows of `in_one`."""
    return judged.where(~F.col("broken")).drop("broken", "source")


def landed_counts(sources: Iterable[str], days: Sequence[date]) -> list[Column]:
    """How many rows and broken ones there are of each source and ingest day, to observe on the way of `in_one`."""
    counts = []
    for source in sources:
        for day in days:
            here = (F.col("source") == source) & (F.col("ingest_day") == F.lit(day))
            counts.append(F.count_if(here).alias(f"{source} {day} rows"))
            counts.append(F.count_if(here & F.col("broken")).alias(f"{source} {day} broken"))
    return counts


def landed_of(counts: Mapping[str, int], sources: Iterable[str], days: Sequence[date]) -> list[Landed]:
    """What the columns of `landed_counts` say."""
    return [
        Landed(source, day, counts[f"{source} {day} rows"], counts[f"{source} {day} broken"])
        for source in sources
        for day in days
    ]


def quarantined(judged: DataFrame, source: str) -> DataFrame:
    """Rows of events_quarantine for the rows that broke a rule."""
    return judged.where("broken").select(
        F.lit(source).alias("source"),
        "source_file",
        "row",
        "ingest_day",
        "reasons",
        "raw",
        F.lit(None).cast("date").alias("replayed_on"),
    )


def timing_rules(moment: str, source: Source) -> dict[str, Column]:
    """Lateness and the future are measured against the ingest day, never the clock, so that old data can be loaded."""
    end_of_day = F.date_add("ingest_day", 1).cast("timestamp")
    ahead = F.make_interval(mins=F.lit(source.max_minutes_ahead))
    return {
        f"{moment}_missing": F.col(moment).isNull(),
        "in_the_future": F.col(moment) >= end_of_day + ahead,
        "too_late": F.to_date(moment) < F.date_sub("ingest_day", source.max_days_late),
    }


def missing_rules(*names: str) -> dict[str, Column]:
    return {f"{name}_missing": F.col(name).isNull() for name in names}
