"""Merge the exposures that landed on an ingest day."""

import sys
from collections.abc import Callable, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_landed import audit_landed
from jobs.landing import Ingested, Landing
from jobs.quarantine import Arrivals
from jobs.tables import Tables
from metrics.configuration.sources import Source
from metrics.rollup.exposures import judged_exposures, one_per_key
from metrics.rollup.landing import Landed, kept


def ingest_exposures(tables: Tables, days: Days) -> Ingested:
    """Insert exposures that are not there yet, so that an hour may be merged again; broken rows are quarantined.

    The touched days are those that may have gained rows.
    """
    landing, touched = Landing(tables.spark), set[date]()
    landed = landing.load(lambda: _load(tables, landing, days, touched))
    return Ingested(frozenset(touched), landed)


def merge_exposures(tables: Tables, good: DataFrame, touched: set[date]) -> None:
    """Insert good rows; adds their days to `touched` before: a try that fails after its merge has touched them."""
    rows = one_per_key(good).persist()
    try:
        gaining = {row["day"] for row in rows.select("day").distinct().collect()}
        touched |= gaining
        if gaining:
            touched |= _displaced(tables, rows, min(gaining))
            tables.merge("exposures", rows, {"day": sorted(gaining)}, fill=("tenure_days",))
    finally:
        rows.unpersist()


def _displaced(tables: Tables, rows: DataFrame, first: date) -> set[date]:
    """Later days on which profiles were first exposed as far as was known, and by these rows are no more."""
    key = ["experiment_id", "profile_id"]
    earlier = rows.groupBy(*key).agg(F.min("day").alias("_earlier"))
    later = tables.read("exposures").where(F.col("day") > F.lit(first)).join(earlier, key, how="inner")
    return {row["day"] for row in later.where("day > _earlier").select("day").distinct().collect()}


def judged(tables: Tables, raw: Callable[[Source], DataFrame | None]) -> dict[str, DataFrame]:
    """The raw rows that there are of each source of exposures, judged."""
    project, profiles = tables.project, tables.read("profiles")
    found = [(source, raw(source)) for source in project.sources.exposures]
    return {
        source.name: judged_exposures(rows, source, profiles, project.experiments)
        for source, rows in found
        if rows is not None
    }


def _load(tables: Tables, landing: Landing, days: Days, touched: set[date]) -> tuple[Landed, ...]:
    landed = judged(tables, lambda source: landing.read(source, days.all))
    arrivals = Arrivals("exposures", landed, days.all)
    if landed:
        merge_exposures(tables, kept(arrivals.rows), touched)
    return arrivals.set_aside(tables, landing.left_out)


def ingest_and_audit(tables: Tables, days: Days) -> None:
    audit_landed(tables, ingest_exposures(tables, days).landed)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_exposures", __doc__, ingest_and_audit, argv)


if __name__ == "__main__":
    sys.exit(main())
