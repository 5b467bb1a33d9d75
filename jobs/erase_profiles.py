"""Erase profiles from every table, their files and their logs, and prove that they are gone."""

import csv
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.arguments import WorkFailed, job_parser, run
from jobs.delta_files import delete_rows, for_upkeep, forget_history, remove_old_files, stored
from jobs.event_commits import noted
from jobs.session import spark_session
from jobs.tables import Tables, code_version
from metrics.configuration.project import load_project
from metrics.errors import InputError
from metrics.rollup.erasure import QUARANTINE_KEY, raw_rows_of_profiles, rows_of_profiles

log = logging.getLogger("watchlift.erase_profiles")
_BIGINT = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class Holding:
    """A table with rows of profiles: how theirs are found among such rows, and the columns that tell them."""

    theirs: Callable[[DataFrame], DataFrame]
    same: Sequence[str]


@dataclass(frozen=True)
class Proof:
    """What was found of the profiles after the erasure; `files`: all that lie in the table's folder."""

    table: str
    rows_deleted: int
    rows_left: int
    files: int
    rows_left_in_files: int
    log_entries_of_lost_files: int

    @property
    def is_clean(self) -> bool:
        return not (self.rows_left or self.rows_left_in_files or self.log_entries_of_lost_files)


def erase_profiles(tables: Tables, profile_ids: Sequence[int]) -> Path:
    """Delete the profiles' rows, the files that held them and the log that tells of these; gives the proof's file."""
    own = for_upkeep(tables)
    holding = _holding(own, profile_ids).items()
    written = {name: one for name, one in holding if not stored(own, name).is_nothing}
    # One after the other, but in step, so that there is one pause for all: removed is what was not needed before it.
    deleted = {
        name: delete_rows(own, name, one.theirs(own.read(name)).select(*one.same).distinct(), one.same)
        for name, one in written.items()
    }
    purged = time.time()
    _pause(5)
    for name in written:
        remove_old_files(own, name, purged)
    _pause(61 - time.time() % 60)
    notes = {"events": noted(own).after((), ())}
    for name in written:
        forget_history(own, name, notes.get(name))
    return prove(own, profile_ids, deleted)


def prove(tables: Tables, profile_ids: Sequence[int], deleted: Mapping[str, int]) -> Path:
    """Look for the profiles in every table, its files and its log, and write down what was found; gives that file.

    `tables` for upkeep; `deleted`: rows by table. Raises WorkFailed where something is left.
    """
    holding = _holding(tables, profile_ids)
    proofs = [_proof(tables, name, one, deleted.get(name, 0)) for name, one in holding.items()]
    report = _report(tables, len(profile_ids), proofs)
    left = [proof.table for proof in proofs if not proof.is_clean]
    if left:
        raise WorkFailed(f"profiles are left in {', '.join(left)} (see {report}); run the job again")
    return report


def read_profile_ids(path: Path) -> list[int]:
    """The ids in a file: one a line, or a CSV's column profile_id, else its first. Errors never show what is there."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _ids(path, csv.reader(file))
    except OSError as error:
        raise InputError(f"profiles file '{path}' cannot be read ({error.strerror}); give its path") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"profiles file '{path}' is no text in UTF-8; write one id a line") from None


def _ids(path: Path, rows: Iterable[list[str]]) -> list[int]:
    found, column = set[int](), 0
    for line, row in enumerate(rows, start=1):
        fields = [field.strip() for field in row]
        if line == 1 and "profile_id" in fields:
            column = fields.index("profile_id")
        elif any(fields):
            text = fields[column] if column < len(fields) else ""
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(text) in _BIGINT):
                raise InputError(
                    f"profiles file '{path}': line {line} has no profile id; write a whole number of 64 bits"
                )
            found.add(int(text))
    if not found:
        raise InputError(f"profiles file '{path}' holds no id; write one a line")
    return sorted(found)


def _holding(tables: Tables, profile_ids: Sequence[int]) -> Mapping[str, Holding]:
    """Every table with a column profile_id, and the raw rows that broke a rule."""
    profiles = tables.spark.createDataFrame(pa.table({"profile_id": pa.array(profile_ids, pa.int64())}))
    sources = tables.project.sources
    by_id = Holding(lambda rows: rows_of_profiles(rows, profiles), ["profile_id"])
    by_text = Holding(lambda rows: raw_rows_of_profiles(rows, profiles, sources), QUARANTINE_KEY)
    named = {name: by_id for name, table in tables.declared.items() if "profile_id" in table.columns}
    return {**named, "events_quarantine": by_text}


def _proof(tables: Tables, name: str, holding: Holding, deleted: int) -> Proof:
    found = stored(tables, name)
    proof = Proof(
        table=name,
        rows_deleted=deleted,
        rows_left=holding.theirs(tables.read(name)).count(),
        files=found.files,
        rows_left_in_files=holding.theirs(found.rows).count(),
        log_entries_of_lost_files=found.log_entries,
    )
    log.info(
        "%s: %d rows deleted; %d left, %d in %d files, %d log entries of lost files",
        name,
        deleted,
        proof.rows_left,
        proof.rows_left_in_files,
        proof.files,
        proof.log_entries_of_lost_files,
    )
    return proof


def _report(tables: Tables, profiles: int, proofs: Sequence[Proof]) -> Path:
    """How many profiles, when, by what code, and what was found: no id, and nothing made of one."""
    now = datetime.now(UTC)
    path = tables.project.data_dir / "erasures" / f"{now:%Y-%m-%dT%H-%M-%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "finished_at": now.isoformat(timespec="seconds"),
        "application": tables.spark.sparkContext.applicationId,
        "code_version": code_version(),
        "profiles": profiles,
        "clean": all(proof.is_clean for proof in proofs),
        "tables": [asdict(proof) for proof in proofs],
    }
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    log.info("%d profiles: the proof is %s", profiles, path)
    return path


def _pause(seconds: float) -> None:
    log.info("waiting %.0f s, until what is removed is older than what others write", seconds)
    time.sleep(seconds)


def main(argv: Sequence[str] | None = None) -> int:
    def work(arguments: Sequence[str]) -> None:
        parser = job_parser(__doc__)
        parser.add_argument("--profiles", type=Path, required=True, help="file of profile ids, one a line")
        parsed = parser.parse_args(arguments)
        profile_ids = read_profile_ids(parsed.profiles)
        project = load_project(parsed.conf_dir, parsed.data_dir)
        with spark_session("erase_profiles") as spark:
            tables = Tables(spark, project)
            tables.create()
            erase_profiles(tables, profile_ids)

    return run(work, argv)


if __name__ == "__main__":
    sys.exit(main())
