"""Runs the pipeline into one fault after the other and compares the tables with those of a clean run: docs/faults.md.

.venv/bin/python -m scripts.faults [--kills 20] [--only NAME …] [--profiles 120] [--work-dir DIR]     (make faults)

What was found is kept in the work folder: with the same one, a run goes on where another ended.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path

from jobs.session import spark_session
from scripts.environment import FEW_ROWS, ROOT, Settings, take_over
from scripts.faults import deliveries, machine, schedules
from scripts.faults.jobs import JOBS, done
from scripts.faults.kills import kill_driver
from scripts.faults.outcome import Outcome, report
from scripts.faults.service import Service, make_service
from scripts.progress import Progress

Fault = Callable[..., Outcome]
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
    **{f"disk_{room}": partial(machine.full_disk, room=room) for room in machine.ROOMS},
    "executor": machine.kill_executor,
}
KILLS: Mapping[str, str] = {f"kill_{job}": job for job in JOBS}
_KILLED_AT_ONCE = 2  # a driver that starts keeps one core busy for half of its time
_PAGE = """# What failures leave behind

A synthetic service of {profiles} profiles and a few days, with copies, late, broken and skewed rows. Each fault begins
with a copy of its folder; in the end the tables are compared, row for row, with those of a clean run in order (of
decisions, that none is missing). Made by `make faults`.

{table}"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Faults, and what they leave behind.")
    parser.add_argument("--kills", type=int, default=20, help="of each job, at random moments")
    names = [*FAULTS, *KILLS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--profiles", type=int, default=120)
    parser.add_argument("--work-dir", type=Path, help="where it all happens (default: a temporary folder)")
    options = parser.parse_args(argv)
    work_dir = (options.work_dir or Path(tempfile.mkdtemp(prefix="watchlift-faults-"))).absolute()
    take_over(Settings(work_dir), quick_start=True, spark=FEW_ROWS)
    progress = Progress()
    progress.say(f"in {work_dir}")
    found = _found(work_dir)
    chosen = options.only or [name for name in names if name not in found]
    with spark_session("faults") as spark:
        service = make_service(spark, work_dir / "service", options.profiles)
        for name, outcome in _outcomes(service, chosen, options.kills, progress):
            found[name] = outcome
            progress.say(f"{name}:\n  " + report([outcome]).splitlines()[-1])
            _keep(work_dir, found)
    if not options.only:
        table = report(found[name] for name in names)
        page = _PAGE.format(profiles=options.profiles, table=table)
        (ROOT / "docs" / "faults.md").write_text(page, encoding="utf-8")
    told = [found[name] for name in (options.only or names)]
    bad = [outcome.fault for outcome in told if not outcome.is_clean]
    progress.say(f"{len(told)} faults, {len(bad)} not as a clean run" + "".join(f"\n  {b}" for b in bad))
    return 1 if bad else 0


def _outcomes(
    service: Service, chosen: Sequence[str], count: int, progress: Progress
) -> Iterator[tuple[str, Outcome]]:
    """One fault after the other, then the kills, two jobs at a time."""
    for name in chosen:
        if name in FAULTS:
            progress.say(f"{name} …")
            yield name, FAULTS[name](service)
    killed = [name for name in chosen if name in KILLS]
    for name in killed:
        done(service, KILLS[name])
    with ThreadPoolExecutor(_KILLED_AT_ONCE) as pool:
        runs = {
            pool.submit(kill_driver, service.in_own_session(), KILLS[name], count): name for name in killed
        }
        try:
            for run in as_completed(runs):
                yield runs[run], run.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _found(work_dir: Path) -> dict[str, Outcome]:
    """What an earlier run in this folder found."""
    kept = work_dir / "outcomes.json"
    outcomes = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    return {name: Outcome(**values) for name, values in outcomes.items()}


def _keep(work_dir: Path, found: Mapping[str, Outcome]) -> None:
    outcomes = {name: asdict(outcome) for name, outcome in found.items()}
    whole = work_dir / ".outcomes.json"
    whole.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    whole.rename(work_dir / "outcomes.json")


if __name__ == "__main__":
    sys.exit(main())
