"""Whether a day's run would leave what the last one left: then it reads no row.

The last run that went through notes fingerprints of all that a day's tables follow from, and of the tables themselves:
landing files by size and time, configuration, code, restarts, and the names of the Delta files, which are new with
every write. Whatever is different, or unknown, the day is run.
"""

import hashlib
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from jobs.arguments import Days
from jobs.epochs import enrolments, spans
from jobs.landing import Landing
from jobs.tables import Tables

_NOTED_WITH, _KEY = "profile_days", "left"
# By the column of days that tells what a day's run can read or write of them; all of a table without one.
_TABLES = {
    "events": "day",
    "exposures": "day",
    "profile_days": "day",
    "exposure_day_measures": "day",
    "events_quarantine": "ingest_day",
    "profiles": None,
}
_PACKAGES = ("metrics", "expectations", "jobs")


def is_as_left(tables: Tables, days: Days) -> bool:
    _, note = tables.last_note(_NOTED_WITH, _KEY)
    left = note.get(_KEY, {})
    return set(left) >= {str(day) for day in days.all} and left.items() >= _fingerprints(tables, days).items()


def note_what_is_left(tables: Tables, days: Days) -> None:
    """In a commit of its own, which changes no row: whoever is killed before it has to run again."""
    fingerprints = _fingerprints(tables, days)
    if fingerprints:
        tables.note(_NOTED_WITH, {_KEY: fingerprints})


def _fingerprints(tables: Tables, days: Days) -> dict[str, str]:
    """By day. None where the tables' files do not tell their rows: in a catalogue, or after an erasure."""
    logs = {name: tables.files(name) for name in _TABLES}
    if any(
        log is None or "deletionVectors" in (log.protocol().reader_features or ()) for log in logs.values()
    ):
        return {}
    of_all = (tables.project.conf_hash, _code(), sorted(spans(tables).items()), enrolments(tables))
    files = {name: _files(log, _TABLES[name]) for name, log in logs.items() if log}
    late, landing = timedelta(days=tables.project.sources.longest_delay), Landing(tables.spark)
    found, folder = {}, str(tables.project.data_dir)
    for day in days.all:
        landed = [
            (name, [(path.replace(folder, ""), *stamp) for path, *stamp in landing.stamps(each, day)])
            for name, each in tables.project.sources.by_name.items()
        ]
        first, last = day - late, day + timedelta(days=1)
        held = [
            (name, sorted(file for of_day, file in some if of_day is None or first <= of_day <= last))
            for name, some in files.items()
        ]
        found[str(day)] = hashlib.sha256(repr((of_all, landed, held)).encode()).hexdigest()[:16]
    return found


def _files(log: DeltaTable, column: str | None) -> list[tuple[date | None, str]]:
    """The table's files with their day."""
    told = pa.table(log.get_add_actions(flatten=True))
    if not told.num_rows:
        return []
    days = told[f"partition.{column}"].to_pylist() if column else [None] * told.num_rows
    return list(zip(days, told["path"].to_pylist(), strict=True))


@cache
def _code() -> str:
    """A hash of this project's modules: not only a release may change what a run leaves."""
    found = hashlib.sha256()
    here = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        for path in sorted((here / package).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()
