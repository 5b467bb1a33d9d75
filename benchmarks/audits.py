"""How much processor time a day's audits take beside its roll-up.

    python -m benchmarks.audits --profiles 100000 --copies 60 --rounds 2

About six events a profile and copy, of which one in ten is first exposed on the day. The day's audits and its roll-up
run in turn, in one Spark session. Both end with their commits.
"""

import sys
from collections.abc import Sequence
from functools import partial

from pyspark.sql import SparkSession

from benchmarks.measuring import Aim, Measured, aimed, benchmark_parser, compared, kept_folder, publish, timed
from benchmarks.service import one_day
from jobs.audit_table import audit_tables
from jobs.roll_up_profile_days import roll_up_days
from jobs.session import spark_session
from jobs.tables import Tables
from metrics.configuration.project import load_project
from scripts.environment import ROOT, Settings, take_over

# As run_day asks for them: before the roll-up, and after it.
BEFORE, AFTER = ("profiles", "exposures", "events"), ("profile_days", "exposure_day_measures")


def measure(tables: Tables, profiles: int, copies: int, rounds: int) -> list[Measured]:
    """Each table's audit, and all of a day's, against the roll-up."""
    days = one_day(tables, profiles, copies).all

    def roll_up() -> tuple[float, float]:
        return timed(lambda: roll_up_days(tables, days))

    def audits() -> None:
        audit_tables(tables, BEFORE, days)
        audit_tables(tables, AFTER, days)

    events = tables.read_days("events", days).count()
    measured = [
        compared(
            f"the day's audits, {events:,} events",
            lambda: timed(audits),
            "the roll-up",
            roll_up,
            rounds,
            aimed(events >= 50_000_000, Aim("P2", "ratio", 0.15)),
        )
    ]
    for name in (*BEFORE, *AFTER):
        before = jobs_run(tables.spark)
        audit_tables(tables, [name], days)
        n = jobs_run(tables.spark) - before
        audit = partial(timed, partial(audit_tables, tables, [name], days))
        measured.append(compared(f"audit of {name}, {n} Spark jobs", audit, "the roll-up", roll_up, rounds))
    return measured


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
        tables = Tables(spark, load_project(ROOT / "conf", own.data_dir))
        publish(measure(tables, options.profiles, options.copies, options.rounds), options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
