"""Reading landing files: raw fields beside where each row came from. What a field means is for metrics.rollup."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from metrics.configuration.sources import Source
from metrics.errors import InputError
from metrics.rollup.landing import CORRUPT, row_counts

Loaded = TypeVar("Loaded")
_ROW_IN_PARTITION = (1 << 33) - 1
_OPEN_COST = "spark.sql.files.openCostInBytes"
_ONE_FILE_EACH = str(1 << 40)  # more than any spark.sql.files.maxPartitionBytes


# What a file says that ends too early or is not what its name says; a network that fails says other things.
_DAMAGE = re.compile(
    r"EOFException: Unexpected end of|ZipException|ZstdIOException|ChecksumException|ParquetDecodingException"
    r"|is not a Parquet file|not a gzip file|IOException: (?:incorrect|invalid|unknown compression)"
)
_READING = re.compile(r"while reading file (\S+?)\.(?=\s)")


@dataclass(frozen=True)
class DamagedFile:
    """A landing file that could not be read to its end, left out of a load whole; `path` as Spark writes it."""

    source: str
    path: str
    ingest_day: date


class Landing:
    """The landing files of one load, but for the damaged ones. Made by `load_landing`."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self._damaged: dict[str, str] = {}  # Hadoop's name of a file, and Spark's
        self._left_out: dict[DamagedFile, None] = {}

    @property
    def left_out(self) -> tuple[DamagedFile, ...]:
        """The damaged files of the days and sources that were asked for."""
        return tuple(self._left_out)

    def read(self, source: Source, days: Sequence[date]) -> DataFrame | None:
        """Raw rows of the ingest days that have files: `fields`, ingest_day, source_file, row, raw. None without files.

        One scan, however many days. Files of a source whose path has no {day} belong to the first day asked for.
        """
        paths = sorted({path for day in _days_told(source, days) for path in self._paths(source, day)})
        if not paths:
            return None
        read = {"json": _read_json, "csv": _read_csv, "parquet": _read_parquet}[source.format]
        pattern = _day_pattern(source.path)
        from_path = F.to_date(F.regexp_extract("source_file", pattern, 1)) if pattern else F.lit(min(days))
        return read(self.spark, source, paths).withColumn("ingest_day", from_path)

    def require(self, source: Source, days: Sequence[date]) -> DataFrame:
        """The same, where a day without files is an error unless days without rows are normal; one must have some."""
        for day in _days_told(source, days) if source.min_daily_rows else []:
            if not self._paths(source, day):
                raise InputError(
                    f"source '{source.name}' has no {self._wanted} for {day} at {source.path_on(day)}; "
                    "wait for them to land, or correct `path` in sources.yml"
                )
        frame = self.read(source, days)
        if frame is None:
            raise InputError(
                f"source '{source.name}' has no {self._wanted} at {source.path}; correct `path` in sources.yml"
            )
        return frame

    def leave_out(self, path: str) -> bool:
        """Whether the file was not left out before: then another try can end better."""
        name = self._hadoop_path(unquote(path)).toString()
        is_new = name not in self._damaged
        self._damaged[name] = path
        return is_new

    @property
    def _wanted(self) -> str:
        return "undamaged files" if self._damaged else "files"

    def _paths(self, source: Source, day: date) -> list[str]:
        """The source's glob of a day if it matches anything; file by file once some are damaged."""
        glob = source.path_on(day)
        found = self._found(glob)
        if not self._damaged:
            return [glob] if found else []
        files = [file for each in found for file in self._files(each)]
        damaged = [self._damaged[file] for file in files if file in self._damaged]
        self._left_out |= {DamagedFile(source.name, file, day): None for file in damaged}
        return [file for file in files if file not in self._damaged]

    def _found(self, glob: str) -> list[Any]:
        path = self._hadoop_path(glob)
        return list(self._file_system(path).globStatus(path) or [])

    def _files(self, status: Any) -> list[str]:
        """The files that Spark reads at a place: itself, or those of a folder that are not hidden."""
        if status.isFile():
            return [str(status.getPath())]
        inside = self._file_system(status.getPath()).listStatus(status.getPath())
        shown = [each for each in inside if not each.getPath().getName().startswith(("_", "."))]
        return [file for each in shown for file in self._files(each)]

    def _file_system(self, path: Any) -> Any:
        return path.getFileSystem(self.spark._jsc.hadoopConfiguration())

    def _hadoop_path(self, text: str) -> Any:
        return self.spark._jvm.org.apache.hadoop.fs.Path(text)  # type: ignore[union-attr]


def load_landing(spark: SparkSession, load: Callable[[Landing], Loaded]) -> Loaded:
    """What `load` gives. A file that turns out to be damaged is left out whole, and the load is made again without it.

    Spark's own way to ignore such files keeps what comes before the damage, and tells nobody.
    """
    landing = Landing(spark)
    while True:
        try:
            with _a_file_a_partition(spark):
                return load(landing)
        except (PySparkException, Py4JJavaError) as error:
            path = damaged_file(error)
            if path is None or not landing.leave_out(path):
                raise


def damaged_file(error: PySparkException | Py4JJavaError) -> str | None:
    """The landing file that Spark failed on because of what is in it, as Spark writes its address; else None."""
    told = "\n".join(_causes(error))
    reading = _READING.findall(told)
    return reading[-1] if reading and _DAMAGE.search(told) else None


def _causes(error: PySparkException | Py4JJavaError) -> Iterator[str]:
    cause = error.java_exception if isinstance(error, Py4JJavaError) else getattr(error, "_origin", None)
    while cause is not None:
        yield cause.toString()
        cause = cause.getCause()


@contextmanager
def _a_file_a_partition(spark: SparkSession) -> Iterator[None]:
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


def _days_told(source: Source, days: Sequence[date]) -> Sequence[date]:
    """The ingest days that a source tells apart; files of one whose path has no {day} belong to the first."""
    return days if source.by_day else [min(days)]


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
