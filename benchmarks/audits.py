"""How much processor time a day's audits take beside its roll-up.

    python -m benchmarks.audits --profiles 100000 --copies 60 --rounds 2

About six events a profile and copy, of which one in ten is first exposed on the day. The day's audits and its roll-up
run in turn, in one Spark session. Both end with their commits.
"""

import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.measuring import (
    Aim,
    Measured,
    Seconds,
    Size,
    aimed,
    benchmark_parser,
    in_turn,
    kept_folder,
    medians,
    publish,
    timed,
)
from benchmarks.service import one_day
from jobs.audit_table import audit_tables
from jobs.roll_up_profile_days import roll_up_days
from jobs.session import spark_session
from jobs.tables import Tables
from scripts.environment import Settings, take_over

# As run_day asks for them: before the roll-up, and after it.
BEFORE, AFTER = ("profiles", "exposures", "events"), ("profile_days", "exposure_day_measures")
ALL, ROLL_UP = "all", "roll-up"


def measure(spark: SparkSession, folder: Path, profiles: int, copies: int, rounds: int) -> list[Measured]:
    """All of a day's audits, and each table's, against the roll-up of the same round; after a round not counted."""
    tables, asked = one_day(spark, folder, profiles, copies)
    days = asked.all
    events = tables.read_days("events", days).count()
    jobs: dict[str, int] = {}
    found = in_turn(lambda: _round(tables, days, jobs), rounds)
    names = {ALL: f"the day's audits, {events:,} events"}
    names |= {name: f"audit of {name}, {n} Spark jobs" for name, n in jobs.items()}
    roll_ups = [each[ROLL_UP] for each in found]
    aims = {ALL: aimed(events >= 50_000_000, Aim("P2", "ratio", 0.15))}
    size = Size(events, "events")
    return [
        medians(what, [each[name] for each in found], "the roll-up", roll_ups, aims.get(name, ()), size)
        for name, what in names.items()
    ]


def _round(tables: Tables, days: Sequence[date], jobs: dict[str, int]) -> dict[str, Seconds]:
    """The audits as run_day makes them, then each alone, whose Spark jobs are counted."""

    def audits() -> None:
        audit_tables(tables, BEFORE, days)
        audit_tables(tables, AFTER, days)

    taken = {ROLL_UP: timed(lambda: roll_up_days(tables, days)), ALL: timed(audits)}
    for name in (*BEFORE, *AFTER):
        before = jobs_run(tables.spark)
        taken[name] = timed(partial(audit_tables, tables, [name], days))
        jobs[name] = jobs_run(tables.spark) - before
    return taken


def jobs_run(spark: SparkSession) -> int:
    """Spark jobs that the application has run so far."""
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Processor time of a day's audits beside its roll-up.")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=4, help="of each simulated row")
    options = parser.parse_args(argv)
    own = Settings(kept_folder(options.folder))
    take_over(own)
    with spark_session("audits") as spark:
        found = measure(spark, own.data_dir, options.profiles, options.copies, options.rounds)
    publish(found, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
