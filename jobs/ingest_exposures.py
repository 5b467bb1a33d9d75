"""Merge the exposures that landed on an ingest day."""

import logging
import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, Observation

from jobs.application import day_job
from jobs.arguments import Days
from jobs.landing import Landing, counted
from jobs.quarantine import replace_quarantine
from jobs.tables import Tables
from metrics.rollup.exposures import judged_exposures, one_per_key
from metrics.rollup.landing import in_one, kept, row_counts

log = logging.getLogger("watchlift.ingest_exposures")


def ingest_exposures(tables: Tables, days: Days) -> set[date]:
    """Insert exposures that are not there yet, so that an hour may be merged again; broken rows are quarantined.

    Gives the exposure days that may have gained rows: they are to be rolled up again.
    """
    landing, touched = Landing(tables.spark), set[date]()
    landing.load(lambda: _load(tables, landing, days, touched))
    return touched


def _load(tables: Tables, landing: Landing, days: Days, touched: set[date]) -> None:
    """Adds the days to `touched` before they are: a try that fails after its merge has touched them."""
    judged = _judged(tables, landing, days)
    if not judged:
        log.info("exposures: none landed on %s", days)
        replace_quarantine(tables, "exposures", {}, landing.left_out, days.all)
        return
    counts = Observation("ingest_exposures")
    union = in_one(judged.values())
    good = one_per_key(kept(union.observe(counts, *row_counts()))).persist()
    try:
        gaining = {row["day"] for row in good.select("day").distinct().collect()}
        touched |= gaining
        if gaining:
            tables.merge("exposures", good, {"day": sorted(gaining)}, fill=("tenure_days",))
    finally:
        good.unpersist()
    seen = counted(counts, union)
    log.info("exposures: %s: %d rows landed, %d broke a rule", days, seen["rows"], seen["broken"])
    replace_quarantine(tables, "exposures", judged if seen["broken"] else {}, landing.left_out, days.all)


def _judged(tables: Tables, landing: Landing, days: Days) -> dict[str, DataFrame]:
    project, profiles = tables.project, tables.read("profiles")
    landed = [(s, landing.read(s, days.all)) for s in project.sources.exposures]
    return {
        source.name: judged_exposures(raw, source, profiles, project.experiments)
        for source, raw in landed
        if raw is not None
    }


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_exposures", __doc__, ingest_exposures, argv)


if __name__ == "__main__":
    sys.exit(main())
