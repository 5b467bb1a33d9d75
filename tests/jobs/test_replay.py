"""Quarantined rows come back once the configuration is mended: once, as what they were."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest

from jobs.event_commits import noted
from jobs.ingest_events import ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.replay_quarantine import replay_quarantine
from jobs.tables import Tables
from tests.jobs.conftest import on
from tests.jobs.landing_files import land_events, land_exposures

FEBRUARY_25, MARCH_2, MARCH_3 = "2026-02-25", "2026-03-02", "2026-03-03"
LATE = {"event_id": "late", "ts": f"{FEBRUARY_25}T12:00:00Z"}


def _with_bound(tables: Tables, days: int) -> Tables:
    """As after max_days_late of all events and exposures was changed."""
    old = tables.project.sources
    sources = replace(
        old,
        events=tuple(replace(source, max_days_late=days) for source in old.events),
        exposures=tuple(replace(source, max_days_late=days) for source in old.exposures),
    )
    return Tables(tables.spark, replace(tables.project, sources=sources))


def test_rows_that_were_too_late_are_loaded_once_the_bound_is_wider(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a copy on a later ingest day the replayed row is the first, as if it had been loaded in time.

    A replay that died on its way is repeated; one that ended is not.
    """
    land_events(tmp_path, MARCH_2, {}, LATE, {"event_id": "x", "event_type": "dance"})
    land_events(tmp_path, MARCH_3, {"event_id": "e3"}, LATE)
    land_exposures(tmp_path, MARCH_2, {"exposed_at": f"{FEBRUARY_25}T12:00:00Z"})
    ingest_events(tables, on(MARCH_2, MARCH_3))
    ingest_exposures(tables, on(MARCH_2))
    assert _events(tables) == {("e1", MARCH_2, 0), ("e3", MARCH_3, 0)}

    mended = _with_bound(tables, 6)
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr("jobs.replay_quarantine._roll_up", Mock(side_effect=KeyboardInterrupt))
        replay_quarantine(mended, on(MARCH_3))
    assert _events(tables) == {("e1", MARCH_2, 0), ("e3", MARCH_3, 0), ("late", MARCH_3, 1)}
    replay_quarantine(mended, on(MARCH_2, MARCH_3))
    expected = {("e1", MARCH_2, 0), ("e3", MARCH_3, 0), ("late", MARCH_2, 1)}
    assert _events(tables) == expected
    assert [str(row["day"]) for row in tables.read("exposures").collect()] == [FEBRUARY_25]
    rolled_up = tables.read_days("profile_days", [date.fromisoformat(FEBRUARY_25)]).collect()
    assert [row["play_starts"] for row in rolled_up] == [1]
    # Nobody rolled up what the ingestion brought: it goes on waiting.
    assert noted(tables).to_roll_up.issuperset(map(date.fromisoformat, (MARCH_2, MARCH_3)))
    aside = {
        (row["source"], row["row"], str(row["ingest_day"])): row["replayed_on"]
        for row in tables.read("events_quarantine").collect()
    }
    assert aside.pop(("events.playback", 2, MARCH_2)) is None  # still of an unknown type
    assert len(aside) == 3
    assert all(aside.values())

    version = tables.last_note("events", "partitions")[0]
    replay_quarantine(mended, on(MARCH_2, MARCH_3))
    assert tables.last_note("events", "partitions")[0] == version
    ingest_events(mended, on(MARCH_2, MARCH_3))
    assert _events(tables) == expected


def _events(tables: Tables) -> set[tuple[str, str, int]]:
    found = tables.read("events").collect()
    assert len({row["event_id"] for row in found}) == len(found)
    return {(row["event_id"], str(row["ingest_day"]), row["row"]) for row in found}
