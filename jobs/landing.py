"""Reading landing files: raw fields beside where each row came from. What a field means is for metrics.rollup."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.errors import InputError
from metrics.rollup.landing import CORRUPT, row_counts

_ROW_IN_PARTITION = (1 << 33) - 1
_OPEN_COST = "spark.sql.files.openCostInBytes"
_ONE_FILE_EACH = str(1 << 40)  # more than any spark.sql.files.maxPartitionBytes


@contextmanager
def landing_files(spark: SparkSession) -> Iterator[None]:
    """Within it, landing files are read and what they hold is written: a file is a partition unless it is split.

    So a row's number in its partition is its number in the file. Other tables' small files are better packed, which
    is why this is no setting of the session.
    """
    before = spark.conf.get(_OPEN_COST)
    assert before is not None  # it has a default
    spark.conf.set(_OPEN_COST, _ONE_FILE_EACH)
    try:
        yield
    finally:
        spark.conf.set(_OPEN_COST, before)


def read_landing(spark: SparkSession, source: Source, days: Sequence[date]) -> DataFrame | None:
    """Raw rows of the ingest days that have files: `fields`, ingest_day, source_file, row, raw. None without files.

    One scan, however many days. Files of a source whose path has no {day} belong to the first day asked for.
    Call it, and compute what it gives, within `landing_files`.
    """
    if spark.conf.get(_OPEN_COST) != _ONE_FILE_EACH:
        raise RuntimeError(
            "read_landing outside of landing_files: row numbers would not be those of the files"
        )
    paths = sorted({path for day in days if _has_files(spark, path := source.path_on(day))})
    if not paths:
        return None
    rows = {"json": _read_json, "csv": _read_csv, "parquet": _read_parquet}[source.format](
        spark, source, paths
    )
    pattern = _day_pattern(source.path)
    from_path = F.to_date(F.regexp_extract("source_file", pattern, 1)) if pattern else F.lit(min(days))
    return rows.withColumn("ingest_day", from_path)


def require_landing(spark: SparkSession, source: Source, days: Sequence[date]) -> DataFrame:
    """The same, where a day without files is an error unless days without rows are normal; one day must have some."""
    for day in days if source.min_daily_rows else []:
        if not _has_files(spark, source.path_on(day)):
            raise InputError(
                f"source '{source.name}' has no files for {day} at {source.path_on(day)}; "
                "wait for them to land, or correct `path` in sources.yml"
            )
    frame = read_landing(spark, source, days)
    if frame is None:
        raise InputError(
            f"source '{source.name}' has no files at {source.path}; correct `path` in sources.yml"
        )
    return frame


def counted(seen: Observation, judged: DataFrame) -> dict[str, int]:
    """`rows` landed and how many are `broken`, as observed on the way of the judged rows.

    Where no row is left on that way Spark drops the observation with the rest of the plan: then they are counted.
    """
    try:
        return seen.get
    except Py4JJavaError:
        return judged.agg(*row_counts()).collect()[0].asDict()


def _day_pattern(path: str) -> str | None:
    """A regular expression that finds the ingest day in a file's path, from the folder that has {day} on."""
    before, day, after = path.rpartition("{day}")
    if not day:
        return None
    wildcards = {r"\*": "[^/]*", r"\?": "[^/]"}
    tail = re.escape(after)
    for glob, expression in wildcards.items():
        tail = tail.replace(glob, expression)
    return f"{re.escape(before.rpartition('/')[2])}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){tail}$"


def _read_json(spark: SparkSession, source: Source, paths: list[str]) -> DataFrame:
    options = {"columnNameOfCorruptRecord": CORRUPT, "mode": "PERMISSIVE", **source.options}
    fields = F.from_json("value", f"{source.schema}, {CORRUPT} STRING", options)
    lines = spark.read.text(paths)
    return lines.select(fields.alias("fields"), F.col("value").alias("raw"), *_provenance(_text_row()))


def _read_csv(spark: SparkSession, source: Source, paths: list[str]) -> DataFrame:
    options = {"columnNameOfCorruptRecord": CORRUPT, "mode": "PERMISSIVE", **source.options}
    rows = spark.read.options(**options).schema(f"{source.schema}, {CORRUPT} STRING").csv(paths)
    fields = F.struct(*rows.columns)
    return rows.select(fields.alias("fields"), _as_json(rows).alias("raw"), *_provenance(_text_row()))


def _read_parquet(spark: SparkSession, source: Source, paths: list[str]) -> DataFrame:
    reader = spark.read.options(**source.options)
    rows = (reader.schema(source.schema) if source.schema else reader).parquet(*paths)
    fields = F.struct(*rows.columns, F.lit(None).cast("string").alias(CORRUPT))
    row = F.col("_metadata.row_index")
    return rows.select(fields.alias("fields"), _as_json(rows).alias("raw"), *_provenance(row))


def _provenance(row: Column) -> tuple[Column, Column]:
    return F.col("_metadata.file_path").alias("source_file"), row.alias("row")


def _text_row() -> Column:
    """Unique and rising within a file: its line number, or past the first split the split's byte plus the line."""
    line = F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_IN_PARTITION))
    return F.col("_metadata.file_block_start") + line


def _as_json(rows: DataFrame) -> Column:
    return F.to_json(F.struct(*(name for name in rows.columns if name != CORRUPT)))


def _has_files(spark: SparkSession, pattern: str) -> bool:
    path = spark._jvm.org.apache.hadoop.fs.Path(pattern)  # type: ignore[union-attr]
    found = path.getFileSystem(spark._jsc.hadoopConfiguration()).globStatus(path)
    return found is not None and len(found) > 0
