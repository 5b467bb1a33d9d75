"""Replace the table profiles by a day's snapshot."""

import logging
import sys
from collections.abc import Sequence

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_landed import audit_landed
from jobs.landing import Landing
from jobs.quarantine import Arrivals
from jobs.tables import Tables
from metrics.errors import InputError
from metrics.rollup.landing import kept
from metrics.rollup.profiles import judged_profiles, latest_profiles

log = logging.getLogger("watchlift.ingest_profiles")


def ingest_profiles(tables: Tables, days: Days) -> None:
    """The newest snapshot of the range becomes the table, unless the table already holds a newer one.

    Broken rows are quarantined. Raises AuditFailed where too many are broken.
    """
    newest = tables.greatest("profiles", "snapshot_day")
    if newest and newest > days.last:
        log.info("profiles: kept the snapshot of %s, newer than %s", newest, days)
        return
    landing = Landing(tables.spark)
    landing.load(lambda: _load_newest(tables, landing, days))


def _load_newest(tables: Tables, landing: Landing, days: Days) -> None:
    for day in reversed(days.all):
        frames = [(s, landing.read(s, [day])) for s in tables.project.sources.profiles]
        if landing.left_out:
            # A part of a snapshot would take the other profiles' households away.
            raise InputError(
                f"profiles: {landing.left_out[0].path} is damaged; land the snapshot of {day} again"
            )
        judged = {s.name: judged_profiles(frame, s) for s, frame in frames if frame is not None}
        if judged:
            arrivals = Arrivals("profiles", judged, [day])
            # Before: a bad snapshot does not take the place of a good one.
            audit_landed(tables, arrivals.counted().set_aside(tables, ()))
            tables.overwrite("profiles", latest_profiles(kept(arrivals.rows)))
            return
    log.info("profiles: no snapshot landed on %s", days)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("ingest_profiles", __doc__, ingest_profiles, argv)


if __name__ == "__main__":
    sys.exit(main())
