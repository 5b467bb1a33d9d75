"""Which ingest days were loaded, rolled up and audited whole, and of which input: of those a second run does nothing.

Only metadata are read: a listing of the landing files, and the tables' logs.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import expectations
import jobs
import metrics
from jobs.arguments import Days
from jobs.audit_table import RESULTS
from jobs.epochs import enrolments, spans
from jobs.event_commits import noted
from jobs.landing import Landing
from jobs.tables import Tables

log = logging.getLogger("watchlift.loaded_days")
_TABLE = "loaded_days"
# Tables with rows of an ingest day, and their column of it. Of the others it has some wherever it has these.
_HELD = {"events": "ingest_day", "profile_days": "day"}


def unless_done(
    tables: Tables, days: Days, work: Callable[[Tables, Days], object], again: bool = False
) -> None:
    """The work on those of the ingest days that were not done, or whose input changed since; on all, if `again`."""
    inputs = inputs_of(tables, days.all)
    changed = days if again else changed_days(tables, inputs)
    if changed is None:
        log.info("%s: nothing changed since it was done; --again does it all the same", days)
        return
    work(tables, changed)
    _record(tables, {day: inputs[day] for day in changed.all})


def inputs_of(tables: Tables, days: Sequence[date]) -> dict[date, str]:
    """A fingerprint, by ingest day, of what its run rests on: files, configuration, code, and epochs of experiments.

    Ask before anything is read: a file that lands meanwhile is then new to the next run.
    """
    landing, sources = Landing(tables.spark), tables.project.sources.by_name
    common = (_code(), tables.project.conf_hash, spans(tables), enrolments(tables))
    found = {day: [(name, landing.listed(source, day)) for name, source in sources.items()] for day in days}
    return {
        day: hashlib.sha256(repr((common, listed)).encode()).hexdigest()[:16] for day, listed in found.items()
    }


def changed_days(tables: Tables, inputs: Mapping[date, str]) -> Days | None:
    """From the first to the last of these ingest days that has something to do; None where none has.

    Nothing is to do on a day that was loaded of the same input, whose rows are still there, and whose last audits
    held, as long as no event day waits to be rolled up. A table in a catalogue tells none of this: all days have.
    """
    days = sorted(inputs)
    if tables.project.tables.root is None or noted(tables).to_roll_up:
        return Days(days[0], days[-1])
    recorded = tables.few_rows(_TABLE, {"ingest_day": days}, ("ingest_day", "input", "held"))
    by_day = {row["ingest_day"]: row for row in recorded}
    held, failed = _held(tables), _failed(tables, days)
    changed = [
        day
        for day in days
        if day in failed
        or day not in by_day
        or by_day[day]["input"] != inputs[day]
        or any(day not in held[name] for name in by_day[day]["held"])
    ]
    return Days(changed[0], changed[-1]) if changed else None


def _record(tables: Tables, inputs: Mapping[date, str]) -> None:
    """That these days are done. The last commit of a run: one that is killed before is done again."""
    held, now = _held(tables), datetime.now(UTC)
    rows = [
        {
            "ingest_day": day,
            "input": found,
            "held": [name for name in _HELD if day in held[name]],
            "computed_at": now,
        }
        for day, found in inputs.items()
    ]
    tables.replace_rows(_TABLE, rows, {"ingest_day": list(inputs)})


def _held(tables: Tables) -> dict[str, set[date]]:
    return {name: {day for (day,) in tables.partitions(name, [column])} for name, column in _HELD.items()}


def _failed(tables: Tables, days: Sequence[date]) -> set[date]:
    """Days of which a critical expectation failed when they were last audited."""
    failed = {"day": days, "success": [False], "severity": ["critical"]}
    return {row["day"] for row in tables.few_rows(RESULTS, failed, ("day",))}


@cache
def _code() -> str:
    """A fingerprint of the product's own code: a version number may stay while that changes."""
    told = hashlib.sha256()
    for package in (jobs, metrics, expectations):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            told.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return told.hexdigest()
