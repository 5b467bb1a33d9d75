"""Damaged landing files are found by what Spark says of them, whatever their format and name."""

import gzip
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.landing import DamagedFile, Landing
from metrics.configuration.sources import Source
from metrics.errors import InputError

DAY = date(2026, 3, 2)


def _source(path: Path, form: str, schema: str = "id STRING", **options: str) -> Source:
    return Source("s", str(path), form, schema, options, None, {}, 3, 60)


def _loaded(spark: SparkSession, source: Source) -> tuple[list[str], tuple[DamagedFile, ...]]:
    landing = Landing(spark)

    def work() -> list[str]:
        frame = landing.read(source, [DAY])
        return sorted(row["fields"]["id"] for row in frame.collect()) if frame else []

    return landing.load(work), landing.left_out


def _flipped(content: bytes) -> bytes:
    """A CRC that does not fit."""
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize("schema", ["id STRING", ""])
@pytest.mark.parametrize("damaged", ["half", "text", "stub"])
def test_a_half_written_parquet_file_is_left_out(
    spark: SparkSession, tmp_path: Path, damaged: str, schema: str
) -> None:
    folder = tmp_path / str(DAY)
    folder.mkdir()
    pq.write_table(pa.table({"id": ["a", "b"]}), folder / "the whole.parquet")
    whole = (folder / "the whole.parquet").read_bytes()
    content = {"half": whole[: len(whole) // 2], "text": b"a,b,c\n" * 100, "stub": b"PAR1"}[damaged]
    (folder / "a file.parquet").write_bytes(content)
    ids, left_out = _loaded(spark, _source(tmp_path / "{day}" / "*", "parquet", schema))
    assert ids == ["a", "b"]
    assert left_out == (DamagedFile("s", f"file:{folder}/a%20file.parquet", DAY),)


def test_damaged_gzip_files_are_left_out_wherever_they_lie(spark: SparkSession, tmp_path: Path) -> None:
    """Also where names hold what globs are made of."""
    folder = tmp_path / str(DAY)
    rows = gzip.compress("\n".join(["id", *map(str, range(3000))]).encode())
    contents = {
        "hour=11/whole.csv.gz": rows,
        "hour=11/truncated[1].csv.gz": rows[:-200],
        "hour=12/flipped.csv.gz": _flipped(rows),
        "hour=12/no gzip.csv.gz": b"id\n1\n",
        "hour=12/whole[2].csv.gz": rows,
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    ids, left_out = _loaded(spark, _source(tmp_path / "{day}/*/*", "csv", header="true"))
    assert [file.path.removeprefix(f"file:{folder}/") for file in left_out] == [
        "hour=11/truncated%5B1%5D.csv.gz",
        "hour=12/flipped.csv.gz",
        "hour=12/no%20gzip.csv.gz",
    ]
    assert len(ids) == 6000


def test_a_day_of_damaged_files_alone_is_refused_also_within_a_range(
    spark: SparkSession, tmp_path: Path
) -> None:
    days = [DAY, date(2026, 3, 3)]
    for day, content in zip(days, (gzip.compress(b"a\n"), b"no gzip"), strict=True):
        (tmp_path / str(day)).mkdir()
        (tmp_path / str(day) / "x.json.gz").write_bytes(content)
    landing, source = Landing(spark), _source(tmp_path / "{day}" / "*", "json")
    with pytest.raises(InputError, match="only damaged files for 2026-03-03"):
        landing.load(lambda: landing.require(source, days).collect())


def test_files_of_another_type_than_declared_are_not_damaged(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / str(DAY)
    folder.mkdir()
    pq.write_table(pa.table({"id": [1.5]}), folder / "drifted.parquet")
    with pytest.raises(
        InputError, match=r"column id of \S*drifted\.parquet is DOUBLE, and int is declared; correct"
    ):
        _loaded(spark, _source(tmp_path / "{day}" / "*", "parquet", "id INT"))


def test_a_damaged_file_of_a_table_is_raised(spark: SparkSession, tmp_path: Path) -> None:
    """It is no landing file, so that leaving it out does not help."""
    (tmp_path / "table.parquet").write_bytes(b"no Parquet, however long it is")
    tries = []

    def work() -> None:
        tries.append(spark.read.schema("id STRING").parquet(str(tmp_path)).collect)
        tries[-1]()

    with pytest.raises(Exception, match=r"table\.parquet"):
        Landing(spark).load(work)
    assert len(tries) == 2


def _table(spark: SparkSession, path: Path, *rows: tuple[str, str]) -> None:
    frame = spark.createDataFrame([*rows], "id STRING, landed STRING")
    frame.write.format("delta").mode("append").save(str(path))


def test_rows_of_a_delta_table_are_those_of_their_day(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "lake"
    _table(spark, path, ("a", "2026-03-02T10:00:00"), ("b", "2026-03-03T10:00:00"))
    _table(spark, path, ("c", "2026-03-02T11:00:00"))
    source = replace(_source(path, "delta", "id STRING"), ingest_day="to_date(landed)")
    assert _loaded(spark, source) == (["a", "c"], ())
    landing = Landing(spark)
    rows = landing.load(lambda: landing.require(source, [DAY]).collect())
    assert {json.loads(row["raw"])["id"] for row in rows} == {"a", "c"}
    assert {row["ingest_day"] for row in rows} == {DAY}
    assert len({(row["source_file"], row["row"]) for row in rows}) == 2
    assert landing.load(lambda: landing.undeclared(source, DAY)) == ("landed",)


def test_a_delta_table_without_the_days_rows_or_with_other_columns_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "lake"
    _table(spark, path, ("a", "2026-03-02"))
    source = replace(_source(path, "delta", ""), ingest_day="to_date(landed)")

    def refused(source: Source, *days: date) -> str:
        landing = Landing(spark)
        with pytest.raises(InputError) as caught:
            landing.load(lambda: landing.require(source, days).collect())
        return str(caught.value)

    assert "has no rows for 2026-03-03 in the table at" in refused(source, DAY, date(2026, 3, 3))
    assert "has no rows for 2026-03-03 in the table at" in refused(source, date(2026, 3, 3))
    assert "has no files" in refused(replace(source, path=str(tmp_path / "nowhere")), DAY)
    assert "is no Delta table; correct `path` or `format`" in refused(
        replace(source, path=str(tmp_path)), DAY
    )
    assert "has nothing at" in refused(replace(source, min_daily_rows=0), date(2026, 3, 3))
    assert "column id of the table at" in refused(replace(source, schema="id BIGINT"), DAY)
    assert "is string, and bigint is declared; correct `schema`" in refused(
        replace(source, schema="id BIGINT"), DAY
    )
    assert "column plays of the table at" in refused(replace(source, schema="plays BIGINT"), DAY)
