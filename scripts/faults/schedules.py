"""Random schedules: events arrive on several days, files change and come back, runs die, days are run in any order.

What should be in the tables then is worked out in plain Python from the last files of each day alone.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

from jobs.arguments import Days
from jobs.event_commits import rolled_up
from jobs.ingest_events import ingest_events
from jobs.loaded_days import unless_done
from jobs.roll_up_profile_days import roll_up_days
from jobs.tables import Tables
from scripts.faults.landing_files import land_events
from scripts.faults.outcome import Outcome
from scripts.faults.service import Service

FIRST_DAY = date(2026, 3, 1)
_DAYS, _EVENTS, _STEPS = 4, 14, 5
# Of a day on which nothing else lands.
_NONE = -1


class Died(BaseException):
    """In place of SIGKILL: nothing that a job does on an error is done."""


@dataclass(frozen=True)
class Landed:
    """An ingest day's file at some time: its events, as (event, its own day), content, and when it was changed."""

    path: Path
    events: Counter[tuple[int, date]]
    content: bytes
    changed_ns: int

    def put_back(self) -> None:
        """As it was, and as old."""
        self.path.write_bytes(self.content)
        os.utime(self.path, ns=(self.changed_ns, self.changed_ns))


@dataclass
class World:
    """`files`: what landed of each ingest day, one after the other; `delivered`: the events of those that are there.
    `died`: the day of a run since the last.
    """

    draw: random.Random
    died: date | None = None
    files: dict[date, list[Landed]] = field(default_factory=dict)
    delivered: dict[date, Counter[tuple[int, date]]] = field(default_factory=dict)

    @property
    def days(self) -> list[date]:
        return [FIRST_DAY + timedelta(days=n) for n in range(_DAYS)]

    def arrivals(self, day: date) -> Counter[tuple[int, date]]:
        """Some events, some twice; each happened on a day of its own, on this day or up to three before."""
        found = [event for event in range(_EVENTS) if self.draw.random() < 0.5]
        happened = [(event, self.days[event % _DAYS]) for event in found]
        return Counter(
            each for each in happened if each[1] <= day for _ in range(self.draw.choice((1, 1, 2)))
        )

    def owners(self, max_days_late: int) -> dict[tuple[int, date], date]:
        """The ingest day whose copy of each event counts: the first that was not too late."""
        owners: dict[tuple[int, date], date] = {}
        for day in self.days:
            for event, happened in self.delivered[day]:
                if (day - happened).days <= max_days_late:
                    owners.setdefault((event, happened), day)
        return owners


def run_schedule(tables: Tables, seed: int) -> tuple[list[str], int, int]:
    """Run one schedule over empty tables. Gives its steps in words, and how many rows are lost and doubled."""
    world = World(random.Random(seed))
    steps, due = [], set(world.days)
    for day in world.days:
        _land(tables, world, day)
    for step in _steps(world):
        steps.append(_do(tables, world, step, due))
    while due or world.died:
        day = world.draw.choice(sorted(due or set(world.days) - {world.died}))
        steps.append(_do(tables, world, ("run", day, day), due))
    expected, found = _expected(tables, world), _found(tables)
    return steps, (expected - found).total(), (found - expected).total()


def schedules(service: Service, seeds: range = range(20)) -> Outcome:
    """Each over empty tables of its own."""
    outcome = Outcome(f"{len(seeds)} random schedules of arrivals, retries and backfills")
    service.tables("empty").create()
    for seed in seeds:
        steps, lost, doubled = run_schedule(service.copy("empty", "schedule"), seed)
        outcome.runs += sum(not step.startswith(("files", "back")) for step in steps)
        for count, rows in ((lost, outcome.lost), (doubled, outcome.doubled)):
            if count:
                rows[f"events (seed {seed}: {'; '.join(steps)})"] = count
    return outcome


Step = tuple[str, date, date]


def _steps(world: World) -> Iterator[Step]:
    for _ in range(_STEPS):
        first, last = sorted(world.draw.choices(world.days, k=2))
        yield world.draw.choice(
            (("run", first, last), ("die", first, first), ("files", first, first), ("back", first, first))
        )


def _do(tables: Tables, world: World, step: Step, due: set[date]) -> str:
    """One step; `due` are days whose files were not loaded since they came. What a run that died after loading them
    has left to be rolled up is for the next run, whatever its day.
    """
    what, first, last = step
    days = Days(first, last)
    if what == "files":
        _land(tables, world, first)
        due.add(first)
    elif what == "back":
        earlier = world.draw.choice(world.files[first])
        earlier.put_back()
        world.delivered[first] = earlier.events
        due.add(first)
    elif what == "die":
        due.discard(first)
        world.died = first
        with patch("jobs.quarantine.Arrivals.set_aside", side_effect=Died), suppress(Died):
            ingest_events(tables, days)
    else:
        unless_done(tables, days, _load)
        due.difference_update(days.all)
        world.died = None
    return f"{what} {days}"


def _load(tables: Tables, days: Days) -> None:
    touched = ingest_events(tables, days).touched
    roll_up_days(tables, sorted(touched), rolled_up(tables))


def _land(tables: Tables, world: World, day: date) -> None:
    events = world.arrivals(day) or Counter({(_NONE, day): 1})
    rows = [(f"e{event}", happened) for event, happened in events.elements()]
    path = land_events(tables.project.data_dir, day, rows)
    world.files.setdefault(day, []).append(Landed(path, events, path.read_bytes(), path.stat().st_mtime_ns))
    world.delivered[day] = events


def _expected(tables: Tables, world: World) -> Counter[tuple[object, ...]]:
    """Events by owner, and play starts by day of their one profile."""
    owners = world.owners(tables.project.sources.max_days_late)
    rows: Counter[tuple[object, ...]] = Counter((event, day) for (event, _), day in owners.items())
    plays = Counter(happened for _, happened in owners)
    return rows + Counter({("plays", day, n): 1 for day, n in plays.items()})


def _found(tables: Tables) -> Counter[tuple[object, ...]]:
    events = tables.read("events").select("event_id", "ingest_day").collect()
    rows: Counter[tuple[object, ...]] = Counter(
        (int(row["event_id"].removeprefix("e")), row["ingest_day"]) for row in events
    )
    days = tables.read("profile_days").select("day", "play_starts").collect()
    return rows + Counter(("plays", row["day"], int(row["play_starts"])) for row in days)
