"""A backfill of many days beside the same days one by one in one application, and a second run of it (P7).

    python -m benchmarks.backfill --days 14 --profiles 1250000

Each backfill begins with empty tables; that all end with the same ones is checked. The second run meets the same
landing files, and tables that it leaves as they are.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.measuring import Aim, Measured, aimed, benchmark_parser, compared, kept_folder, publish, timed
from jobs.arguments import Days
from jobs.run_day import run_day
from jobs.session import spark_session
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.checksum import checksum
from metrics.configuration.project import load_project
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT, Settings, take_over

_COMPARED = ("events", "exposures", "profiles", "profile_days", "exposure_day_measures")


def measure(spark: SparkSession, folder: Path, profiles: int, days: int, rounds: int) -> list[Measured]:
    asked = landed(spark, folder, profiles, days)
    left: set[tuple[str, ...]] = set()

    def anew(load: Callable[[Tables], None]) -> tuple[float, float]:
        """Its time on empty tables."""
        shutil.rmtree(folder / "tables", ignore_errors=True)
        tables = Tables(spark, load_project(ROOT / "conf", folder))
        tables.create()
        taken = timed(lambda: load(tables))
        left.add(_content(tables))
        return taken

    def at_once() -> tuple[float, float]:
        return anew(lambda tables: run_day(tables, asked))

    def one_by_one(tables: Tables) -> None:
        for day in asked.all:
            run_day(tables, Days(day, day))

    what = f"backfill of {days} days of {profiles:,} profiles"
    at_once_or_not = compared(
        what,
        at_once,
        "its days one by one, in one application",
        lambda: anew(one_by_one),
        rounds,
        # About eight events a profile and day.
        aimed(days >= 14 and profiles >= 1_250_000, Aim("P7", "ratio", 1.1)),
    )
    tables = Tables(spark, load_project(ROOT / "conf", folder))
    again = compared(
        "a second run of it", lambda: timed(lambda: run_day(tables, asked)), what, at_once, rounds
    )
    left.add(_content(tables))
    if len(left) > 1:
        raise AssertionError(f"the runs left different tables: {left}")
    return [at_once_or_not, again]


def landed(spark: SparkSession, folder: Path, profiles: int, days: int) -> Days:
    """Land so many days up to the experiment's first, on which exposures begin; where they are missing."""
    project = load_project(ROOT / "conf", folder)
    experiment = project.experiments[0]
    first = experiment.start - timedelta(days=days - 1)
    service = Service(profiles, first, days, exposed_share=1.0)
    if not (folder / "landing" / "profiles").exists():
        simulate(spark, project, experiment, service, file_format="json", truth_days=0)
    return Days(service.first_day, service.last_day)


def _content(tables: Tables) -> tuple[str, ...]:
    """A checksum of each table's rows."""
    found = []
    for name in _COMPARED:
        frame = tables.read(name)
        columns = [column for column, kind in frame.dtypes if not kind.startswith("map")]
        found.append(str(frame.agg(checksum(columns).alias("rows")).collect()[0]["rows"]))
    return tuple(found)


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("A backfill of many days.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=14)
    options = parser.parse_args(argv)
    settings = Settings(kept_folder(options.folder))
    take_over(settings)
    with spark_session("backfill") as spark:
        found = measure(spark, settings.data_dir, options.profiles, options.days, options.rounds)
    publish(found, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
