"""Which ingest days were loaded, rolled up and audited whole, and of which input: of those a second run does nothing.

No row of data is read for it: landing files are listed, and the tables' logs name their files.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import expectations
import jobs
import metrics
from expectations.landed import FILES_WHOLE, SUITE
from jobs.arguments import Days
from jobs.audit_table import RESULTS
from jobs.epochs import enrolments, spans
from jobs.event_commits import noted
from jobs.file_statistics import known_of
from jobs.landing import Landing
from jobs.quarantine import QUARANTINE
from jobs.tables import Tables, named_files

log = logging.getLogger("watchlift.loaded_days")
_TABLE = "loaded_days"
# What a run of ingest days writes of event days, and what it audits.
_BY_DAY = ("exposures", "profile_days", "exposure_day_measures")
_AUDITED = ("profiles", "events", *_BY_DAY, SUITE.table)


def unless_done(
    tables: Tables, days: Days, work: Callable[[Tables, Days], object], again: bool = False
) -> None:
    """The work on ingest days, from the first to the last that has something to do; on all of them, if `again`.

    Nothing is to do on a day that was done of the same input, as long as every file that was written for it is still
    there and no other, whoever wrote it, profiles are those of then, and no event day waits to be rolled up. Tables in
    a catalogue, and sources that do not tell the day of a file, do not say so much: there all days are done.
    """
    if tables.project.tables.root is None or not all(
        source.by_day for source in tables.project.sources.by_name.values()
    ):
        work(tables, days)
        return
    # Before anything is read: a file that lands meanwhile is new to the next run.
    inputs = inputs_of(tables, days.all)
    changed = days if again else changed_days(tables, inputs)
    if changed is None:
        log.info("%s: nothing changed since it was done; --again does it all the same", days)
        return
    if changed != days:
        log.info("%s: %s alone, the rest was done and did not change", days, changed)
    work(tables, changed)
    _record(tables, {day: inputs[day] for day in changed.all})


def inputs_of(tables: Tables, days: Sequence[date]) -> dict[date, str]:
    """A fingerprint, by ingest day, of what its run rests on: files, configuration, code, and epochs of experiments."""
    landing, sources = Landing(tables.spark), tables.project.sources.by_name
    common = (_CODE, tables.project.conf_hash, spans(tables), enrolments(tables))
    listed = {day: [(name, landing.listed(source, day)) for name, source in sources.items()] for day in days}
    return {day: _fingerprint(common, found) for day, found in listed.items()}


def changed_days(tables: Tables, inputs: Mapping[date, str]) -> Days | None:
    """From the first to the last of these ingest days that has something to do; None where none has."""
    days = sorted(inputs)
    if noted(tables).to_roll_up:
        return Days(days[0], days[-1])
    rows = tables.few_rows(_TABLE, {"ingest_day": days}, ("ingest_day", "input", "output"))
    recorded = {row["ingest_day"]: (row["input"], row["output"]) for row in rows}
    outputs = _outputs_of(tables, days)
    changed = [day for day in days if recorded.get(day) != (inputs[day], outputs[day])]
    return Days(changed[0], changed[-1]) if changed else None


def _record(tables: Tables, inputs: Mapping[date, str]) -> None:
    """That these days are done. The last commit of a run: one that is killed before is done again.

    So is a day of which a damaged file was left out: whatever mends it need not show in a listing.
    """
    days = sorted(inputs)
    failed = tables.few_rows(
        RESULTS, {"table": [SUITE.table], "day": days, "success": [False]}, ("day", "expectation")
    )
    damaged = {row["day"] for row in failed if row["expectation"].endswith(FILES_WHOLE)}
    outputs, now = _outputs_of(tables, days), datetime.now(UTC)
    rows = [
        {"ingest_day": day, "input": inputs[day], "output": outputs[day], "computed_at": now}
        for day in days
        if day not in damaged
    ]
    tables.replace_rows(_TABLE, rows, {"ingest_day": days})


def _outputs_of(tables: Tables, days: Sequence[date]) -> dict[date, str]:
    """A fingerprint, by ingest day, of the files that its run wrote: names, which no two files share."""
    events, aside = _files(tables, "events", "ingest_day", "day"), _files(tables, QUARANTINE, "ingest_day")
    audits = [row for row in _files(tables, RESULTS, "day", "table") if row[1] in _AUDITED]
    by_day = [*(_files(tables, name, "day") for name in _BY_DAY), audits]
    # Of profiles what is known of the rows: each run of a day writes the same snapshot anew.
    profiles = known_of(tables.files("profiles"), None)
    columns = [*tables.declared["profiles"].columns]
    snapshot = profiles.version(columns) if profiles else _files(tables, "profiles")

    def output(ingest_day: date) -> str:
        loaded = [[row for row in rows if row[0] == ingest_day] for rows in (events, aside)]
        touched = {ingest_day, *(day for _, day, _ in loaded[0])}
        rolled_up = [[row for row in rows if row[0] in touched] for rows in by_day]
        return _fingerprint(snapshot, *loaded, *rolled_up)

    return {day: output(day) for day in days}


def _files(tables: Tables, name: str, *columns: str) -> list[tuple[Any, ...]]:
    files = tables.files(name)
    assert files is not None  # the tables have a root
    return sorted(named_files(files, columns))


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _of_code() -> str:
    """Of the product's own code, as a version number may stay while that changes, and of what counts rows for it."""
    packages = [version(name) for name in ("pyspark", "delta-spark", "great-expectations")]
    told = hashlib.sha256(repr(packages).encode())
    for package in (jobs, metrics, expectations):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            told.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return told.hexdigest()


# When it is imported: later another version may have been installed.
_CODE = _of_code()
