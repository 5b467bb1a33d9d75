"""Audit what landed on ingest days: how many rows of each source were quarantined, and why."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial

from pyspark.sql import functions as F

from expectations.landed import SUITE, SourceDay, landed_results
from expectations.results import AuditResult, failure_line, failures
from jobs.audit_table import RESULTS, AuditFailed
from jobs.landing import Landing
from jobs.quarantine import QUARANTINE
from jobs.tables import Tables, Where
from metrics.configuration.sources import Source
from metrics.rollup.landing import Landed

log = logging.getLogger("watchlift.audit_landed")
Place = tuple[str, date]


def audit_landed(tables: Tables, landed: Sequence[Landed]) -> tuple[AuditResult, ...]:
    """Record one result per source, ingest day and reason; the reasons are read from events_quarantine.

    Raises AuditFailed, after recording, if more of a source's rows were quarantined than its `max_quarantined` allows.
    """
    if not landed:
        return ()
    results = tuple(result for came in _came(tables, landed) for result in landed_results(came))
    _record(tables, landed, results)
    log.info("landed: %d rows, %d quarantined", sum(e.rows for e in landed), sum(e.broken for e in landed))
    failed = failures(results)
    if failed:
        raise AuditFailed(failure_line(failed, SUITE))
    return results


def _came(tables: Tables, landed: Sequence[Landed]) -> list[SourceDay]:
    sources = tables.project.sources.by_name
    reasons, undeclared = _reasons(tables, landed), _undeclared(tables, landed, sources)
    return [
        SourceDay(
            source=each.source,
            day=each.ingest_day,
            rows=each.rows,
            broken=each.broken,
            reasons=tuple(sorted(reasons.get((each.source, each.ingest_day), {}).items())),
            damaged_files=each.damaged_files,
            undeclared=undeclared.get((each.source, each.ingest_day), ()),
            limit=sources[each.source].max_quarantined,
        )
        for each in landed
    ]


def _reasons(tables: Tables, landed: Sequence[Landed]) -> dict[Place, dict[str, int]]:
    days = sorted({each.ingest_day for each in landed if each.broken})
    if not days:
        return {}
    rows = tables.read_days(QUARANTINE, days, "ingest_day").where(F.col("raw").isNotNull())
    each_reason = rows.select("source", "ingest_day", F.explode("reasons").alias("reason"))
    found: dict[Place, dict[str, int]] = {}
    for row in each_reason.groupBy("source", "ingest_day", "reason").count().collect():
        found.setdefault((row["source"], row["ingest_day"]), {})[row["reason"]] = row["count"]
    return found


def _undeclared(
    tables: Tables, landed: Sequence[Landed], sources: Mapping[str, Source]
) -> dict[Place, tuple[str, ...]]:
    """Columns that came unannounced, looked for on the newest day of each source."""
    landing, days = Landing(tables.spark), dict[str, date]()
    for each in landed:
        days[each.source] = max(each.ingest_day, days.get(each.source, each.ingest_day))
    return {
        (name, day): landing.load(partial(landing.undeclared, sources[name], day))
        for name, day in days.items()
    }


def _record(tables: Tables, landed: Sequence[Landed], results: Sequence[AuditResult]) -> None:
    """Other kinds of sources share the day's partition, and keep their results."""
    days = sorted({each.ingest_day for each in landed})
    kinds = {each.source.partition(".")[0] for each in landed}
    where: Where = {"table": [SUITE.table], "day": days}
    before = tables.few_rows(RESULTS, where, tuple(tables.declared[RESULTS].columns))
    others = [row for row in before if row["expectation"].partition(".")[0] not in kinds]
    tables.replace_rows(RESULTS, [*others, *(asdict(result) for result in results)], where)
