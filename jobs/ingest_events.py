"""Land the events of an ingest day: canonical columns, row rules, one copy of each event."""

import logging
import sys
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.landing import Landing, counted
from jobs.quarantine import replace_quarantine
from jobs.tables import Tables
from metrics.checksum import checksum
from metrics.rollup.events import first_copies, judged_events, not_yet_ingested
from metrics.rollup.landing import in_one, kept, row_counts

log = logging.getLogger("watchlift.ingest_events")


def ingest_events(tables: Tables, days: Days) -> set[date]:
    """Replace the ingest days' rows of events, and their part of the quarantine.

    Rows of a range are deduplicated in the order of their ingest days, as if the days had run one by one. If the
    events of a day change, ingest days loaded after it are loaded again, because which copy of an event is the first
    depends on it: in the same commit, so that a run killed on the way leaves none of it. Gives the event days
    to roll up: those that hold, or held, rows of what was loaded.

    Two things are not known to a later run: that a day was loaded all of whose rows were copies, and that a run which
    took the last row off an event day died before its roll-up.
    """
    reach = tables.project.sources.max_days_late
    loaded, before = days.all, _held(tables, days.first, days.last + timedelta(days=reach + 1))
    later = sorted(day for day in before if day > days.last)
    landing = Landing(tables.spark)
    if later and _changed(tables, landing, days.all):
        log.info("events: %s changed: loaded again with it: %s", days, ", ".join(map(str, later)))
        loaded = [*loaded, *later]
    landing.load(lambda: _load(tables, landing, loaded))
    after = _held(tables, loaded[0], loaded[-1])
    touched = set().union(*(held.get(day, set()) for held in (before, after) for day in loaded))
    log.info("events: to roll up: %s", ", ".join(map(str, sorted(touched))))
    return touched


def _load(tables: Tables, landing: Landing, days: Sequence[date]) -> None:
    judged = _judged(tables, landing, days)
    counts = Observation("ingest_events")
    union = in_one(judged.values())
    fresh = _fresh(tables, union.observe(counts, *row_counts()), days)
    tables.replace("events", fresh, {"ingest_day": days})
    seen, span = counted(counts, union), Days(days[0], days[-1])
    log.info("events: %s: %d rows landed, %d broke a rule", span, seen["rows"], seen["broken"])
    replace_quarantine(tables, "events", judged if seen["broken"] else {}, landing.left_out, days)


def _judged(tables: Tables, landing: Landing, days: Sequence[date]) -> dict[str, DataFrame]:
    return {
        source.name: judged_events(landing.require(source, days), source)
        for source in tables.project.sources.events
    }


def _fresh(tables: Tables, judged: DataFrame, days: Sequence[date]) -> DataFrame:
    """The ingest days' own rows: good ones, the first copy of each event."""
    return not_yet_ingested(first_copies(kept(judged)), _earlier(tables, days))


def _changed(tables: Tables, landing: Landing, days: Sequence[date]) -> bool:
    """Whether loading the ingest days would change the set of events that they hold."""

    def would_hold() -> dict[date, str]:
        return _fingerprints(_fresh(tables, in_one(_judged(tables, landing, days).values()), days))

    return landing.load(would_hold) != _fingerprints(tables.read_days("events", days, "ingest_day"))


def _fingerprints(events: DataFrame) -> dict[date, str]:
    """Which events there are, by event day."""
    versions = events.groupBy("day").agg(checksum(["event_id"]).alias("version"))
    return {row["day"]: row["version"] for row in versions.collect()}


def _held(tables: Tables, first: date, last: date) -> dict[date, set[date]]:
    """The event days of the rows that the ingest days from first to last hold, by ingest day."""
    possible = F.col("ingest_day").between(F.lit(first), F.lit(last))
    held: dict[date, set[date]] = {}
    for row in tables.read("events").where(possible).select("ingest_day", "day").distinct().collect():
        held.setdefault(row["ingest_day"], set()).add(row["day"])
    return held


def _earlier(tables: Tables, days: Sequence[date]) -> DataFrame:
    """Events that earlier ingest days hold on the days that these rows can fall on."""
    first, last = days[0] - timedelta(days=tables.project.sources.max_days_late), days[-1] + timedelta(days=1)
    possible = F.col("day").between(F.lit(first), F.lit(last))
    return tables.read("events").where(possible & (F.col("ingest_day") < F.lit(days[0])))


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_events", __doc__, ingest_events, argv)


if __name__ == "__main__":
    sys.exit(main())
