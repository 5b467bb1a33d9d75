"""Reading landing files: raw fields beside where each row came from. What a field means is for metrics.rollup."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar
from urllib.parse import unquote

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

from metrics.configuration.sources import CORRUPT, PROVENANCE, Source
from metrics.errors import InputError
from metrics.rollup.landing import Landed, fields_of

Loaded = TypeVar("Loaded")
log = logging.getLogger("watchlift.landing")
_ROW_IN_PARTITION = (1 << 33) - 1
_OPEN_COST = "spark.sql.files.openCostInBytes"
_ROWS_LOOKED_AT = 1000
_ONE_FILE_EACH = str(1 << 40)  # more than any spark.sql.files.maxPartitionBytes


# What is said of a file that ends too early or was changed on its way. A network that fails says other things, and so
# do values of another type than declared.
_DAMAGE = re.compile(
    r"EOFException: Unexpected end of|ZipException|ZstdIOException|ChecksumException|not a gzip file"
    r"|unknown gzip format|gzip (?:stream|header) CRC|stored gzip size|gzip data not compressed"
    r"|IOException: (?:incorrect|invalid) "
    r"|crc error|bad block header|unexpected end of stream|is not a Parquet file|corrupted file: the footer"
)
# Of a footer Spark writes the file's name as it is, else as an address.
_FOOTER = re.compile(r"while reading file (.+?)\. Could not read footer")
# What is whole, and holds another type.
_RETYPED = re.compile(
    r"PARQUET_COLUMN_DATA_TYPE_MISMATCH\] Encountered error while reading file (\S+?)\. Data type mismatches when "
    r"reading Parquet column \[(.+?)\]\. Expected Spark type (.+?), actual Parquet type (.+?)\. SQLSTATE"
)
_READING = re.compile(r"while reading file (\S+?)\.(?=\s)")


@dataclass(frozen=True)
class Ingested:
    """What an ingestion of some ingest days did: `touched` are the days of its rows, to be rolled up again."""

    touched: frozenset[date]
    landed: tuple[Landed, ...]


@dataclass(frozen=True)
class DamagedFile:
    """A landing file that could not be read to its end, left out of a load whole; path as in `source_file`."""

    source: str
    path: str
    ingest_day: date


class Landing:
    """The landing files of one ingest, but for those that turn out to be damaged."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self._damaged: set[str] = set()
        self._left_out: dict[DamagedFile, None] = {}

    @property
    def left_out(self) -> tuple[DamagedFile, ...]:
        """The damaged files of the days and sources that were asked for."""
        return tuple(sorted(self._left_out, key=lambda file: (file.source, file.path)))

    def load(self, work: Callable[[], Loaded]) -> Loaded:
        """What `work` gives, which reads files by `read` or `require` and computes what it needs of them.

        When Spark fails on a damaged file, that is left out whole and the work done again. Spark's own way to ignore
        such files keeps what comes before the damage, and tells nobody.
        """
        while True:
            try:
                with _a_file_a_partition(self.spark):
                    return work()
            except (PySparkException, Py4JJavaError) as error:
                path = self._damaged_file(error)
                if path is None or path in self._damaged:
                    raise
                self._damaged.add(path)

    def read(self, source: Source, days: Sequence[date]) -> DataFrame | None:
        """Raw rows of the ingest days that have any: `fields`, ingest_day, source_file, row, raw; else None.

        One scan, however many days. Rows of a source that tells no day belong to the first day asked for. Within
        `load`.
        """
        if self.spark.conf.get(_OPEN_COST) != _ONE_FILE_EACH:
            raise RuntimeError("read outside of load: row numbers would not be those of the files")
        found = {source.path_on(day): self._found(source.path_on(day)) for day in _days_told(source, days)}
        self._note_left_out(source, days)
        paths = sorted(path for path, places in found.items() if places)
        if not paths:
            return None
        if source.format == "delta":
            rows = _read_delta(self.spark, source, days, sorted(self._damaged))
            return None if rows.isEmpty() else rows
        if source.format == "parquet" and not source.schema and self._damaged:
            # Spark would infer it from any of the files.
            files = [file for places in found.values() for file in self._files(places)]
            whole = [file for file in files if file not in self._damaged]
            if not whole:
                return None
            one = self.spark.read.options(**source.options).parquet(unquote(whole[0]))
            source = replace(source, schema=one.schema.toDDL())
        reader = {"json": _read_json, "csv": _read_csv, "parquet": _read_parquet}[source.format]
        rows = reader(self.spark, source, paths, sorted(self._damaged))
        pattern = _day_pattern(source.path)
        from_path = F.to_date(F.regexp_extract("source_file", pattern, 1)) if pattern else F.lit(min(days))
        return rows.withColumn("ingest_day", from_path)

    def require(self, source: Source, days: Sequence[date]) -> DataFrame:
        """The same, where a day without files is an error unless days without rows are normal; one must have some.

        A day all of whose files are damaged is an error, too: it would be replaced by nothing.
        """
        for day in _days_told(source, days):
            found = self._found(source.path_on(day))
            if not found and source.min_daily_rows:
                raise InputError(
                    f"source '{source.name}' has no files for {day} at {source.path_on(day)}; "
                    "wait for them to land, or correct `path` in sources.yml"
                )
            files = self._files(found) if self._damaged else []
            if files and self._damaged.issuperset(files):
                raise InputError(
                    f"source '{source.name}' has only damaged files for {day} at {source.path_on(day)}; "
                    "land them again"
                )
        frame = self.read(source, days)
        if source.format == "delta" and source.by_day and source.min_daily_rows:
            held = frame.select("ingest_day").distinct().collect() if frame is not None else []
            for day in sorted({*days}.difference(row["ingest_day"] for row in held)):
                raise InputError(
                    f"source '{source.name}' has no rows for {day} in the table at {source.path}; "
                    "wait for them to land, or correct `ingest_day` in sources.yml"
                )
        if frame is None:
            raise InputError(
                f"source '{source.name}' has nothing at {source.path}; correct `path` in sources.yml"
            )
        return frame

    def undeclared(self, source: Source, day: date) -> tuple[str, ...]:
        """Columns of the day's files that the source's schema does not name: of JSON, in some of the first rows.

        Within `load`. None where the schema, or the names in a CSV file's header, are not given.
        """
        files = [file for file in self._files(self._found(source.path_on(day))) if file not in self._damaged]
        has_names = source.format != "csv" or source.options.get("header", "").lower() == "true"
        if not (files and source.schema and has_names):
            return ()
        present = _names_in(self.spark, source, [unquote(file) for file in files])
        declared = {name.lower() for name in DataType.fromDDL(source.schema).names}  # type: ignore[attr-defined]
        return tuple(sorted(name for name in present if name.lower() not in declared))

    def listed(self, source: Source, day: date) -> list[tuple[str, int, int]]:
        """The day's files: address, bytes and time of change; of a Delta table its newest commit. Nothing is read."""
        if source.format == "delta":
            return [self._described(each) for each in self._found(f"{source.path}/_delta_log/*.json")[-1:]]
        return sorted(map(self._described, self._lying(self._found(source.path_on(day)))))

    def _described(self, file: Any) -> tuple[str, int, int]:
        return self._address(file.getPath()), file.getLen(), file.getModificationTime()

    def _note_left_out(self, source: Source, days: Sequence[date]) -> None:
        for day in _days_told(source, days) if self._damaged else []:
            damaged = sorted(self._damaged.intersection(self._files(self._found(source.path_on(day)))))
            self._left_out |= {DamagedFile(source.name, path, day): None for path in damaged}

    def _damaged_file(self, error: PySparkException | Py4JJavaError) -> str | None:
        """The file that Spark failed on because of what is in it, else None. Raises InputError for another type."""
        told = "\n".join(_causes(error))
        if retyped := _RETYPED.search(told):
            path, column, declared, actual = retyped.groups()
            raise InputError(
                f"column {column} of {path} is {actual}, and {declared} is declared; "
                "correct `schema` in sources.yml, or land the file again"
            ) from error
        damage = _DAMAGE.search(told)
        footer, reading = _FOOTER.findall(told), _READING.findall(told)
        if damage is None or not (footer or reading):
            return None
        path = self._address(self._hadoop_path(footer[-1])) if footer else str(self._hadoop_path(reading[-1]))
        if path not in self._damaged:
            log.error("%s is damaged (%s): left out; land it again, then run its day again", path, damage[0])
        return path

    def _found(self, glob: str) -> list[Any]:
        """What lies there: files, or folders of them."""
        path = self._hadoop_path(glob)
        return list(self._file_system(path).globStatus(path) or [])

    def _files(self, places: Sequence[Any]) -> list[str]:
        return [self._address(file.getPath()) for file in self._lying(places)]

    def _lying(self, places: Sequence[Any]) -> Iterator[Any]:
        """Files with something in them, but for hidden ones, at these places and below."""
        for place in places:
            path = place.getPath()
            name = path.getName()
            if name.startswith(".") or (name.startswith("_") and "=" not in name):  # as Spark has it
                continue
            if place.isDirectory():
                yield from self._lying(self._file_system(path).listStatus(path))
            elif place.getLen() > 0:
                yield place

    def _file_system(self, path: Any) -> Any:
        return path.getFileSystem(self.spark._jsc.hadoopConfiguration())

    def _address(self, path: Any) -> str:
        """As `_metadata.file_path` has it."""
        return str(self._hadoop_path(path.toUri().toString()))

    def _hadoop_path(self, text: str) -> Any:
        return self.spark._jvm.org.apache.hadoop.fs.Path(text)  # type: ignore[union-attr]


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


def _read_json(spark: SparkSession, source: Source, paths: list[str], damaged: list[str]) -> DataFrame:
    lines = _without(damaged, spark.read.text(paths))
    return lines.select(fields_of("value", source), F.col("value").alias("raw"), *_provenance(_text_row()))


def _read_csv(spark: SparkSession, source: Source, paths: list[str], damaged: list[str]) -> DataFrame:
    options = {"columnNameOfCorruptRecord": CORRUPT, "mode": "PERMISSIVE", **source.options}
    rows = spark.read.options(**options).schema(f"{source.schema}, {CORRUPT} STRING").csv(paths)
    rows = _without(damaged, rows)
    fields, raw = F.struct(*rows.columns), F.coalesce(F.col(CORRUPT), _as_json(rows))
    return rows.select(fields.alias("fields"), raw.alias("raw"), *_provenance(_text_row()))


def _read_parquet(spark: SparkSession, source: Source, paths: list[str], damaged: list[str]) -> DataFrame:
    reader = spark.read.options(**source.options)
    rows = _without(damaged, (reader.schema(source.schema) if source.schema else reader).parquet(*paths))
    fields = F.struct(*rows.columns, F.lit(None).cast("string").alias(CORRUPT))
    row = F.col("_metadata.row_index")
    return rows.select(fields.alias("fields"), _as_json(rows).alias("raw"), *_provenance(row))


def _read_delta(spark: SparkSession, source: Source, days: Sequence[date], damaged: list[str]) -> DataFrame:
    if not DeltaTable.isDeltaTable(spark, source.path):
        raise InputError(
            f"source '{source.name}': {source.path} is no Delta table; correct `path` or `format` in sources.yml"
        )
    rows = _without(damaged, spark.read.options(**source.options).format("delta").load(source.path))
    for name, difference in _drifted(rows, source):
        raise InputError(
            f"source '{source.name}': column {name} of the table at {source.path} {difference}; "
            "correct `schema` in sources.yml, or the table"
        )
    day = _day_of(rows, source) if source.ingest_day else F.lit(min(days))
    # Columns of these names are the table's own; what every raw row gets beside its columns goes before them.
    own = [name for name in rows.columns if name.lower() not in PROVENANCE]
    fields = F.struct(*own, F.lit(None).cast("string").alias(CORRUPT))
    of_days = rows.where(day.isin(list(days)))  # first, so that Delta leaves out other partitions and files
    return of_days.select(
        fields.alias("fields"),
        _as_json(rows).alias("raw"),
        *_provenance(_delta_row()),
        day.alias("ingest_day"),
    )


def _day_of(rows: DataFrame, source: Source) -> Column:
    """The day on which a row came. Raises InputError where the expression is none of a day."""
    told = F.expr(str(source.ingest_day))
    kind = rows.select(told.alias("day")).schema["day"].dataType.simpleString()
    if kind not in ("date", "timestamp", "timestamp_ntz", "string"):
        raise InputError(
            f"source '{source.name}': ingest_day is {kind}, no day; correct `ingest_day` in sources.yml"
        )
    return told.try_cast("date")


def _drifted(rows: DataFrame, source: Source) -> Iterator[tuple[str, str]]:
    """Declared columns that the rows lack, or hold as another type."""
    present = {field.name.lower(): field.dataType for field in rows.schema.fields}
    declared = DataType.fromDDL(source.schema) if source.schema else StructType()
    assert isinstance(declared, StructType)  # several columns are nothing else
    for field in declared.fields:
        kind = present.get(field.name.lower())
        if kind is None:
            yield field.name, "is missing"
        elif kind.simpleString() != field.dataType.simpleString():
            yield field.name, f"is {kind.simpleString()}, and {field.dataType.simpleString()} is declared"


def _without(damaged: list[str], rows: DataFrame) -> DataFrame:
    """Spark leaves such files out before it opens them."""
    return rows.where(~F.col("_metadata.file_path").isin(damaged)) if damaged else rows


def _names_in(spark: SparkSession, source: Source, files: list[str]) -> set[str]:
    if source.format == "json":
        rows = spark.read.text(files).select(F.json_object_keys("value").alias("names"))
        return {name for row in rows.limit(_ROWS_LOOKED_AT).collect() for name in row["names"] or ()}
    reader = spark.read.options(**source.options)
    if source.format == "delta":
        return set(reader.format("delta").load(source.path).columns)
    return set((reader.parquet if source.format == "parquet" else reader.csv)(files[0]).columns)


def _provenance(row: Column) -> tuple[Column, Column]:
    return F.col("_metadata.file_path").alias("source_file"), row.alias("row")


def _text_row() -> Column:
    """Unique and rising within a file: its line number, or past the first split the split's byte plus the line."""
    line = F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_IN_PARTITION))
    return F.col("_metadata.file_block_start") + line


def _delta_row() -> Column:
    """The same of a Delta table among the rows of a day: it tells no row's number, and its files may hold many days.

    A row of its files may take less than a byte.
    """
    line = F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_IN_PARTITION))
    return F.shiftleft("_metadata.file_block_start", 10) + line


def _as_json(rows: DataFrame) -> Column:
    return F.to_json(F.struct(*(name for name in rows.columns if name != CORRUPT)))
