"""Damaged landing files are found by what Spark says of them, whatever their format and name."""

import gzip
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from jobs.landing import DamagedFile, Landing, load_landing
from metrics.configuration.sources import Source

DAY = date(2026, 3, 2)


def _source(folder: Path, form: str, **options: str) -> Source:
    return Source("s", f"{folder}/{{day}}/*", form, "id STRING", options, None, {}, 3, 60)


def _loaded(spark: SparkSession, source: Source) -> tuple[list[str], tuple[DamagedFile, ...]]:
    def load(landing: Landing) -> tuple[list[str], tuple[DamagedFile, ...]]:
        frame = landing.read(source, [DAY])
        ids = [row["fields"]["id"] for row in frame.collect()] if frame else []
        return sorted(ids), landing.left_out

    return load_landing(spark, load)


@pytest.mark.parametrize("damaged", ["half", "text", "stub"])
def test_a_half_written_parquet_file_is_left_out(spark: SparkSession, tmp_path: Path, damaged: str) -> None:
    folder = tmp_path / str(DAY)
    folder.mkdir()
    pq.write_table(pa.table({"id": ["a", "b"]}), folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    content = {"half": whole[: len(whole) // 2], "text": b"a,b,c\n" * 100, "stub": b"PAR1"}[damaged]
    (folder / "a file.parquet").write_bytes(content)
    ids, left_out = _loaded(spark, _source(tmp_path, "parquet"))
    assert ids == ["a", "b"]
    assert [(file.source, file.path.rpartition("/")[2], file.ingest_day) for file in left_out] == [
        ("s", "a%20file.parquet", DAY)
    ]


def test_several_truncated_csv_files_are_left_out(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / str(DAY)
    folder.mkdir()
    rows = gzip.compress("\n".join(["id", *map(str, range(3000))]).encode())
    (folder / "whole.csv.gz").write_bytes(rows)
    for name in ("b.csv.gz", "c.csv.gz"):
        (folder / name).write_bytes(rows[:-200])
    ids, left_out = _loaded(spark, _source(tmp_path, "csv", header="true"))
    assert [file.path.rpartition("/")[2] for file in left_out] == ["b.csv.gz", "c.csv.gz"]
    assert len(ids) == 3000


def test_what_is_no_damage_is_raised_at_once(spark: SparkSession) -> None:
    load = Mock(side_effect=AnalysisException("column x cannot be resolved"))
    with pytest.raises(AnalysisException):
        load_landing(spark, load)
    load.assert_called_once()


def test_a_file_of_another_table_that_is_damaged_is_no_landing_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    """It is not left out, and the second failure on it is raised."""
    (tmp_path / "table.parquet").write_bytes(b"no Parquet, however long it is")
    load = Mock(side_effect=lambda _: spark.read.schema("id STRING").parquet(str(tmp_path)).collect())
    with pytest.raises(Exception, match=r"table\.parquet"):
        load_landing(spark, load)
    assert load.call_count == 2
