"""The experiments in one application: windows, audit, sample ratio, estimates, audit, decisions."""

import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import date

from jobs.application import day_job
from jobs.arguments import Days, WorkFailed
from jobs.audit_table import audit_days, import_expectations
from jobs.build_profile_windows import build_profile_windows
from jobs.decide_rollout import decide_rollout
from jobs.epochs import refuse_changed, running
from jobs.estimate_effects import estimate_effects
from jobs.monitor_srm import monitor_srm
from jobs.restatement import stale_days
from jobs.side_by_side import side_by_side
from jobs.tables import Tables
from metrics.errors import InputError

log = logging.getLogger("watchlift.run_experiments")


def run_experiments(tables: Tables, days: Days) -> None:
    """All steps for each analysis day in turn; a critical audit stops the day before anything is estimated.

    Beside the days asked for, those are estimated again whose data changed since, by late rows or a restated day, or
    whose run died before it decided.
    """
    stale = stale_days(tables)
    if stale:
        log.info("estimated again, as their data changed or their run died: %s", ", ".join(map(str, stale)))
    run_analyses(tables, [*days.all, *stale])


def run_analyses(tables: Tables, days: Iterable[date]) -> None:
    """All steps for these analysis days, in order. One that fails keeps no other from its numbers; it is told last.

    Raises the first error.
    """
    due, errors = sorted(set(days)), list[InputError | WorkFailed]()
    if any(running(tables, day) for day in due):
        import_expectations()
    for day in due:
        if running(tables, day):  # one that is rolled back on a day does not run on the next
            try:
                _run(tables, Days(day, day))
            except (InputError, WorkFailed) as error:
                log.error("%s: %s", day, error)
                errors.append(error)
    if errors:
        raise errors[0]


def _run(tables: Tables, day: Days) -> None:
    """One analysis day. The sample ratio is of exposures: a broken window does not hide it."""

    def windows(beside: Tables) -> None:
        build_profile_windows(beside, day)
        audit_days(beside, "profile_windows", day.all)

    side_by_side(tables, windows, lambda beside: monitor_srm(beside, day))
    estimate_effects(tables, day)
    audit_days(tables, "estimates", day.all)
    decide_rollout(tables, day)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("run_experiments", __doc__, refuse_changed(run_experiments), argv)


if __name__ == "__main__":
    sys.exit(main())
