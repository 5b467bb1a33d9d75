"""Erasure: a profile's rows gone from tables, files and logs; nobody else's touched; no id told."""

import json
import os
import re
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

import jobs.erase_profiles
from jobs.arguments import WorkFailed
from jobs.delta_files import for_upkeep
from jobs.delta_reader import count_rows
from jobs.erase_profiles import erase_profiles, prove, read_profile_ids
from jobs.event_commits import noted
from jobs.tables import Tables
from metrics.errors import InputError
from tests.jobs.landing_files import EVENT

GONE, TOO, STAYS = 7_000_000_000_001, 7_000_000_000_002, 8_000_000_000_003
DAY = date(2026, 3, 2)
RAW = {
    1: json.dumps({**EVENT, "profile_id": GONE}),  # read as theirs
    2: json.dumps({**EVENT, "profile_id": STAYS, "title_id": GONE}),  # read as another's
    3: f'{{"profile_id": {GONE}, "house',  # not readable: the number is theirs
    4: f'{{"profile_id": {GONE}1, "house',  # another number
}
ASIDE: list[dict[str, Any]] = [
    *({"source": "events.playback", "row": row, "raw": raw} for row, raw in RAW.items()),
    {"source": "events.no_longer_configured", "row": 5, "raw": f'{{"user": "{TOO}"}}'},
    {"source": "events.playback", "row": -1, "raw": None},
]


def write(tables: Tables, name: str, *rows: dict[str, Any]) -> None:
    table = tables.declared[name]
    frame = tables.frame(name, [{**dict.fromkeys(table.columns), **row} for row in rows])
    if table.partitioned_by:
        tables.replace(name, frame, {column: [DAY] for column in table.partitioned_by})
    else:
        tables.overwrite(name, frame)


def fill(tables: Tables) -> None:
    # Two snapshots: the first one's file is no part of the table any more.
    for _ in range(2):
        write(tables, "profiles", *({"profile_id": one, "household_id": 1} for one in (GONE, TOO, STAYS)))
    aside = {"source_file": "f", "ingest_day": DAY, "reasons": ["malformed"]}
    write(tables, "events_quarantine", *({**aside, **row} for row in ASIDE))
    event = {"event_id": "e", "event_ts": datetime(2026, 3, 2, 12, tzinfo=UTC), "event_type": "play_start"}
    event |= {
        "profile_id": GONE,
        "household_id": 1,
        "day": DAY,
        "ingest_day": DAY,
        "source_file": "f",
        "row": 0,
    }
    rows = tables.frame("events", [{**dict.fromkeys(tables.declared["events"].columns), **event}])
    tables.replace("events", rows, {"ingest_day": [DAY]}, noted(tables).after([DAY], [DAY]))


def lying_in(folder: Path) -> str:
    """Everything that is stored under a folder, as text."""
    parquet = [str(path) for path in folder.rglob("*.parquet")]
    rows = [ds.dataset(path, format="parquet").to_table().to_pylist() for path in parquet]
    others = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and str(path) not in parquet]
    return repr(rows) + repr(others)


def grow_old(folder: Path) -> None:
    for path in folder.rglob("*"):
        if time.time() > path.stat().st_mtime > time.time() - 3600:
            os.utime(path, (time.time() - 7200,) * 2)


def test_profiles_are_gone_from_tables_files_and_logs_and_no_id_is_told(
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill(tables)
    # The file of a job that was killed, and that of one which writes at this moment.
    there = next((tmp_path / "tables" / "profiles").glob("*.parquet"))
    killed, writing = there.with_name("killed.parquet"), tmp_path / "writing.parquet"
    for copy in (killed, writing):
        copy.write_bytes(there.read_bytes())
    monkeypatch.setattr(jobs.erase_profiles, "_pause", lambda _: grow_old(tmp_path / "tables"))
    caplog.set_level("INFO", "watchlift")
    report = erase_profiles(tables, [GONE, TOO])

    assert [row["profile_id"] for row in tables.read("profiles").collect()] == [STAYS]
    assert sorted(row["row"] for row in tables.read("events_quarantine").collect()) == [-1, 2, 4]
    stored = lying_in(tmp_path / "tables")
    assert str(STAYS) in stored
    assert str(TOO) not in stored
    assert len(re.findall(rf"(?<!\d){GONE}(?!\d)", stored)) == stored.count(RAW[2]) == 1
    proofs = {proof["table"]: proof["rows_deleted"] for proof in json.loads(report.read_text())["tables"]}
    of_profiles = {name for name, table in tables.declared.items() if "profile_id" in table.columns}
    assert proofs == {**dict.fromkeys(of_profiles, 0), "profiles": 2, "events_quarantine": 3, "events": 1}
    # Its one ingest day holds no row any more; that it was loaded, and is to be rolled up, is still known.
    assert noted(tables).loaded == {DAY}
    assert noted(tables).to_roll_up == {DAY}
    # Readers without deletion vectors, as of readouts, have the tables back.
    assert count_rows(tables.project.tables, "profiles") == 1

    writing.rename(killed)
    with pytest.raises(WorkFailed, match="profiles are left in profiles ") as caught:
        prove(for_upkeep(tables), [GONE, TOO], {})
    told = report.read_text() + caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    assert not any(str(one) in told for one in (GONE, TOO))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5\n\n-3\n5\n", [-3, 5]), ("name,profile_id\nx,12\n", [12]), ("9223372036854775807", [(1 << 63) - 1])],
)
def test_a_list_is_one_id_a_line_or_a_column_of_a_csv(tmp_path: Path, text: str, expected: list[int]) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert read_profile_ids(tmp_path / "list.csv") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"7\n8x1\n", "line 2 has no profile id; write a whole number"),
        (b"7\n9223372036854775808\n", "line 2 has no profile id"),
        (b"name,profile_id\nx\n", "line 2 has no profile id"),
        (b"\n", "holds no id; write one a line"),
        (b"\xff\xfe7", "is no text in UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_list_is_refused_by_its_line_and_without_what_it_says(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_profile_ids(path)
    assert not {"8x1", "9223372036854775808"} & set(str(caught.value).split())
