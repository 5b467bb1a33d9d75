"""What landed and was not loaded: counting it on the way, and writing it to events_quarantine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import reduce
from threading import Lock
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from jobs.landing import DamagedFile
from jobs.tables import Tables
from metrics.rollup.landing import Landed, in_one, landed_counts, landed_of, quarantined

QUARANTINE = "events_quarantine"
# Kinds are ingested beside each other, and share the partitions of their days.
_ONE_AT_A_TIME = Lock()


class Arrivals:
    """The judged rows of one kind of source ("events", "exposures", "profiles"), counted as they are read.

    `judged`: frames of metrics.rollup.landing.judge by source name.
    """

    def __init__(self, kind: str, judged: Mapping[str, DataFrame], days: Sequence[date]) -> None:
        self._kind, self._days = kind, days
        self._judged = {f"{kind}.{name}": frame for name, frame in judged.items()}
        self._counts = landed_counts(self._judged, days)
        self._seen = Observation(kind)
        self._counts_found: Mapping[str, int] | None = None
        self._rows = in_one(self._judged) if judged else None

    @property
    def rows(self) -> DataFrame:
        """All of them in one frame, to be written once. Raises ValueError where nothing landed."""
        if self._rows is None:
            raise ValueError(f"no {self._kind} landed")
        return self._rows.observe(self._seen, *self._counts)

    def set_aside(self, tables: Tables, damaged: Sequence[DamagedFile]) -> tuple[Landed, ...]:
        """After `rows` were written, or `counted`: replace the days' quarantine of this kind by what was not loaded.

        A damaged file is one row, of number -1 and without a raw row. Gives what landed, by source and ingest day.
        """
        landed = landed_of(self._found(), self._judged, self._days) if self._judged else []
        has_broken = any(each.broken for each in landed)
        frames = [quarantined(frame, source) for source, frame in self._judged.items()] if has_broken else []
        if damaged:
            frames.append(tables.frame(QUARANTINE, [_file_row(self._kind, file) for file in damaged]))
        _replace(tables, self._kind, frames, self._days)
        return _with_damaged(landed, Counter((f"{self._kind}.{d.source}", d.ingest_day) for d in damaged))

    def counted(self) -> "Arrivals":
        """Count the rows by a job of its own, before they are written."""
        assert self._rows is not None  # some landed
        self._counts_found = self._rows.agg(*self._counts).collect()[0].asDict()
        return self

    def _found(self) -> Mapping[str, int]:
        """As observed; where no row is left on its way, Spark drops the observation with the rest of the plan."""
        if self._counts_found is None:
            try:
                return self._seen.get
            except Py4JJavaError:
                self.counted()
        assert self._counts_found is not None
        return self._counts_found


def _replace(tables: Tables, kind: str, frames: Sequence[DataFrame], days: Sequence[date]) -> None:
    with _ONE_AT_A_TIME:
        held = {day for (day,) in tables.partitions(QUARANTINE, ["ingest_day"])}
        if not frames and held.isdisjoint(days):
            return
        before = tables.read_days(QUARANTINE, days, "ingest_day")
        others = before.where(~F.col("source").startswith(f"{kind}."))
        tables.replace(QUARANTINE, reduce(DataFrame.unionByName, frames, others), {"ingest_day": days})


def _with_damaged(landed: Sequence[Landed], files: Counter[tuple[str, date]]) -> tuple[Landed, ...]:
    known = {(each.source, each.ingest_day): each for each in landed}
    of_damage_alone = {key: Landed(*key, rows=0, broken=0) for key in files if key not in known}
    return tuple(replace(each, damaged_files=files[key]) for key, each in (known | of_damage_alone).items())


def _file_row(kind: str, file: DamagedFile) -> dict[str, Any]:
    return {
        "source": f"{kind}.{file.source}",
        "source_file": file.path,
        "row": -1,
        "ingest_day": file.ingest_day,
        "reasons": ["damaged_file"],
        "raw": None,
        "replayed_on": None,
    }
