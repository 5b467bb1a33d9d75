"""The day in one application: ingest, audit, roll up, audit. It fails, and emits nothing, if a critical audit does."""

import sys
from collections.abc import Sequence

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_table import audit_tables
from jobs.ingest_events import ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.roll_up_profile_days import roll_up_days
from jobs.tables import Tables


def run_day(tables: Tables, days: Days) -> None:
    """Load the ingest days and roll up every event day that they touched, whole."""
    ingest_profiles(tables, days)
    exposed = ingest_exposures(tables, days)
    touched = sorted(ingest_events(tables, days) | exposed | set(days.all))
    audit_tables(tables, ["profiles", "exposures", "events"], touched, days.all)
    roll_up_days(tables, touched)
    audit_tables(tables, ["profile_days", "exposure_day_measures"], touched, days.all)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("run_day", __doc__, run_day, argv)


if __name__ == "__main__":
    sys.exit(main())
