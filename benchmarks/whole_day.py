"""Processor time of a whole day, from landing files to estimates, beside a DuckDB and numpy script (P2).

    python -m benchmarks.whole_day --profiles 100000 --copies 43

About twelve events a profile and copy, of whom a third is active: 51 million events of 1.4 million profiles; a third
of all is in the experiment. Both begin with the day's landing files and the tables of the days before it, and agree on
the measures and on every estimate of the project's own experiment before a time is told. What the script leaves out is
said in benchmarks/duckdb_whole_day.py. The product runs in a session that is warm.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from pyspark.sql import SparkSession

from benchmarks import duckdb_roll_up, duckdb_whole_day
from benchmarks.costs import STAGE
from benchmarks.duckdb_script import Script
from benchmarks.measuring import (
    Aim,
    Measured,
    Seconds,
    Size,
    aimed,
    benchmark_parser,
    compared,
    kept_folder,
    medians,
    publish,
    timed,
)
from benchmarks.numpy_estimates import Estimates
from benchmarks.roll_up import TABLES, require_same
from benchmarks.whole_day_data import WholeDay, whole_day
from jobs import run_day
from jobs.arguments import Days
from jobs.run_experiments import run_experiments
from jobs.session import spark_session
from jobs.tables import Tables
from scripts.environment import Settings, take_over

Parts = Mapping[str, Seconds]
PARTS = ("ingest", "audits", "roll-up", "experiments")
_KEY = ("metric", "estimator", "segment", "segment_value")
# The error of few households is another one, which the script does not have.
_SAME_ERROR = ("cr1s", "cr1")
# Of DuckDB, beside a driver; more is put aside on disk.
_MEMORY = "8GB"


def measure(spark: SparkSession, folder: Path, profiles: int, copies: int, rounds: int) -> list[Measured]:
    """The whole day, and each part of it."""
    data = whole_day(spark, folder, profiles, copies)
    product, script, left = list[Parts](), list[Parts](), list[Tables]()
    found: Estimates = {}

    def round_of_product() -> Seconds:
        left[:] = [data.restored(len(product))]
        return _noted(product, product_parts(left[0], data.days))

    with script_of(data) as day:
        (events,) = day.one(f"SELECT count(*) FROM {day.landed('events')}")
        whole = compared(
            f"a whole day of {events:,} events that landed",
            round_of_product,
            "DuckDB and numpy, the same files",
            lambda: _noted(script, script_parts(day, found)),
            rounds,
            aimed(events >= 50_000_000, Aim("P2", "ratio", 2.5)),
            Size(events, "events"),
        )
        require_same_answers(left[0], day, found)
    counted, in_windows = max(rounds, 1), left[0].read("profile_windows").count()
    sizes = {name: Size(events, "events") for name in PARTS} | {"experiments": Size(in_windows, "profiles")}
    return [whole, *(_part(name, product[-counted:], script[-counted:], sizes[name]) for name in PARTS)]


@contextmanager
def script_of(data: WholeDay) -> Iterator[Script]:
    """The rival, with as much memory as it may have."""
    with duckdb_roll_up.connection() as database:
        database.execute(f"SET memory_limit = '{_MEMORY}'; SET temp_directory = '{data.folder / 'spilled'}'")
        yield Script(database, data.before, data.landing, data.folder / "duckdb", data.day)


def product_parts(tables: Tables, days: Days) -> Parts:
    """Of `run_day`, what is neither ingestion nor roll-up is audits."""
    with _timed_within(run_day, "_ingest", "roll_up_days") as inside:
        cpu, wall = timed(lambda: run_day.run_day(tables, days))
    ingest, roll_up = inside["_ingest"], inside["roll_up_days"]
    return {
        "ingest": ingest,
        "audits": (cpu - ingest[0] - roll_up[0], wall - ingest[1] - roll_up[1]),
        "roll-up": roll_up,
        "experiments": timed(lambda: run_experiments(tables, days)),
    }


def script_parts(day: Script, found: Estimates) -> Parts:
    """Fills `found` with the estimates."""
    landed, rolled_up = duckdb_whole_day.check_landed, duckdb_whole_day.check_rolled_up
    ingest = timed(lambda: duckdb_whole_day.ingest(day))
    checked = timed(lambda: landed(day))
    roll_up = timed(lambda: duckdb_whole_day.roll_up(day))
    checked_again = timed(lambda: rolled_up(day))
    return {
        "ingest": ingest,
        "audits": (checked[0] + checked_again[0], checked[1] + checked_again[1]),
        "roll-up": roll_up,
        "experiments": timed(lambda: found.update(duckdb_whole_day.experiment(day))),
    }


def _noted(kept: list[Parts], parts: Parts) -> Seconds:
    """The round's seconds, once its parts are kept."""
    kept.append(parts)
    return sum(cpu for cpu, _ in parts.values()), sum(wall for _, wall in parts.values())


@contextmanager
def _timed_within(module: ModuleType, *names: str) -> Iterator[dict[str, Seconds]]:
    """How long the module's functions take that are called in it, each once, by name."""
    taken: dict[str, Seconds] = {}

    def timing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            given: list[Any] = []
            taken[name] = timed(lambda: given.append(function(*arguments)))
            return given[0]

        return call

    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(module, name, timing(name, getattr(module, name))))
        yield taken


def _part(name: str, product: Sequence[Parts], script: Sequence[Parts], size: Size) -> Measured:
    ours, theirs = [parts[name] for parts in product], [parts[name] for parts in script]
    return medians(f"{STAGE}{name}", ours, "the same part", theirs, size=size)


def require_same_answers(tables: Tables, day: Script, theirs: Estimates) -> None:
    """Raises AssertionError where the product's tables say other things than what the script made."""
    catalogue = tables.project.catalogue
    for name in TABLES:
        files: list[Path | str] = [*duckdb_roll_up.files_of(tables, name, day.day)]
        ours = duckdb_roll_up.totals(day.database, catalogue, files)
        made = duckdb_roll_up.totals(day.database, catalogue, [day.folder / f"{name}.parquet"])
        require_same(name, ours, made)
    columns = (*_KEY, "effect", "std_error", "vcov")
    require_same_estimates(tables.few_rows("estimates", {"analysis_day": [day.day]}, columns), theirs)


def require_same_estimates(ours: Sequence[Mapping[str, Any]], theirs: Estimates) -> None:
    """Effects and standard errors of all rows that have the error which the script makes."""
    same = [row for row in ours if row["vcov"] in _SAME_ERROR]
    if not same:
        raise AssertionError("estimates: none to compare; take more profiles")
    for row in same:
        key, found = tuple(row[name] for name in _KEY), (row["effect"], row["std_error"])
        made = theirs.get(key, (math.nan, math.nan))
        # An effect is a difference of means, which may be next to nothing: its last digits are those of its error.
        close = (
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * found[1])
            for a, b in zip(found, made, strict=True)
        )
        if not all(close):
            raise AssertionError(f"{' '.join(key)}: effect and error are {found}, and {made} beside it")


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Processor time of a whole day, beside DuckDB and numpy.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=43, help="of each simulated row")
    options = parser.parse_args(argv)
    own = Settings(kept_folder(options.folder))
    take_over(own)
    with spark_session("whole-day") as spark:
        found = measure(spark, own.data_dir, options.profiles, options.copies, options.rounds)
    publish(found, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
