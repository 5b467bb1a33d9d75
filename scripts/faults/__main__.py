"""Runs the pipeline into one fault after the other and compares the tables with those of a clean run: docs/faults.md.

.venv/bin/python -m scripts.faults [--kills 20] [--jobs JOB …] [--only NAME …] [--profiles 120] [--work-dir DIR]
(make faults)
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from jobs.session import spark_session
from scripts.environment import FEW_ROWS, ROOT, Settings, take_over
from scripts.faults import deliveries, kills, machine, schedules
from scripts.faults.outcome import Outcome, report
from scripts.faults.service import JOBS, Service, make_service
from scripts.progress import Progress

Fault = Callable[[Service], Outcome | Iterator[Outcome]]
FAULTS: Mapping[str, Fault] = {
    "twice": deliveries.run_twice,
    "order": deliveries.out_of_order,
    "parallel": deliveries.backfilled_in_parallel,
    "at_once": deliveries.two_at_once,
    "files_twice": deliveries.files_twice,
    "late": deliveries.late_events,
    "clocks": deliveries.clocks_ahead,
    "gzip": deliveries.damaged_gzip,
    "parquet": deliveries.damaged_parquet,
    "new_column": deliveries.new_column,
    "missing_column": deliveries.missing_column,
    "retyped_column": deliveries.retyped_column,
    "schedules": schedules.schedules,
    "disk": machine.full_disk,
    "executor": machine.kill_executor,
}
_PAGE = """# What failures leave behind

A synthetic service of {profiles} profiles and a few days, with copies, late, broken and skewed rows. Each fault begins
with a copy of its folder; in the end the tables are compared, row for row, with those of a clean run in order (of
decisions, that none is missing). Made by `make faults`.

{table}"""


def run_faults(service: Service, chosen: Mapping[str, Fault], progress: Progress) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for name, fault in chosen.items():
        progress.say(f"{name} …")
        found = fault(service)
        for outcome in [found] if isinstance(found, Outcome) else found:
            outcomes.append(outcome)
            progress.say("  " + report([outcome]).splitlines()[-1])
    return outcomes


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Faults, and what they leave behind.")
    parser.add_argument("--kills", type=int, default=20, help="of each job, at random moments")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=tuple(JOBS), help="that are killed")
    parser.add_argument("--only", nargs="+", choices=(*FAULTS, "kills"), help="some of the faults")
    parser.add_argument("--profiles", type=int, default=120)
    parser.add_argument("--work-dir", type=Path, help="where it all happens (default: a temporary folder)")
    options = parser.parse_args(argv)
    work_dir = (options.work_dir or Path(tempfile.mkdtemp(prefix="watchlift-faults-"))).absolute()
    take_over(Settings(work_dir), quick_start=True, spark=FEW_ROWS)
    progress = Progress()
    every: dict[str, Fault] = {
        **FAULTS,
        "kills": partial(kills.kill_drivers, kills=options.kills, jobs=options.jobs),
    }
    chosen = {name: every[name] for name in options.only or every}
    with spark_session("faults") as spark:
        outcomes = run_faults(make_service(spark, work_dir, options.profiles), chosen, progress)
    if not options.only:
        page = _PAGE.format(profiles=options.profiles, table=report(outcomes))
        (ROOT / "docs" / "faults.md").write_text(page, encoding="utf-8")
    bad = [outcome.fault for outcome in outcomes if not outcome.is_clean]
    progress.say(
        f"{len(outcomes)} faults, {len(bad)} left rows lost or doubled" + "".join(f"\n  {b}" for b in bad)
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
