"""The roll-up as a DuckDB script would do it, from the same files to the same rows."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import sqlglot

from jobs.tables import Tables
from metrics.configuration.catalogue import Catalogue


def connection(threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A database in memory with as many threads as Spark gets here."""
    return duckdb.connect(config={"threads": threads, "preserve_insertion_order": False})


def roll_up(database: duckdb.DuckDBPyConnection, tables: Tables, day: date, folder: Path) -> None:
    """`roll_up_rows` of one event day of the tables, whose exposures are all of that day."""
    events, exposures = _scan(tables, "events", day), _scan(tables, "exposures", day)
    roll_up_rows(database, tables.project.catalogue, events, exposures, day, folder)


def roll_up_rows(
    database: duckdb.DuckDBPyConnection,
    catalogue: Catalogue,
    events: str,
    exposures: str,
    day: date,
    folder: Path,
) -> None:
    """profile_days.parquet and exposure_day_measures.parquet of one event day.

    `events`: a relation with rows of that day alone; `exposures`: one with those of the day, and of days before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measures = _measures(catalogue)
    events = f"(SELECT DATE '{day}' AS day, * FROM {events})"
    database.execute(
        f"COPY (SELECT day, profile_id, max(household_id) AS household_id, {measures} FROM {events} "
        f"GROUP BY day, profile_id) TO '{folder / 'profile_days.parquet'}' (COMPRESSION zstd)"
    )
    first = (
        f"(SELECT experiment_id, profile_id, min(exposed_at) AS exposed_at FROM {exposures} GROUP BY ALL "
        f"HAVING min(exposed_at) >= DATE '{day}')"
    )
    database.execute(
        f"COPY (SELECT day, experiment_id, profile_id, max(household_id) AS household_id, {measures} "
        f"FROM {events} JOIN {first} USING (profile_id) WHERE event_ts >= exposed_at "
        f"GROUP BY day, experiment_id, profile_id) TO '{folder / 'exposure_day_measures.parquet'}' (COMPRESSION zstd)"
    )


def totals(
    database: duckdb.DuckDBPyConnection, catalogue: Catalogue, files: Sequence[Path | str]
) -> tuple[float, ...]:
    """Rows, and the sum of each measure: what both must agree on."""
    sums = ", ".join(f"sum({name}::DOUBLE)" for name in catalogue.numbers)
    found = database.execute(f"SELECT count(*), {sums} FROM read_parquet({list(map(str, files))})").fetchone()
    return tuple(found or ())


def files_of(tables: Tables, name: str, *days: date) -> list[str]:
    """The Parquet files of the days in the table's last version."""
    log = tables.files(name)
    assert log is not None  # a benchmark's tables lie in its folder
    return log.file_uris([("day", "in", list(map(str, days)))])


def _scan(tables: Tables, name: str, day: date) -> str:
    return f"read_parquet({files_of(tables, name, day)}, hive_partitioning = false)"


def _measures(catalogue: Catalogue) -> str:
    sql = {name: catalogue.measures[name].sql for name in catalogue.numbers}
    inside = {name: sqlglot.transpile(text, read="spark", write="duckdb")[0] for name, text in sql.items()}
    return ", ".join(f"coalesce(({text})::DOUBLE, 0) AS {name}" for name, text in inside.items())
