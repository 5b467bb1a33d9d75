"""What the order of rows within the files of events gives: as ingestion sorts them, beside sorted by event.

    python -m benchmarks.layout --profiles 100000 --copies 20

The same rows in as many files by profile. In turns, without commits: making them of rows that landed in any order, the
sums of the roll-up, and reading a sample of one profile in 250, as audits do.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.measuring import Measured, Seconds, benchmark_parser, compared, kept_folder, publish, timed
from benchmarks.service import one_day
from expectations.sample import sample_of
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.checksum import checksum
from metrics.rollup.events import first_copies
from metrics.rollup.profile_days import profile_days
from metrics.schemas import PROFILE_HASH
from scripts.environment import Settings, take_over

_SAMPLED = 250 * 200_000


def by_profile(events: DataFrame) -> DataFrame:
    """As ingestion makes them, in a table's columns."""
    return first_copies(events).select(*events.columns)


def by_event(events: DataFrame) -> DataFrame:
    """The same with rows in the order of their events' ids."""
    order = Window.partitionBy("event_id", "day", "profile_id").orderBy("ingest_day", "source_file", "row")
    copies = events.repartition("profile_id").withColumn("_before", F.lag(F.lit(True)).over(order))
    return copies.where("_before IS NULL").drop("_before")


def measure(spark: SparkSession, folder: Path, profiles: int, copies: int, rounds: int) -> list[Measured]:
    tables, days = one_day(spark, folder, profiles, copies)
    own = tables.project.data_dir
    landed = tables.read_days("events", days.all).repartition(16, "row", "event_id")
    made: Mapping[str, Callable[[DataFrame], DataFrame]] = {"profile": by_profile, "event": by_event}
    kept = {name: own / f"by-{name}" for name in ("landed", *made)}
    landed.write.mode("overwrite").parquet(str(kept["landed"]))

    def write(name: str) -> Seconds:
        rows = made[name](_read(tables, kept["landed"]))
        return timed(lambda: rows.write.mode("overwrite").parquet(str(kept[name])))

    def roll_up(name: str) -> Seconds:
        return _run(profile_days(_read(tables, kept[name]), tables.project.catalogue))

    def sample(name: str) -> Seconds:
        looked_at = sample_of(_read(tables, kept[name]), PROFILE_HASH, _SAMPLED).rows
        return _run(looked_at.select("event_id", "event_ts", "event_type", "device", "region"))

    works = {"copies and files": write, "sums by profile": roll_up, "a sample of profiles": sample}
    events = landed.count()
    measured = [
        compared(
            f"{what} of {events:,} events, rows by profile",
            partial(work, "profile"),
            "rows by event",
            partial(work, "event"),
            rounds,
        )
        for what, work in works.items()
    ]
    require_same_rows(*(_read(tables, kept[name]) for name in made))
    return measured


def require_same_rows(these: DataFrame, those: DataFrame) -> None:
    """Times of wrong answers are worth nothing."""
    found = [
        frame.agg(checksum([name for name in frame.columns if name != "attributes"])).collect()[0][0]
        for frame in (these, those)
    ]
    if found[0] != found[1]:
        raise AssertionError(f"the rows are {found[0]}, and {found[1]} beside it")


def _read(tables: Tables, path: Path) -> DataFrame:
    return tables.spark.read.parquet(str(path))


def _run(frame: DataFrame) -> Seconds:
    """Until its last row, which goes nowhere."""
    return timed(lambda: frame.write.format("noop").mode("overwrite").save())


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("What the order of rows within the files of events gives.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=20, help="of each simulated row")
    options = parser.parse_args(argv)
    own = Settings(kept_folder(options.folder))
    take_over(own)
    with spark_session("layout") as spark:
        found = measure(spark, own.data_dir, options.profiles, options.copies, options.rounds)
    publish(found, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
