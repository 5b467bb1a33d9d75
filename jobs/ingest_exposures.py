"""Merge the exposures that landed on an ingest day."""

import logging
import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, Observation

from jobs.application import day_job
from jobs.arguments import Days
from jobs.landing import Landing, counted, load_landing
from jobs.quarantine import replace_quarantine
from jobs.tables import Tables
from metrics.rollup.exposures import judged_exposures, one_per_key
from metrics.rollup.landing import in_one, kept, row_counts

log = logging.getLogger("watchlift.ingest_exposures")


def ingest_exposures(tables: Tables, days: Days) -> set[date]:
    """Insert exposures that are not there yet, so that an hour may be merged again; broken rows are quarantined.

    Gives the exposure days that may have gained rows: they are to be rolled up again.
    """
    return load_landing(tables.spark, lambda landing: _load(tables, landing, days))


def _load(tables: Tables, landing: Landing, days: Days) -> set[date]:
    judged = _judged(tables, landing, days)
    if not judged:
        log.info("exposures: none landed on %s", days)
        replace_quarantine(tables, "exposures", {}, landing.left_out, days.all)
        return set()
    counts = Observation("ingest_exposures")
    union = in_one(judged.values())
    observed = union.observe(counts, *row_counts())
    good = one_per_key(kept(observed)).persist()
    touched = {row["day"] for row in good.select("day").distinct().collect()}
    if touched:
        tables.merge("exposures", good, {"day": sorted(touched)}, fill=("tenure_days",))
    good.unpersist()
    seen = counted(counts, union)
    log.info("exposures: %s: %d rows landed, %d broke a rule", days, seen["rows"], seen["broken"])
    replace_quarantine(tables, "exposures", judged if seen["broken"] else {}, landing.left_out, days.all)
    return touched


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
