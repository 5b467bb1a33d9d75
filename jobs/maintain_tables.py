"""Put small files of settled days together, sorted by profile, and remove files that nobody needs any more."""

import logging
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta

from jobs.application import day_job
from jobs.arguments import Days
from jobs.delta_files import Partition, checkpoint, compact, for_upkeep, partitions_of, remove_expired_files
from jobs.tables import Tables
from metrics.schemas import Table

log = logging.getLogger("watchlift.maintain_tables")
_TARGET_BYTES = 1 << 30  # of a file: Delta's own default for OPTIMIZE
_AT_ONCE = 100  # partitions of a commit: what is done stays done when the job is killed


def maintain_tables(tables: Tables, days: Days) -> int:
    """Compact what an ingest of the first of these days or a later one leaves alone, and remove old files.

    Rows stay as they are, and a partition that is in order is not touched. Gives the number of partitions compacted.
    """
    own = for_upkeep(tables)
    settled = days.first - timedelta(days=tables.project.sources.max_days_late)
    compacted = sum(_compact(own, table, settled) for table in own.declared.values() if table.partitioned_by)
    for name in own.declared:
        remove_expired_files(own, name)
    log.info("all tables: removed files that were not needed for 7 days")
    return compacted


def _compact(tables: Tables, table: Table, settled: date) -> int:
    started, before = time.monotonic(), partitions_of(tables, table.name)
    chosen = [one for one in before if _is_crowded(one) and _is_before(one, settled)]
    sort_by = "profile_id" if "profile_id" in table.columns else None
    for first in range(0, len(chosen), _AT_ONCE):
        if not compact(tables, table.name, chosen[first : first + _AT_ONCE], sort_by):
            log.warning("%s: another job wrote to these partitions; left for the next run", table.name)
            return 0
    if chosen:
        checkpoint(tables, table.name)
        _tell(tables, table.name, chosen, time.monotonic() - started)
    return len(chosen)


def _is_crowded(partition: Partition) -> bool:
    """Whether it has files to put together: of two or more, less than half as large as they may be."""
    return partition.files > 1 and partition.size < partition.files * _TARGET_BYTES / 2


def _is_before(partition: Partition, settled: date) -> bool:
    """Days of events and of analyses; what has no day is settled whenever nobody writes to it."""
    return all(value < settled for value in partition.values.values() if isinstance(value, date))


def _tell(tables: Tables, name: str, chosen: Sequence[Partition], seconds: float) -> None:
    there = [one.values for one in chosen]
    after = [one for one in partitions_of(tables, name) if one.values in there]
    log.info(
        "%s: %d partitions: %d files of %.1f MB into %d of %.1f MB in %.1f s",
        name,
        len(chosen),
        sum(one.files for one in chosen),
        sum(one.size for one in chosen) / 1e6,
        sum(one.files for one in after),
        sum(one.size for one in after) / 1e6,
        seconds,
    )


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("maintain_tables", __doc__, maintain_tables, argv)


if __name__ == "__main__":
    sys.exit(main())
