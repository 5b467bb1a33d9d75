"""Comparing the tables of two runs, row for row."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from jobs.delta_dataset import dataset_of
from jobs.tables import Tables

# Who computed a row, when, of which files, and with which other days it was checked: no part of what a run leaves.
AUDIT_COLUMNS = ("computed_at", "code_version", "since", "run", "replayed_on", "details", "input", "output")
# What tells how an event arrived: another order of arrival, other values.
ARRIVAL_COLUMNS = ("ingest_day", "source_file", "row")
# A decision or look made again from other rows is a row more; what is expected is those of the rows that there are.
_GROWING = ("looks", "rollout_decisions")


@dataclass(frozen=True)
class Difference:
    """Rows that are missing, and rows that are too many, by table; none of both where the tables are equal."""

    lost: dict[str, int]
    doubled: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)


def difference(
    found: Tables,
    expected: Tables,
    names: Collection[str] | None = None,
    without: Sequence[str] = (),
    growing: Collection[str] = _GROWING,
) -> Difference:
    """Of the named tables (default: all), but for the columns `without` and those that say who wrote when.

    Of the `growing` ones rows of before may stay: none, where the same data were loaded.
    """
    lost, doubled = dict[str, int](), dict[str, int]()
    for name in names or expected.declared:
        should, is_there = rows_of(expected, name, without), rows_of(found, name, without)
        if missing := (should - is_there).total():
            lost[name] = missing
        # Versions that were superseded may stay, each of them once.
        more = is_there - Counter(dict.fromkeys(is_there, 1)) if name in growing else is_there - should
        if more:
            doubled[name] = more.total()
    return Difference(lost, doubled)


def rows_of(tables: Tables, name: str, without: Sequence[str] = ()) -> Counter[str]:
    """How often each row is there. Read by delta-rs: many small tables, in hundredths of a second each."""
    rows = _read(tables, name)
    if name in _GROWING:
        current = tuple({row["input_version"] for row in _read(tables, "estimates")})
        rows = [row for row in rows if row["input_version"].startswith(current)]
    left_out = {*AUDIT_COLUMNS, *without}
    return Counter(
        repr([_plain(column, value) for column, value in row.items() if column not in left_out])
        for row in rows
    )


def _read(tables: Tables, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        dataset_of(DeltaTable(f"{tables.project.tables.root}/{name}")).to_table().to_pylist()
    )
    return found


def _plain(column: str, value: Any) -> Any:
    """A copied run's landing files lie elsewhere."""
    return value.rpartition("/landing/")[2] if column == "source_file" else value
