"""Writing rows that Python holds into a Delta table by delta-rs: hundredths of a second, where Spark takes one or two.

What is written, and what is refused, is as Spark has it: partitions replaced whole, NOT NULL, CHECK, one writer at a
time on a partition. Spark reads such commits as its own.
"""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from metrics.schemas import Table

_TRIES = 12


def replaced(log: DeltaTable, rows: pa.Table, where: Mapping[str, Sequence[Any]], metadata: str) -> None:
    """Replace the rows with the given values; no rows clear them. Raises CommitFailedError for a conflict."""
    write_deltalake(log, rows, mode="overwrite", predicate=_among(where), commit_properties=_said(metadata))


def inserted(
    log: DeltaTable,
    table: Table,
    rows: pa.Table,
    where: Mapping[str, Sequence[Any]],
    fill: Sequence[str],
    metadata: str,
) -> None:
    """Insert the rows whose key is not there; set columns to `fill` on rows that did not know them.

    delta-rs sees a conflict with whatever was written to the table meanwhile. What is there by then is not inserted
    again, so that it is tried anew.
    """
    same_key = [f"t.{column} = s.{column}" for column in table.key]
    predicate = " AND ".join([_among(where, "t."), *same_key])
    for last in (*[False] * (_TRIES - 1), True):
        merge = log.merge(
            rows, predicate, source_alias="s", target_alias="t", commit_properties=_said(metadata)
        )
        if fill:
            gained = " OR ".join(f"(t.{column} IS NULL AND s.{column} IS NOT NULL)" for column in fill)
            merge = merge.when_matched_update(
                {column: f"coalesce(t.{column}, s.{column})" for column in fill}, gained
            )
        try:
            merge.when_not_matched_insert_all().execute()
            return
        except CommitFailedError:
            if last:
                raise
            time.sleep(random.uniform(0.02, 0.2))
            log.update_incremental()


def _among(where: Mapping[str, Sequence[Any]], alias: str = "") -> str:
    return " AND ".join(
        f"{alias}{column} IN ({', '.join(map(_literal, values))})" for column, values in where.items()
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
