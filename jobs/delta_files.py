"""What lies under the tables: rows taken out of their files, old files removed, small ones put together."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from delta.tables import DeltaTable
from deltalake import DeltaTable as LogReader
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.arguments import WorkFailed
from jobs.tables import COMMIT_METADATA, CONFLICTS, Note, Tables, alone, literals
from metrics.errors import InputError

_VECTORS = "delta.enableDeletionVectors"
# Once old files are gone: each commit has a checkpoint, up to which the log can be cut, and nothing before is kept.
_WHILE_FORGETTING = {
    _VECTORS: "false",
    "delta.checkpointInterval": "1",
    "delta.dropFeatureTruncateHistory.retentionDuration": "interval 0 hours",
}
_OWN_SETTINGS = {
    # Erasing removes files however young: remove_old_files says what protects those of others.
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    # The proof reads the files themselves, beside what the log says of them.
    "spark.databricks.delta.formatCheck.enabled": "false",
    # A run that removes nothing leaves no commit.
    "spark.databricks.delta.vacuum.logging.enabled": "false",
    "spark.databricks.io.skipping.mdc.sortWithinFiles": "true",
}
_FILE = "STRUCT<path: STRING, stats: STRING>"
_ENTRY = f"add {_FILE}, remove {_FILE}"
_COMMIT = f"{_ENTRY}, allFiles ARRAY<{_FILE}>"


@dataclass(frozen=True)
class Partition:
    """Values by partition column, and what its files measure."""

    values: Mapping[str, Any]
    files: int
    size: int


@dataclass(frozen=True)
class Stored:
    """All that lies in a table's folder, of this version or another: rows as they are in the files, without the
    columns that it is partitioned by, and `log_entries`, how many hold statistics of a file that is gone."""

    rows: DataFrame
    files: int
    log_entries: int

    @property
    def is_nothing(self) -> bool:
        return self.files == 0 and self.log_entries == 0


def for_upkeep(tables: Tables) -> Tables:
    """The same tables in a session whose settings are those of this module; its commits are traceable, too."""
    own = tables.in_own_session()
    for name, value in {**_OWN_SETTINGS, COMMIT_METADATA: tables.metadata({})}.items():
        own.spark.conf.set(name, value)
    return own


def delete_rows(tables: Tables, name: str, rows: DataFrame, same: Sequence[str]) -> int:
    """Delete the table's rows that equal one of `rows` in the columns `same`, and rewrite the files that held them.

    The condition is a join: a list of values would stand in the log. Gives the number of rows deleted.
    """
    identifier = tables.project.tables.identifier(name)
    condition = " AND ".join(f"t.{column} = s.{column}" for column in same)
    with alone(name):
        tables.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ('{_VECTORS}' = 'true')")
        table = DeltaTable.forName(tables.spark, identifier).alias("t")
        merge = table.merge(rows.alias("s"), condition).whenMatchedDelete()
        deleted = int(merge.execute().collect()[0]["num_deleted_rows"])
        tables.spark.sql(f"REORG TABLE {identifier} APPLY (PURGE)")
    return deleted


def remove_old_files(tables: Tables, name: str, before: float) -> None:
    """Remove the files that the table has not needed since `before`, some seconds ago, in seconds since 1970.

    Safe beside writers, though they may have begun by then: a change of properties is committed first, so that of them
    none can commit; and the files of those who begin after it are younger than what is removed.
    """
    identifier = tables.project.tables.identifier(name)
    properties = ", ".join(f"'{key}' = '{value}'" for key, value in _WHILE_FORGETTING.items())
    with alone(name):
        tables.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ({properties})")
        DeltaTable.forName(tables.spark, identifier).vacuum((time.time() - before) / 3600)


def forget_history(tables: Tables, name: str, note: Note | None = None) -> None:
    """Cut the log of a table after both: what it says of older files, such as the least and greatest id, goes.

    Dropping the feature is Delta's documented way; it also gives the table back to readers without deletion vectors.
    It forgets what was committed before this minute, notes of commits included, but for the `note` to keep.
    """
    tables.spark.conf.set(COMMIT_METADATA, tables.metadata({}, note))
    identifier = tables.project.tables.identifier(name)
    properties = ", ".join(f"'{key}'" for key in _WHILE_FORGETTING)
    try:
        with alone(name):
            tables.spark.sql(f"ALTER TABLE {identifier} DROP FEATURE deletionVectors TRUNCATE HISTORY")
            tables.spark.sql(f"ALTER TABLE {identifier} UNSET TBLPROPERTIES ({properties})")
    except (PySparkException, Py4JJavaError) as error:
        if "DELTA_FEATURE_DROP_" not in str(error):
            raise
        raise WorkFailed(
            f"table {name}: its log still tells of files from before the erasure; run the job again"
        ) from error


def stored(tables: Tables, name: str) -> Stored:
    """What lies in the folder of a table."""
    spark, table = tables.spark, tables.declared[name]
    folder = spark.sql(f"DESCRIBE DETAIL {tables.project.tables.identifier(name)}").collect()[0]["location"]
    columns = [f"`{c}` {kind}" for c, kind in table.columns.items() if c not in table.partitioned_by]
    reader = spark.read.schema(", ".join(columns)).option("recursiveFileLookup", True)
    rows = reader.option("pathGlobFilter", "*.parquet").parquet(folder)
    names = [path.rpartition("/")[2] for path in rows.inputFiles()]
    present = spark.createDataFrame(pa.table({"file": pa.array(names, pa.string())}))
    return Stored(rows, len(names), _entries(tables, folder).join(present, "file", how="left_anti").count())


def partitions_of(tables: Tables, name: str) -> list[Partition]:
    """The partitions of a table with files in them, from its log."""
    actions = pa.table(_log_of(tables, name).get_add_actions(flatten=True))
    columns = tables.declared[name].partitioned_by
    keys = [f"partition.{column}" for column in columns]
    grouped = actions.group_by(keys).aggregate([("size_bytes", "sum"), ("size_bytes", "count")])
    return [
        Partition(
            {column: row[key] for column, key in zip(columns, keys, strict=True)},
            row["size_bytes_count"],
            row["size_bytes_sum"],
        )
        for row in grouped.sort_by([(key, "ascending") for key in keys]).to_pylist()
    ]


def compact(tables: Tables, name: str, partitions: Sequence[Partition], sort_by: str | None) -> bool:
    """Put the files of these partitions together, sorted; rows stay as they are. False if another job was there."""
    optimize = DeltaTable.forName(tables.spark, tables.project.tables.identifier(name)).optimize()
    there = [
        " AND ".join(f"{column} = {literals([value])}" for column, value in partition.values.items())
        for partition in partitions
    ]
    chosen = optimize.where(" OR ".join(f"({condition})" for condition in there))
    try:
        chosen.executeZOrderBy(sort_by) if sort_by else chosen.executeCompaction()
    except CONFLICTS:
        return False
    return True


def checkpoint(tables: Tables, name: str) -> None:
    """Write the state of a table to one file, so that readers need not read each commit."""
    _log_of(tables, name).create_checkpoint()


def remove_expired_files(tables: Tables, name: str) -> None:
    """Remove files that no version of the last 7 days needs (Delta's default), those of killed jobs among them."""
    DeltaTable.forName(tables.spark, tables.project.tables.identifier(name)).vacuum()


def _log_of(tables: Tables, name: str) -> LogReader:
    found = tables.files(name)
    if found is None:
        namespace = tables.project.tables.namespace
        raise InputError(f"tables.yml: tables in catalogue {namespace} cannot be maintained; give their root")
    return found


def _entries(tables: Tables, folder: str) -> DataFrame:
    """The files of which the log holds more than a count of rows, a row per entry: commits, checksums, checkpoints."""
    spark, log = tables.spark, f"{folder}/_delta_log"
    lines = spark.read.option("pathGlobFilter", "*.{json,crc}").text(log)
    commits = lines.select(F.from_json("value", _COMMIT).alias("commit")).select("commit.*")
    checkpoints = spark.read.schema(_ENTRY).option("pathGlobFilter", "*.parquet").parquet(log)
    single = F.array("add", "remove")
    entries = commits.select(F.explode(F.concat(single, F.coalesce("allFiles", F.array()))).alias("entry"))
    entries = entries.union(checkpoints.select(F.explode(single)))
    told = entries.where(F.col("entry.stats").contains("minValues"))
    return told.select(F.regexp_extract("entry.path", "[^/]+$", 0).alias("file"))
