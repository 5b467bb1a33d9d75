"""Land the events of an ingest day: canonical columns, row rules, one copy of each event."""

import logging
import sys
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.landing import counted, landing_files, require_landing
from jobs.quarantine import replace_quarantine
from jobs.tables import Tables
from metrics.checksum import checksum
from metrics.configuration.sources import Source
from metrics.rollup.events import first_copies, judged_events, not_yet_ingested
from metrics.rollup.landing import in_one, kept, row_counts

log = logging.getLogger("watchlift.ingest_events")


def ingest_events(tables: Tables, days: Days) -> set[date]:
    """Replace the ingest days' rows of events, and their part of the quarantine.

    Rows of a range are deduplicated in the order of their ingest days, as if the days had run one by one. If the rows
    of a day change, ingest days loaded after it are loaded again, because which copy of an event is the first depends
    on it. Gives the event days that hold, or held, rows of what was loaded: they are to be rolled up again.
    """
    touched, changed = _replace(tables, days)
    later = _loaded_after(tables, days.last) if changed else []
    while later:
        day = later.pop(0)
        log.info("events: %s is loaded again, because an ingest day before it changed", day)
        more, changed = _replace(tables, Days(day, day))
        touched |= more
        later = sorted({*later, *(_loaded_after(tables, day) if changed else [])})
    log.info("events: to roll up: %s", ", ".join(map(str, sorted(touched))))
    return touched


def _replace(tables: Tables, days: Days) -> tuple[set[date], bool]:
    """The event days touched, and whether later days must follow: the set of events of these ingest days changed."""
    followed = bool(_loaded_after(tables, days.last))
    before = _held(tables, days, followed)
    with landing_files(tables.spark):
        _load(tables, days)
    after = _held(tables, days, followed)
    return set(before) | set(after), followed and before != after


def _load(tables: Tables, days: Days) -> None:
    judged = {source.name: _judged(tables, source, days) for source in tables.project.sources.events}
    counts = Observation("ingest_events")
    union = in_one(judged.values())
    observed = union.observe(counts, *row_counts())
    fresh = not_yet_ingested(first_copies(kept(observed)), _earlier(tables, days))
    tables.replace("events", fresh, {"ingest_day": days.all})
    seen = counted(counts, union)
    log.info("events: %s: %d rows landed, %d broke a rule", days, seen["rows"], seen["broken"])
    replace_quarantine(tables, "events", judged if seen["broken"] else {}, days)


def _held(tables: Tables, days: Days, compared: bool) -> dict[date, str]:
    """The event days that these ingest days hold, with a fingerprint of their events if it is to be compared."""
    held = tables.read_days("events", days.all, "ingest_day").groupBy("day")
    version = checksum(["event_id"]) if compared else F.lit("not compared")
    return {row["day"]: row["version"] for row in held.agg(version.alias("version")).collect()}


def _loaded_after(tables: Tables, day: date) -> list[date]:
    """The ingest days after a day that can hold copies of its events."""
    last = day + timedelta(days=_reach(tables) + 1)
    after = (F.col("ingest_day") > F.lit(day)) & (F.col("ingest_day") <= F.lit(last))
    rows = tables.read("events").where(after).select("ingest_day").distinct().collect()
    return sorted(row["ingest_day"] for row in rows)


def _reach(tables: Tables) -> int:
    """How many days after its own an event may still land."""
    return max(source.max_days_late for source in tables.project.sources.events)


def _judged(tables: Tables, source: Source, days: Days) -> DataFrame:
    return judged_events(require_landing(tables.spark, source, days.all), source)


def _earlier(tables: Tables, days: Days) -> DataFrame:
    """Events that earlier ingest days hold on the days that these rows can fall on."""
    reach = _reach(tables)
    possible = F.col("day").between(
        F.lit(days.first - timedelta(days=reach)), F.lit(days.last + timedelta(days=1))
    )
    return tables.read("events").where(possible & (F.col("ingest_day") < F.lit(days.first)))


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_events", __doc__, ingest_events, argv)


if __name__ == "__main__":
    sys.exit(main())
