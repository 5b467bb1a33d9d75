"""Land the events of an ingest day: canonical columns, row rules, one copy of each event."""

import logging
import sys
from collections.abc import Collection, Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_landed import audit_landed
from jobs.event_commits import noted
from jobs.landing import Ingested, Landing
from jobs.quarantine import Arrivals
from jobs.tables import Note, Tables, Where
from metrics.checksum import checksum
from metrics.rollup.events import first_copies, judged_events, not_yet_ingested
from metrics.rollup.landing import Landed, in_one, kept

log = logging.getLogger("watchlift.ingest_events")


def ingest_events(tables: Tables, days: Days) -> Ingested:
    """Replace the ingest days' rows of events, and their part of the quarantine.

    Rows of a range are deduplicated in the order of their ingest days, as if the days had run one by one. If the
    events of a day change, ingest days loaded after it are loaded again, because which copy of an event is the first
    depends on it: in the same commit, so that a run killed on the way leaves none of it. The touched event days are
    those that hold, or held, rows of what was loaded, also where a run that failed loaded them.
    """
    loaded, end, notes = days.all, _last_touched(tables, days.last), noted(tables)
    before = _held(tables, days.first, end)
    later = sorted(day for day in notes.loaded.union(before) if days.last < day <= end)
    landing = Landing(tables.spark)
    if later and _changed(tables, landing, days.all):
        log.info("events: %s changed: loaded again with it: %s", days, ", ".join(map(str, later)))
        loaded = [*loaded, *later]
    due = _there(tables, notes.to_roll_up).union(*(before.get(day, set()) for day in loaded))
    note = notes.after(loaded, due.union(_reached(tables, loaded)))
    landed = landing.load(lambda: _load(tables, landing, loaded, note))
    after = _held(tables, loaded[0], loaded[-1])
    touched = due.union(*(after.get(day, set()) for day in loaded))
    log.info("events: to roll up: %s", ", ".join(map(str, sorted(touched))))
    return Ingested(touched, landed)


def _load(tables: Tables, landing: Landing, days: Sequence[date], note: Note) -> tuple[Landed, ...]:
    arrivals = Arrivals("events", _judged(tables, landing, days), days)
    tables.replace("events", _fresh(tables, arrivals.rows, days), {"ingest_day": days}, note)
    return arrivals.set_aside(tables, landing.left_out)


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
        return _fingerprints(_fresh(tables, in_one(_judged(tables, landing, days)), days))

    return landing.load(would_hold) != _fingerprints(tables.read_days("events", days, "ingest_day"))


def _fingerprints(events: DataFrame) -> dict[date, str]:
    """Which events there are, by event day."""
    versions = events.groupBy("day").agg(checksum(["event_id", "profile_id"]).alias("version"))
    return {row["day"]: row["version"] for row in versions.collect()}


def _held(tables: Tables, first: date, last: date) -> dict[date, set[date]]:
    """The event days of the rows that the ingest days from first to last hold, by ingest day."""
    held: dict[date, set[date]] = {}
    for ingest_day, day in tables.partitions("events", ["ingest_day", "day"]):
        if first <= ingest_day <= last:
            held.setdefault(ingest_day, set()).add(day)
    return held


def merge_events(tables: Tables, good: DataFrame, days: Sequence[date]) -> set[date]:
    """Add rows of ingest days to what is there, of each event the first copy, in one commit. Gives their event days."""
    added = tables.declared["events"].conform(good).persist()
    touched = {row["day"] for row in added.select("day").distinct().collect()}
    if touched:
        reach = Days(days[0], _last_touched(tables, days[-1])).all
        held = tables.read_days("events", sorted(touched)).where(F.col("ingest_day").isin(reach))
        merged = not_yet_ingested(first_copies(held.unionByName(added)), _earlier(tables, days))
        where: Where = {"day": sorted(touched), "ingest_day": reach}
        tables.replace("events", merged, where, noted(tables).after((), touched))
    added.unpersist()
    return touched


def _earlier(tables: Tables, days: Sequence[date]) -> DataFrame:
    """Events that earlier ingest days hold on the days that these rows can fall on."""
    first, last = days[0] - timedelta(days=tables.project.sources.max_days_late), days[-1] + timedelta(days=1)
    possible = F.col("day").between(F.lit(first), F.lit(last))
    return tables.read("events").where(possible & (F.col("ingest_day") < F.lit(days[0])))


def _reached(tables: Tables, loaded: Sequence[date]) -> list[date]:
    """All days that rows of these ingest days can be of, exposures too: which are is known once they are there."""
    late = timedelta(days=tables.project.sources.longest_delay)
    return Days(loaded[0] - late, loaded[-1] + timedelta(days=1)).all


def _there(tables: Tables, days: Collection[date]) -> frozenset[date]:
    """Those of the days that have events, or had."""
    if not days:
        return frozenset()
    there = tables.partitions("events", ["day"]) | tables.partitions("profile_days", ["day"])
    return frozenset(day for (day,) in there).intersection(days)


def _last_touched(tables: Tables, day: date) -> date:
    """The last ingest day that can hold copies of what lands on a day."""
    return day + timedelta(days=tables.project.sources.max_days_late + 1)


def ingest_and_audit(tables: Tables, days: Days) -> None:
    audit_landed(tables, ingest_events(tables, days).landed)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_events", __doc__, ingest_and_audit, argv)


if __name__ == "__main__":
    sys.exit(main())
