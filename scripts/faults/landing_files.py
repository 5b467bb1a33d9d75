"""Changing landing files as a broken client, uploader or clock would."""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

Change = Callable[[dict[str, Any]], dict[str, Any] | None]


def event_files(data_dir: Path, day: date | None = None) -> list[Path]:
    """The files of events of an ingest day (default: of all)."""
    return sorted((data_dir / "landing" / "events").glob(f"ingest_day={day or '*'}/*/*.*"))


def ingest_day(file: Path) -> date:
    return date.fromisoformat(file.parts[-3].removeprefix("ingest_day="))


def change_events(data_dir: Path, day: date, change: Change, share: float = 1.0, seed: int = 1) -> int:
    """Apply a change to a share of a day's rows, or take them away where it gives None. Gives how many."""
    draw, changed = random.Random(seed), 0
    for file in event_files(data_dir, day):
        lines = []
        for line in _lines(file):
            row = _parsed(line)
            if row is None or draw.random() >= share:
                lines.append(line)
                continue
            changed += 1
            if (other := change(row)) is not None:
                lines.append(json.dumps(other))
        _write(file, lines)
    return changed


def delay_events(data_dir: Path, share: float, most_days: int, seed: int = 1) -> None:
    """Move a share of the good rows to the files of a later day, as far as there are days."""
    draw, late = random.Random(seed), defaultdict[date, list[str]](list)
    last = max(map(ingest_day, event_files(data_dir)))
    for file in event_files(data_dir):
        kept: list[str] = []
        for line in _lines(file):
            arrives = ingest_day(file) + timedelta(days=draw.randint(1, most_days))
            is_late = _parsed(line) is not None and draw.random() < share and arrives <= last
            (late[arrives] if is_late else kept).append(line)
        _write(file, kept)
    for day, lines in late.items():
        _write(event_files(data_dir, day)[0].with_name("late.json.gz"), lines)


def land_events(data_dir: Path, day: date, events: list[tuple[str, date]]) -> Path:
    """A day's one file: play starts of one profile, by id and the day on which they happened."""
    folder = data_dir / "landing" / "events" / f"ingest_day={day}" / "hour=12"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "event_id": name,
            "ts": f"{happened}T11:00:00Z",
            "profile_id": 1,
            "household_id": 1,
            "event_type": "play_start",
        }
        for name, happened in events
    ]
    path = folder / "part-0.json.gz"
    _write(path, [json.dumps(row) for row in rows])
    return path


def join_hours(landing: Path, hours: int) -> None:
    """One file for so many hours: hundreds of files of a few rows cost more to open than to read."""
    for folder in sorted(landing.glob("*/ingest_day=*/hour=*")):
        hour = int(folder.name.removeprefix("hour="))
        into = folder.with_name(f"hour={hour // hours * hours:02d}")
        into.mkdir(exist_ok=True)
        for file in sorted(folder.glob("part-*")):
            with (into / "joined.json.gz").open("ab") as whole:
                whole.write(file.read_bytes())  # members of a gzip file may follow each other
            file.unlink()
        if folder != into:
            folder.rmdir()


def _lines(file: Path) -> Iterator[str]:
    yield from gzip.decompress(file.read_bytes()).decode().splitlines()


def _parsed(line: str) -> dict[str, Any] | None:
    """A row as a client meant it; None for one that is damaged already."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if row.get("event_id") and row.get("profile_id") else None


def _write(file: Path, lines: list[str]) -> None:
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
