"""Writing small landing files in the layout of conf/sources.yml."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EVENT = {
    "event_id": "e1",
    "ts": "2026-03-02T12:00:00.000Z",
    "profile_id": 1,
    "household_id": 10,
    "session_id": "s1",
    "title_id": 5,
    "device": "tv",
    "region": "eu",
    "event_type": "play_start",
    "attributes": {"position": "3"},
}
EXPOSURE = {
    "experiment_id": "homepage_ranking",
    "profile_id": 1,
    "household_id": 10,
    "exposed_at": "2026-03-02T11:00:00.000Z",
    "arm": "control",
    "device": "tv",
    "region": "eu",
    "assignment_version": "1",
}
PROFILE = {
    "profile_id": 1,
    "household_id": 10,
    "signup_day": "2026-01-01",
    "region": "eu",
    "device": "tv",
    "plan": "basic",
}


def land_events(data_dir: Path, day: str, *rows: dict[str, Any] | str, hour: str = "12") -> Path:
    """Rows over EVENT; a text lands as it is."""
    return _write(data_dir / f"landing/events/ingest_day={day}/hour={hour}/part-0.json.gz", EVENT, rows)


def land_exposures(data_dir: Path, day: str, *rows: dict[str, Any] | str, hour: str = "12") -> Path:
    return _write(data_dir / f"landing/exposures/ingest_day={day}/hour={hour}/part-0.json.gz", EXPOSURE, rows)


def land_profiles(data_dir: Path, day: str, *rows: dict[str, Any] | str) -> Path:
    return _write(data_dir / f"landing/profiles/ingest_day={day}/part-0.json.gz", PROFILE, rows)


def _write(path: Path, base: dict[str, Any], rows: Iterable[dict[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps({**base, **row}) for row in rows]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines) + "\n")
    return path
