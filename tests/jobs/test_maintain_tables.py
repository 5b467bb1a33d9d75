"""Upkeep: settled days in few files, sorted, the rows as they were; a second run finds nothing to do."""

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import jobs.maintain_tables
from jobs.delta_files import remove_expired_files
from jobs.maintain_tables import maintain_tables
from jobs.tables import Tables
from tests.jobs.conftest import on

SETTLED, OPEN = date(2026, 3, 1), date(2026, 3, 2)


def fill(tables: Tables) -> None:
    empty = dict.fromkeys(tables.declared["profile_days"].columns)
    for day in (SETTLED, OPEN):
        rows = [{**empty, "day": day, "profile_id": n * 7 % 50, "sessions": float(n)} for n in range(50)]
        tables.replace("profile_days", tables.frame("profile_days", rows).repartition(3), {"day": [day]})


def test_settled_days_are_put_together_sorted_and_only_once(
    tables: Tables,
    tmp_path: Path,
    content: Callable[[str], list[tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def files(day: date) -> list[Path]:
        live = {path.rpartition("/")[2] for path in tables.read_days("profile_days", [day]).inputFiles()}
        return [path for path in (tmp_path / "tables").rglob("*.parquet") if path.name in live]

    def state() -> list[Path]:
        return sorted(path for path in (tmp_path / "tables").rglob("*"))

    def remove_in_one(own: Tables, name: str) -> None:
        cleaned.append(name)
        if name == "profile_days":  # the others are as empty as they were
            remove_expired_files(own, name)

    cleaned: list[str] = []
    monkeypatch.setattr(jobs.maintain_tables, "remove_expired_files", remove_in_one)
    fill(tables)
    long_ago = tmp_path / "tables" / "profile_days" / "of-a-killed-job.parquet"
    long_ago.touch()
    os.utime(long_ago, (time.time() - 8 * 86400,) * 2)
    before = content("profile_days")
    assert (len(files(SETTLED)), len(files(OPEN))) == (3, 3)

    # Events of 2 March may still come with an ingest of the 5th.
    assert maintain_tables(tables, on("2026-03-05")) == 1
    (together,) = files(SETTLED)
    assert pq.read_table(together).column("profile_id").to_pylist() == sorted(range(50))
    assert len(files(OPEN)) == 3
    assert content("profile_days") == before
    assert not long_ago.exists() and cleaned == list(tables.declared)
    assert list((tmp_path / "tables" / "profile_days" / "_delta_log").glob("*.checkpoint.parquet"))

    there = state()
    assert maintain_tables(tables, on("2026-03-05")) == 0
    assert state() == there
