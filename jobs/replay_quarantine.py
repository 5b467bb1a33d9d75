"""Load quarantined rows that keep the rules since conf/sources.yml was mended, and roll up the days they touch."""

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import ingest_exposures
from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_table import audit_tables
from jobs.event_commits import noted, rolled_up
from jobs.ingest_events import merge_events
from jobs.quarantine import QUARANTINE
from jobs.roll_up_profile_days import roll_up_days
from jobs.tables import Tables
from metrics.configuration.sources import Source
from metrics.errors import InputError
from metrics.rollup.events import judged_events
from metrics.rollup.landing import fields_of, in_one, kept

log = logging.getLogger("watchlift.replay_quarantine")
_KEY = ("source", "ingest_day", "source_file", "row")


def replay_quarantine(tables: Tables, days: Days) -> None:
    """Judge the ingest days' quarantined rows of events and exposures again; load those that are good, once.

    They are loaded as what they were: rows of their own file and ingest day, so that loading the files again, where
    they are still there, gives the same tables. That a row was replayed is written last: a run that dies before is
    repeated with the same result.
    """
    events, touched = _judged_events(tables, days), set[date]()
    exposures = ingest_exposures.judged(tables, lambda source: _waiting(tables, "exposures", source, days))
    if events:
        touched |= merge_events(tables, kept(in_one(events)), days.all)
    if exposures:
        ingest_exposures.merge_exposures(tables, kept(in_one(exposures)), touched)
    _roll_up(tables, sorted(touched))
    judged = {f"events.{name}": frame for name, frame in events.items()}
    judged |= {f"exposures.{name}": frame for name, frame in exposures.items()}
    if judged:
        _mark(tables, judged, days)


def _judged_events(tables: Tables, days: Days) -> dict[str, DataFrame]:
    found = [(source, _waiting(tables, "events", source, days)) for source in tables.project.sources.events]
    return {source.name: judged_events(rows, source) for source, rows in found if rows is not None}


def _waiting(tables: Tables, kind: str, source: Source, days: Days) -> DataFrame | None:
    """The source's quarantined rows that were not replayed, as landing files give them. Damaged files have none."""
    rows = tables.read_days(QUARANTINE, days.all, "ingest_day").where(
        (F.col("source") == f"{kind}.{source.name}")
        & F.col("replayed_on").isNull()
        & F.col("raw").isNotNull()
    )
    if rows.isEmpty():
        return None
    if not source.schema:
        raise InputError(
            f"source '{source.name}' has no schema, without which its raw rows cannot be read; "
            "give `schema` in sources.yml, or land the files again"
        )
    return rows.select(fields_of("raw", source), "raw", "source_file", "row", "ingest_day")


def _roll_up(tables: Tables, touched: Sequence[date]) -> None:
    if not touched:
        return
    audit_tables(tables, ["exposures", "events"], touched)
    # Event days that another run left are not rolled up here, and go on waiting.
    others_wait = noted(tables).to_roll_up.difference(touched)
    roll_up_days(tables, touched, None if others_wait else rolled_up(tables))
    audit_tables(tables, ["profile_days", "exposure_day_measures"], touched)


def _mark(tables: Tables, judged: Mapping[str, DataFrame], days: Days) -> None:
    """Sets `replayed_on`, the day by the clock, of the rows that are good by now."""
    named = [
        frame.where(~F.col("broken")).withColumn("source", F.lit(name)) for name, frame in judged.items()
    ]
    loaded = reduce(DataFrame.unionByName, [frame.select(*_KEY) for frame in named])
    rows = tables.read_days(QUARANTINE, days.all, "ingest_day")
    now = rows.join(loaded.withColumn("_loaded", F.lit(True)), list(_KEY), how="left").persist()
    count = now.where("_loaded").count()
    if count:
        today = F.lit(datetime.now(UTC).date())
        replayed_on = F.when(F.col("_loaded"), today).otherwise(F.col("replayed_on"))
        tables.replace(QUARANTINE, now.withColumn("replayed_on", replayed_on), {"ingest_day": days.all})
    now.unpersist()
    log.info("quarantine: %s: %d rows replayed", days, count)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("replay_quarantine", __doc__, replay_quarantine, argv)


if __name__ == "__main__":
    sys.exit(main())
