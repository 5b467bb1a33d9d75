"""Delta tables by declared schema: creating, reading, replacing partitions, merging (files: jobs/delta_files.py)."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property, reduce
from importlib.metadata import PackageNotFoundError, version
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from deltalake import DeltaTable as LogReader
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DataType, StructType

from expectations.facts import plain_type
from jobs import delta_rows
from jobs.arguments import Conflict, WorkFailed
from jobs.delta_dataset import dataset_of
from jobs.delta_rows import Where
from metrics.configuration.project import Project
from metrics.errors import InputError
from metrics.schemas import Table, declared_tables

log = logging.getLogger("watchlift.tables")
# What a commit says beside its rows; JSON.
Note = Mapping[str, Any]
_RECENT = 20  # commits; further ones are looked at only where these say nothing
# Delta's names for rows that may not be written, the truest cause first. A conflict with another writer is not one.
_BROKEN_RULES = ("DELTA_VIOLATE_CONSTRAINT", "DELTA_NOT_NULL_CONSTRAINT", "DELTA_REPLACE_WHERE_MISMATCH")
# Another writer was there. In Java all are of the first kind, in Python none of the others is.
CONFLICTS = (
    DeltaConcurrentModificationException,
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    MetadataChangedException,
    ProtocolChangedException,
)
_CONFLICT = "table {table}: another job wrote to it at the same time; run this one again when that has ended"
COMMIT_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True)
class Tables:
    """The project's tables, reached through one Spark session. Commits say for what `reason` they were made."""

    spark: SparkSession
    project: Project
    reason: str | None = field(default=None, kw_only=True)

    @cached_property
    def declared(self) -> Mapping[str, Table]:
        return declared_tables(self.project.catalogue)

    def in_own_session(self) -> "Tables":
        """The same tables in the same application, with settings that start as the application's."""
        return replace(self, spark=self.spark.newSession())

    def create(self) -> None:
        """Create what is missing, and add columns that the catalogue has gained. Safe to repeat."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create, self.declared.values()))

    def read(self, name: str) -> DataFrame:
        return self.spark.table(self.project.tables.identifier(name))

    def read_days(self, name: str, days: Sequence[date], column: str = "day") -> DataFrame:
        return self.read(name).where(F.col(column).isin(list(days)))

    def frame(self, name: str, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
        """Rows as a small frame of the table's columns; a column that a row lacks is an error.

        By way of Arrow: from Python's own rows Spark would start Python workers, a second of a small job.
        """
        schema, content = self._arrow(name, rows)
        return self.spark.createDataFrame(content, schema).coalesce(1)

    def _arrow(self, name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[StructType, pa.Table]:
        """Rows as the table's columns, and their types. Raises ArrowException for a value of another type."""
        columns = ", ".join(f"`{column}` {kind}" for column, kind in self.declared[name].columns.items())
        schema = DataType.fromDDL(columns)
        assert isinstance(schema, StructType)  # several columns are nothing else
        fields = to_arrow_schema(schema, timezone="UTC")
        arrays = [_array([row[field.name] for row in rows], field.type) for field in fields]
        return schema, pa.Table.from_arrays(arrays, schema=fields)

    def replace(self, name: str, frame: DataFrame, where: Where, note: Note | None = None) -> None:
        """Replace the partitions with the given values by the frame's rows; an empty frame clears them.

        A note stays with the commit: see `last_note`.
        """
        table = self.declared[name]
        started = time.monotonic()
        condition = reduce(and_, [F.col(column).isin(list(values)) for column, values in where.items()])
        writer = table.conform(frame).writeTo(self.project.tables.identifier(name))
        with _explained(name):
            writer.option("userMetadata", self.metadata(where, note)).overwrite(condition)
        _tell_replaced(name, where, started)

    def replace_rows(
        self, name: str, rows: Sequence[Mapping[str, Any]], where: Where, note: Note | None = None
    ) -> None:
        """`replace` by rows that Python holds. By delta-rs, where it can. Of no values no row is replaced."""
        if not all(where.values()):
            return
        files = self._writable(name)
        if files is None:
            self.replace(name, self.frame(name, rows), where, note)
            return
        started = time.monotonic()
        with _refused(name):
            delta_rows.replaced(files, self._arrow(name, rows)[1], where, self.metadata(where, note))
        _tell_replaced(name, where, started)

    def insert_rows(
        self, name: str, rows: Sequence[Mapping[str, Any]], where: Where, fill: Sequence[str] = ()
    ) -> None:
        """`merge` by rows that Python holds. By delta-rs, where it can."""
        files = self._writable(name)
        if files is None:
            self.merge(name, self.frame(name, rows), where, fill)
            return
        with _refused(name):
            content = self._arrow(name, rows)[1]
            delta_rows.inserted(files, self.declared[name], content, where, fill, self.metadata(where))
        log.info("%s: merged %s", name, _spoken(where))

    def overwrite(self, name: str, frame: DataFrame) -> None:
        """Replace an unpartitioned table whole."""
        writer = self.declared[name].conform(frame).writeTo(self.project.tables.identifier(name))
        with _explained(name):
            writer.option("userMetadata", self.metadata({})).overwrite(F.lit(True))

    def merge(self, name: str, frame: DataFrame, where: Where, fill: Sequence[str] = ()) -> None:
        """Insert the rows whose key is not there yet. Columns to `fill` are set on rows that did not know them.

        `where` holds the frame's values of the partition columns: the literals keep concurrent merges apart.
        """
        table = self.declared[name]
        partitions = [f"t.{column} IN ({literals(values)})" for column, values in where.items()]
        same_key = [f"t.{column} = s.{column}" for column in table.key]
        self.spark.conf.set(COMMIT_METADATA, self.metadata(where))
        with _explained(name):
            target = DeltaTable.forName(self.spark, self.project.tables.identifier(name)).alias("t")
            merge = target.merge(table.conform(frame).alias("s"), " AND ".join([*partitions, *same_key]))
            if fill:
                gained = " OR ".join(f"(t.{column} IS NULL AND s.{column} IS NOT NULL)" for column in fill)
                filled = {column: f"coalesce(t.{column}, s.{column})" for column in fill}
                merge = merge.whenMatchedUpdate(gained, filled)
            merge.whenNotMatchedInsertAll().execute()
        self.spark.conf.unset(COMMIT_METADATA)
        log.info("%s: merged %s", name, _spoken(where))

    def last_note(self, name: str, key: str) -> tuple[int, Note]:
        """The newest of a table's commits that noted something under the key: its version and all that it says.

        (-1, {}) where none did.
        """
        looked_at = _RECENT
        while True:
            commits = self._history(name, looked_at)
            for commit in commits:
                said = _noted(commit.get("userMetadata"))
                if key in said:
                    return commit["version"], said
            if len(commits) < looked_at:
                return -1, {}
            looked_at *= 10

    def _history(self, name: str, count: int) -> list[dict[str, Any]]:
        """The newest commits, newest first: version and userMetadata, if it has any."""
        log = self.files(name)
        if log is not None:
            return log.history(count)
        recent = DeltaTable.forName(self.spark, self.project.tables.identifier(name)).history(count)
        rows = recent.select("version", "userMetadata").orderBy(F.desc("version")).collect()
        return [row.asDict() for row in rows]

    def files(self, name: str) -> LogReader | None:
        """A table's files and what its log says of them, by delta-rs; None where its folder is not known.

        Spark's interface gives neither a table's files by partition nor their statistics.
        """
        root = self.project.tables.root
        return LogReader(f"{root}/{name}") if root else None

    def _writable(self, name: str) -> LogReader | None:
        """The table for delta-rs to write to; None where only Spark can: in a catalogue, or with features of others."""
        log = self.files(name)
        return log if log and delta_rows.can_write(log) else None

    def few_rows(self, name: str, where: Where, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the rows with the given values, of a small table: by delta-rs, without a Spark job."""
        if not all(where.values()):
            return []
        files = self.files(name)
        if files is None:
            conditions = [F.col(column).isin(list(values)) for column, values in where.items()]
            found = self.read(name).where(reduce(and_, conditions)).select(*columns)
            return [{name: _aware(value) for name, value in row.asDict().items()} for row in found.collect()]
        conditions = [pc.field(column).isin(list(values)) for column, values in where.items()]
        return dataset_of(files).to_table(list(columns), filter=reduce(and_, conditions)).to_pylist()

    def partitions(self, name: str, columns: Sequence[str]) -> set[tuple[Any, ...]]:
        """The values of partition columns that the table has rows of; from its log, without a Spark job."""
        log = self.files(name)
        if log is None:
            return {tuple(row) for row in self.read(name).select(*columns).distinct().collect()}
        return {tuple(values) for *values, _ in named_files(log, columns)}

    def greatest(self, name: str, column: str) -> Any:
        """The column's greatest value, None where there is none; from what the log says of each file, if it does."""
        log = self.files(name)
        told = pa.table(log.get_add_actions(flatten=True)) if log else None
        if told is not None and f"max.{column}" in told.column_names:
            values = told[f"max.{column}"]
            if not values.null_count:
                return pc.max(values).as_py()
        row = self.read(name).agg(F.max(column)).first()
        return row[0] if row else None

    def delete(self, name: str, condition: str) -> None:
        DeltaTable.forName(self.spark, self.project.tables.identifier(name)).delete(condition)

    def _create(self, table: Table) -> None:
        identifier = self.project.tables.identifier(table.name)
        present = self._schema(table.name, identifier)
        if present is not None:
            self._add_columns(table, identifier, present)
            return
        columns = ", ".join(
            f"`{name}` {kind}{' NOT NULL' if name in (*table.key, *table.partitioned_by) else ''}"
            for name, kind in table.columns.items()
        )
        partitions = f" PARTITIONED BY ({', '.join(table.partitioned_by)})" if table.partitioned_by else ""
        checks = ", ".join(f"'delta.constraints.{name}' = \"{rule}\"" for name, rule in table.checks.items())
        properties = f" TBLPROPERTIES ({checks})" if checks else ""
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {identifier} ({columns}) USING DELTA{partitions}{properties}"
        )
        log.info("%s: created", table.name)

    def _schema(self, name: str, identifier: str) -> StructType | None:
        """The table's columns as they are now; None where there is no table."""
        try:
            log = self.files(name)
        except TableNotFoundError:
            return None
        if log is not None:  # Delta's log has the schema as Spark writes it
            return StructType.fromJson(json.loads(log.schema().to_json()))
        return self.spark.table(identifier).schema if self.spark.catalog.tableExists(identifier) else None

    def _add_columns(self, table: Table, identifier: str, schema: StructType) -> None:
        present = {field.name: field.dataType.simpleString() for field in schema}
        for name, kind in table.columns.items():
            if present.get(name, plain_type(kind)) != plain_type(kind):
                raise InputError(
                    f"table {table.name}: column {name} is {present[name]}, and {plain_type(kind)} is declared; "
                    "give the measure or metric a new name"
                )
        added = [f"`{name}` {kind}" for name, kind in table.columns.items() if name not in present]
        if added:
            self.spark.sql(f"ALTER TABLE {identifier} ADD COLUMNS ({', '.join(added)})")
            log.info("%s: added %s", table.name, ", ".join(added))

    def metadata(self, where: Where, note: Note | None = None) -> str:
        """What makes a commit traceable: application, code, configuration and the partitions written."""
        return json.dumps(
            {
                "application": self.spark.sparkContext.applicationId,
                "code_version": code_version(),
                "conf_hash": self.project.conf_hash,
                "reason": self.reason,
                "partitions": {column: [str(value) for value in values] for column, values in where.items()},
                **(note or {}),
            }
        )


def named_files(log: LogReader, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Of each of a table's files its values of partition columns, and then its name, which no two files share."""
    told = pa.table(log.get_add_actions(flatten=True))
    if not told.num_rows:
        return []
    found = (*(told[f"partition.{column}"].to_pylist() for column in columns), told["path"].to_pylist())
    return list(zip(*found, strict=True))


def code_version() -> str:
    """The installed package's version; a source tree that was never installed has none."""
    try:
        return version("watchlift")
    except PackageNotFoundError:
        return "unknown"


@contextmanager
def alone(table: str) -> Iterator[None]:
    """Raises Conflict where another job wrote to the table's same rows meanwhile."""
    try:
        yield
    except CONFLICTS as error:
        raise Conflict(_CONFLICT.format(table=table)) from error


@contextmanager
def _refused(table: str) -> Iterator[None]:
    """delta-rs's errors by their first line: those after it show the rows."""
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(_CONFLICT.format(table=table)) from error
    except DeltaError as error:
        cause = str(error).splitlines()[0]
        raise WorkFailed(f"table {table}: write refused: {cause}; mend the rows or the rule") from None


@contextmanager
def _explained(table: str) -> Iterator[None]:
    """Delta's error for a broken constraint names the wrong thing; show the cause at the bottom of the chain.

    Its line says which constraint broke. The lines after it hold the row's values, and are nobody's business.
    """
    try:
        with alone(table):
            yield
    except (PySparkException, Py4JJavaError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        causes = [line for rule in _BROKEN_RULES for line in lines if rule in line]
        if not causes:
            raise
        cause = causes[0][max(0, causes[0].find("[DELTA")) :].removesuffix(" with values:")
        raise WorkFailed(f"table {table}: write refused: {cause}; mend the rows or the rule") from error


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Types are inferred and then cast, so that what does not fit is refused: given a type, Arrow makes 1 of 1.5.

    Only maps need the type: of a dictionary Arrow infers a struct.
    """
    if pa.types.is_map(kind):
        return pa.array(values, kind)
    found = pa.array(values)
    if not pa.types.is_null(found.type) and pa.types.is_string(found.type) != pa.types.is_string(kind):
        raise pa.ArrowTypeError(f"{found.type} is given for {kind}")  # a cast would read and write numbers
    return found.cast(kind)


def _noted(metadata: str | None) -> Note:
    """What a commit says; nothing where somebody else wrote it in words of theirs."""
    try:
        said = json.loads(metadata or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def literals(values: Sequence[Any]) -> str:
    texts = [f"DATE'{value}'" if isinstance(value, date) else f"'{value}'" for value in values]
    return ", ".join(texts) or "NULL"


def _tell_replaced(name: str, where: Where, started: float) -> None:
    log.info("%s: replaced %s in %.1f s", name, _spoken(where), time.monotonic() - started)


def _spoken(where: Where) -> str:
    ranges = {column: (min(values), max(values)) for column, values in where.items()}
    return ", ".join(f"{c} {a}" if a == b else f"{c} {a} to {b}" for c, (a, b) in ranges.items())


def _aware(value: Any) -> Any:
    """Times as delta-rs gives them; Spark's are UTC, and do not say so."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
