"""The experiments in one application: windows, audit, sample ratio, estimates, audit, decisions."""

import sys
from collections.abc import Sequence

from jobs.application import day_job
from jobs.arguments import Days
from jobs.audit_table import audit_days
from jobs.build_profile_windows import build_profile_windows, running
from jobs.decide_rollout import decide_rollout
from jobs.estimate_effects import estimate_effects
from jobs.monitor_srm import monitor_srm
from jobs.tables import Tables


def run_experiments(tables: Tables, days: Days) -> None:
    """All steps for each analysis day in turn; a critical audit stops the day before anything is estimated."""
    for day in days.all:
        if not running(tables, day):
            continue
        only = Days(day, day)
        build_profile_windows(tables, only)
        audit_days(tables, "profile_windows", [day])
        monitor_srm(tables, only)
        estimate_effects(tables, only)
        audit_days(tables, "estimates", [day])
        decide_rollout(tables, only)


def main(argv: Sequence[str] | None = None) -> int:
    return day_job("run_experiments", __doc__, run_experiments, argv)


if __name__ == "__main__":
    sys.exit(main())
