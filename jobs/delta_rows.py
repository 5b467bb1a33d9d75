"""Writing rows that Python holds into a Delta table by delta-rs: hundredths of a second, where Spark takes one or two.

What is written, and what is refused, is as Spark has it: partitions replaced whole, NOT NULL, CHECK, one writer at a
time on a partition. Spark reads such commits as its own.
"""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from jobs.delta_dataset import dataset_of
from metrics.schemas import Table

# Columns and their values.
Where = Mapping[str, Sequence[Any]]
_TRIES = 20
# With constraints; and what later versions of the protocol call the same.
_PLAIN_WRITER = 3
_DONE = frozenset({"appendOnly", "invariants", "checkConstraints"})


def can_write(log: DeltaTable) -> bool:
    """Whether the table asks of its writers what delta-rs does: constraints, no features that others turned on."""
    protocol = log.protocol()
    return protocol.min_writer_version <= _PLAIN_WRITER or _DONE.issuperset(
        protocol.writer_features or ("?",)
    )


def replaced(log: DeltaTable, rows: pa.Table, where: Where, metadata: str) -> None:
    """Replace the rows with the given values; no rows clear them. Raises CommitFailedError for a conflict."""
    write_deltalake(
        log,
        rows,
        mode="overwrite",
        predicate=_among(where),
        schema_mode="merge",  # columns that a later release added are null, as with Spark
        commit_properties=_said(metadata),
    )


def inserted(
    log: DeltaTable, table: Table, rows: pa.Table, where: Where, fill: Sequence[str], metadata: str
) -> None:
    """Insert the rows whose key is not there; set columns to `fill` on rows that did not know them.

    `where`: the partitions, which are written anew with what they hold. Who writes to one of them meanwhile is not
    overwritten: it is read again. (delta-rs's own merge meets conflicts in other partitions, too, and writes texts of a
    type that Arrow cannot compare.)
    """
    if set(where) != set(table.partitioned_by):
        raise ValueError(f"rows of {table.name} are inserted by whole partitions, not by {', '.join(where)}")
    among = reduce(and_, [pc.field(column).isin(list(values)) for column, values in where.items()])
    for last in (*[False] * (_TRIES - 1), True):
        held = dataset_of(log).to_table(filter=among)
        new = rows.select([name for name in held.column_names if name in rows.column_names])
        content = _merged(held.to_pylist(), new.to_pylist(), table.key, fill)
        if content is None:
            return
        try:
            replaced(log, pa.Table.from_pylist(content, held.schema), where, metadata)
            return
        except CommitFailedError:
            if last:
                raise
            time.sleep(random.uniform(0.02, 0.2))
            log.update_incremental()


def _merged(
    held: list[dict[str, Any]], rows: list[dict[str, Any]], key: Sequence[str], fill: Sequence[str]
) -> list[dict[str, Any]] | None:
    """All rows; None where none is new or gains anything."""
    by_key, changed = {tuple(row[name] for name in key): row for row in held}, False
    for row in rows:
        there = by_key.setdefault(tuple(row[name] for name in key), row)
        gained = {name: row[name] for name in fill if there[name] is None and row[name] is not None}
        changed = changed or there is row or bool(gained)
        there.update(gained)
    return list(by_key.values()) if changed else None


def _among(where: Where) -> str:
    return " AND ".join(
        f"{column} IN ({', '.join(map(_literal, values))})" for column, values in where.items()
    )


def _literal(value: Any) -> str:
    """Days and times as texts, which take the column's type."""
    if isinstance(value, datetime | date):
        return f"'{value.isoformat()}'"
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    return str(value)


def _said(metadata: str) -> CommitProperties:
    return CommitProperties(custom_metadata={"userMetadata": metadata})
