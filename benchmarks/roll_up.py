"""Processor time of a day's roll-up, beside a DuckDB script that makes the same rows of the same files (P1), and its
growth with the events (P3).

    python -m benchmarks.roll_up --profiles 100000 --copies 43 350

About six events a profile and copy. Both run in a session that is warm, write compressed Parquet, and agree on all rows
and sums before a time is told. The product also commits to Delta, twice. Spark's driver has the 2 GiB of
conf/spark/laptop.conf.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks import duckdb_roll_up
from benchmarks.measuring import (
    Aim,
    Measured,
    Size,
    aimed,
    benchmark_parser,
    compared,
    kept_folder,
    publish,
    timed,
)
from benchmarks.service import one_day
from jobs.arguments import Days
from jobs.roll_up_profile_days import roll_up_days
from jobs.session import spark_session
from jobs.tables import Tables
from scripts.environment import Settings, take_over

TABLES = ("profile_days", "exposure_day_measures")


def measure(
    spark: SparkSession, folder: Path, profiles: int, copies: Sequence[int], rounds: int
) -> list[Measured]:
    """The greatest number of copies beside DuckDB, and beside the smallest, scaled up to as many events."""
    least, most = min(copies), max(copies)
    (few, days), (many, _) = (one_day(spark, folder, profiles, n) for n in (least, most))
    measured = [beside_duckdb(many, days, rounds)]
    if least < most:
        less, more = (each.read_days("events", days.all).count() for each in (few, many))

        def smaller() -> tuple[float, float | None]:
            return timed(lambda: roll_up_days(few, days.all))[0] * more / less, None

        measured.append(
            compared(
                f"roll-up of {more:,} events",
                lambda: timed(lambda: roll_up_days(many, days.all)),
                f"of {less:,}, scaled up to as many",
                smaller,
                rounds,
                aimed(more >= 200_000_000 and less <= 25_000_000, Aim("P3", "ratio", 1.15)),
                Size(more, "events"),
            )
        )
    return measured


def beside_duckdb(tables: Tables, days: Days, rounds: int) -> Measured:
    folder, catalogue = tables.project.data_dir / "duckdb", tables.project.catalogue
    events = tables.read_days("events", days.all).count()
    with duckdb_roll_up.connection() as database:
        measured = compared(
            f"roll-up of {events:,} events",
            lambda: timed(lambda: roll_up_days(tables, days.all)),
            "DuckDB, the same files",
            lambda: timed(lambda: duckdb_roll_up.roll_up(database, tables, days.first, folder)),
            rounds,
            aimed(events >= 100_000_000, Aim("P1", "ratio", 2.2)),
            Size(events, "events"),
        )
        for name in TABLES:
            ours: list[Path | str] = [*duckdb_roll_up.files_of(tables, name, days.first)]
            found = duckdb_roll_up.totals(database, catalogue, ours)
            theirs = duckdb_roll_up.totals(database, catalogue, [folder / f"{name}.parquet"])
            require_same(name, found, theirs)
    return measured


def require_same(name: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Times of wrong answers are worth nothing."""
    if len(ours) != len(theirs) or not all(map(_close, ours, theirs)):
        raise AssertionError(f"{name}: rows and sums are {ours}, and {theirs} beside it")


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9)


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Processor time of a day's roll-up, beside DuckDB.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--copies", type=int, nargs="+", default=[43, 350], help="of each simulated row")
    options = parser.parse_args(argv)
    own = Settings(kept_folder(options.folder))
    take_over(own)
    with spark_session("roll-up") as spark:
        found = measure(spark, own.data_dir, options.profiles, options.copies, options.rounds)
    publish(found, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
