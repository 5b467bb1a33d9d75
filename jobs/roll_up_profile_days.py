"""Roll event days up to measures per profile, for all experiments at once."""

import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F

from jobs.application import day_job
from jobs.arguments import Days
from jobs.epochs import spans
from jobs.tables import Note, Tables
from metrics.rollup.exposures import exposed_on
from metrics.rollup.profile_days import exposure_day_measures, profile_days


def roll_up_profile_days(tables: Tables, days: Days) -> None:
    """Replace the days' partitions of profile_days and exposure_day_measures."""
    roll_up_days(tables, days.all)


def roll_up_days(tables: Tables, days: Sequence[date], note: Note | None = None) -> None:
    """The same for any set of event days, whole: what an ingest touched may lie apart."""
    if not days:
        return
    catalogue = tables.project.catalogue
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(max(days)))
    first = exposed_on(exposures, spans(tables), days)
    events = tables.read_days("events", days)
    from_exposures = exposure_day_measures(events, first, catalogue)
    tables.replace("exposure_day_measures", from_exposures, {"day": days})
    # The last: windows ask it alone whether a day was rolled up.
    tables.replace("profile_days", profile_days(events, catalogue), {"day": days}, note)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("roll_up_profile_days", __doc__, roll_up_profile_days, argv)


if __name__ == "__main__":
    sys.exit(main())
