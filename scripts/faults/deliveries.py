"""Faults of what arrives, and of the order in which days are run."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from jobs.arguments import Days, WorkFailed
from jobs.roll_up_profile_days import roll_up_profile_days
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.tables import Tables
from metrics.errors import InputError
from metrics.simulation.settings import Faults
from scripts.faults.comparison import ARRIVAL_COLUMNS, difference
from scripts.faults.jobs import JOBS
from scripts.faults.landing_files import change_events, delay_events, event_files, ingest_day
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run
from scripts.faults.service import DAYS, Service, load, make_service

# What was recorded of arrivals differs where these differ.
_RECORDS = ("data_quality_results", "events_quarantine")


def run_twice(service: Service) -> Outcome:
    outcome, tables = Outcome("a day run twice"), service.copy("loaded", "twice")
    _try(outcome, partial(load, again=True), tables, service.last)
    outcome.add(difference(tables, service.tables("loaded")))
    return outcome


def out_of_order(service: Service) -> Outcome:
    """The days but the first in reverse; an experiment's day is refused until those before it are there."""
    outcome, tables = Outcome("days out of order"), service.copy("landed", "reverse")
    tables.create()
    first, *others = service.days.all
    for day in (first, *reversed(others)):
        run_day(tables, Days(day, day))
        _try(outcome, run_experiments, tables, Days(day, day))
    for day in service.days.all:
        _try(outcome, run_experiments, tables, Days(day, day))
    outcome.add(difference(tables, service.tables("loaded"), _but_records(tables)))
    return outcome


def backfilled_in_parallel(service: Service) -> Outcome:
    outcome, tables = Outcome("days rolled up in parallel"), service.copy("loaded", "parallel")
    days = [row["day"] for row in tables.read("events").select("day").distinct().collect()]
    for name in ("profile_days", "exposure_day_measures"):
        tables.delete(name, "true")
    with ThreadPoolExecutor(len(days)) as pool:
        runs = [
            pool.submit(_try, outcome, roll_up_profile_days, tables.in_own_session(), Days(day, day))
            for day in days
        ]
    for run in runs:
        run.result()
    outcome.add(difference(tables, service.tables("loaded")))
    return outcome


def two_at_once(service: Service) -> Outcome:
    """Two processes run the same job on the same day; where both lose, it is run a third time."""
    outcome, tables = Outcome("two runs of the same job at once"), service.copy("before", "at_once")
    for job, work in (("run_day", run_day), ("run_experiments", run_experiments)):
        arguments = JOBS[job].arguments(service)
        runs = [Run(tables, job, arguments), Run(tables, job, arguments, name="second")]
        errors = [run.wait() for run in runs]
        outcome.runs += len(runs)
        for error in filter(None, errors):
            outcome.say(error)
        if all(errors):
            outcome.runs += 1
            work(tables, service.last)
    outcome.add(difference(tables, service.tables("loaded")))
    return outcome


def files_twice(service: Service) -> Outcome:
    """Each file of events again in its own folder, and again on the next day."""
    outcome, tables = Outcome("every landing file delivered twice"), service.copy("landed", "double")
    for file in event_files(tables.project.data_dir):
        shutil.copy(file, file.with_name(f"z-{file.name}"))
        day, suffix = ingest_day(file), f"y-{file.name}"
        if day < service.days.last:
            again = Path(str(file).replace(f"={day}", f"={day + timedelta(days=1)}"))
            shutil.copy(file, again.with_name(suffix))
    tables.create()
    for each in service.days.all:
        _try(outcome, load, tables, Days(each, each))
    outcome.add(difference(tables, service.tables("loaded"), _but_records(tables)))
    return outcome


def late_events(service: Service, most_days: int = 10) -> Outcome:
    """5% of the events come up to ten days after their own, with a bound that lets them in."""
    faults = Faults(duplicates=0.02, crossovers=0.02)
    late = make_service(
        service.spark, service.folder / "late", 60, DAYS + most_days, faults=faults, max_days_late=most_days
    )
    outcome, tables = Outcome(f"5% of events up to {most_days} days late"), late.copy("landed", "delayed")
    delay_events(tables.project.data_dir, 0.05, most_days)
    tables.create()
    for each in late.days.all:
        _try(outcome, load, tables, Days(each, each))
    outcome.add(difference(tables, late.tables("loaded"), _but_records(tables), ARRIVAL_COLUMNS))
    return outcome


def clocks_ahead(service: Service) -> Outcome:
    """1% of a day's rows say that they happen in twenty days; a run to which they never came is the clean one."""
    outcome, day = Outcome("clocks twenty days ahead"), service.last.last
    tables, without = service.copy("before", "ahead"), service.copy("before", "not_ahead")

    def ahead(row: dict[str, Any]) -> dict[str, Any]:
        then = datetime.fromisoformat(row["ts"]) + timedelta(days=20)
        return {**row, "ts": then.isoformat()}

    skewed = change_events(tables.project.data_dir, day, ahead, share=0.01)
    change_events(without.project.data_dir, day, lambda _: None, share=0.01)
    for each in (tables, without):
        _try(outcome, load, each, service.last)
    outcome.add(difference(tables, without, _but_records(tables), ARRIVAL_COLUMNS))
    aside = [each.read("events_quarantine").count() for each in (tables, without)]
    outcome.say(f"{aside[0] - aside[1]} of {skewed} such rows in events_quarantine")
    return outcome


def damaged_gzip(service: Service) -> Outcome:
    return _damaged_file(service, "a truncated gzip file, then landed again")


def damaged_parquet(service: Service) -> Outcome:
    parquet = make_service(service.spark, service.folder / "parquet", 60, 3, "parquet")
    return _damaged_file(parquet, "a half-written Parquet file, then landed again")


def _damaged_file(service: Service, fault: str) -> Outcome:
    outcome, tables = Outcome(fault), service.copy("before", "damaged")
    file = event_files(tables.project.data_dir, service.last.last)[-1]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    _try(outcome, run_day, tables, service.last)
    rows = tables.read("events_quarantine").where("array_contains(reasons, 'damaged_file')").count()
    outcome.say(f"{rows} damaged file in events_quarantine, the rest loaded")
    file.write_bytes(whole)
    _try(outcome, load, tables, service.last)
    outcome.add(difference(tables, service.tables("loaded")))
    return outcome


def new_column(service: Service) -> Outcome:
    return _changed_rows(service, "a new column in the source", lambda row: {**row, "app": "9.1"})


def missing_column(service: Service) -> Outcome:
    def without(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "device"}

    return _changed_rows(service, "a column missing in the source, then landed again", without)


def retyped_column(service: Service) -> Outcome:
    def retyped(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "profile_id": f"p-{row['profile_id']}"}

    return _changed_rows(service, "a column of another type, then landed again", retyped)


def _changed_rows(
    service: Service, fault: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Outcome:
    """The day is run with changed files; if it fails, again with the right ones."""
    outcome, tables = Outcome(fault), service.copy("before", "changed")
    change_events(tables.project.data_dir, service.last.last, change)
    if not _try(outcome, load, tables, service.last):
        landing = tables.project.data_dir / "landing"
        shutil.copytree(service.folder / "landed" / "landing", landing, dirs_exist_ok=True)
        _try(outcome, load, tables, service.last)
    warned = (
        tables.read("data_quality_results")
        .where("table = 'events_quarantine' AND (NOT success OR expectation LIKE '%columns_new')")
        .collect()
    )
    for row in warned:
        outcome.say(f"{row['expectation']}: {row['observed']}")
    outcome.add(difference(tables, service.tables("loaded"), _but_records(tables)))
    return outcome


def _try(outcome: Outcome, work: Callable[[Tables, Days], object], tables: Tables, days: Days) -> bool:
    """Run a step; keep the line with which it refuses."""
    outcome.runs += 1
    try:
        work(tables, days)
    except (InputError, WorkFailed) as error:
        outcome.say(str(error))
        return False
    return True


def _but_records(tables: Tables) -> list[str]:
    return [name for name in tables.declared if name not in _RECORDS]
