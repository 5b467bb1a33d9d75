"""The day in one application: ingest, audit, roll up, audit. It fails, and emits nothing, if a critical audit does."""

import sys
from collections.abc import Sequence

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_landed import audit_landed
from jobs.audit_table import audit_tables, import_expectations
from jobs.event_commits import rolled_up
from jobs.ingest_events import ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.landing import Ingested
from jobs.loaded_days import unless_done
from jobs.roll_up_profile_days import roll_up_days
from jobs.side_by_side import side_by_side
from jobs.tables import Tables


def run_day(tables: Tables, days: Days, again: bool = False) -> None:
    """Load the ingest days and roll up every event day that they touched, whole.

    Days that were done, and whose input is as it was, are left out, unless they are asked for `again`.
    """
    unless_done(tables, days, _run, again)


def _run(tables: Tables, days: Days) -> None:
    import_expectations()
    ingested = _ingest(tables, days)
    note = rolled_up(tables)
    touched = sorted(ingested.touched.union(days.all))
    side_by_side(
        tables,
        lambda beside: audit_landed(beside, ingested.landed),
        lambda beside: audit_tables(beside, ["profiles", "exposures", "events"], touched, days.all),
    )
    roll_up_days(tables, touched, note)
    audit_tables(tables, ["profile_days", "exposure_day_measures"], touched, days.all)


def _ingest(tables: Tables, days: Days) -> Ingested:
    """Exposures need the profiles; events need neither."""

    def exposures(beside: Tables) -> Ingested:
        ingest_profiles(beside, days)
        return ingest_exposures(beside, days)

    events, others = side_by_side(tables, lambda beside: ingest_events(beside, days), exposures)
    return Ingested(events.touched | others.touched, (*events.landed, *others.landed))


def main(argv: Sequence[str] | None = None) -> int:
    flags = {"again": "do it even where nothing changed since it was done"}
    return day_job("run_day", __doc__, run_day, argv, flags)


if __name__ == "__main__":
    sys.exit(main())
