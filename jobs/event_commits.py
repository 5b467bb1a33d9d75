"""What commits of events tell later runs: which ingest days were loaded, and which event days are to be rolled up.

It stands in the commit itself: a run that is killed has noted all of it, or done nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from jobs.tables import Note, Tables

_TO_ROLL_UP, _LOADED, _OF_EVENTS = "to_roll_up", "loaded", "of_events_version"
_REMEMBERED = 400  # ingest days


@dataclass(frozen=True)
class Noted:
    """As of the last ingestion, of `version` (-1: none was).

    `loaded`: its ingest days and those before, also those that hold no row because all of theirs were copies.
    `to_roll_up`: event days that it, or one before it, may have changed, and no run rolled up since.
    """

    version: int
    loaded: frozenset[date]
    to_roll_up: frozenset[date]

    def after(self, loaded: Iterable[date], to_roll_up: Iterable[date]) -> Note:
        """What the commit says that loads these ingest days."""
        days = sorted(self.loaded.union(loaded))[-_REMEMBERED:]
        due = sorted(self.to_roll_up.union(to_roll_up))
        return {_LOADED: list(map(str, days)), _TO_ROLL_UP: list(map(str, due))}


def noted(tables: Tables) -> Noted:
    version, note = tables.last_note("events", _TO_ROLL_UP)
    rolled_up = tables.last_note("profile_days", _OF_EVENTS)[1] if note.get(_TO_ROLL_UP) else {}
    is_done = rolled_up.get(_OF_EVENTS, -1) >= version
    return Noted(version, _days(note, _LOADED), frozenset() if is_done else _days(note, _TO_ROLL_UP))


def rolled_up(tables: Tables) -> Note:
    """What a commit of profile_days says after which none of the noted event days is due."""
    return {_OF_EVENTS: tables.last_note("events", _TO_ROLL_UP)[0]}


def _days(note: Note, key: str) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, note.get(key, ())))
