"""What the audits find, and whether they are quiet when nothing is wrong: writes docs/audits.md.

    .venv/bin/python -m scripts.audits [--profiles 4000] [--days 60] [--work-dir DIR]

A clean service through the jobs' own functions in one Spark session, then faults beside it.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from expectations.results import AuditResult
from jobs.arguments import Days
from jobs.audit_table import RESULTS, AuditFailed, audit_days, check_tables
from jobs.build_profile_windows import build_profile_windows
from jobs.ingest_exposures import ingest_exposures
from jobs.monitor_srm import monitor_srm
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.session import spark_session
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.simulation.settings import Faults
from metrics.simulation.settings import Settings as Service
from scripts import audit_faults as planted
from scripts.audit_faults import Altered, TableFault, landed_day
from scripts.environment import ROOT, Settings, take_over

SEED = 1
# So far apart that none of them is compared with another.
APART, MOST_DAYS = 9, 5
ANALYSED = 3


@dataclass(frozen=True)
class Found:
    """A fault on some days: on how many of them its expectation failed, and what else did."""

    fault: str
    where: str
    finder: str
    severity: str
    caught: int
    days: int
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = ", ".join(f"`{name}`" for name in self.others)
        of = f"{self.caught} of {self.days}"
        return f"| {self.fault} | {self.where} | {self.finder} | {self.severity} | {of} | {more} |"


@dataclass(frozen=True)
class Clean:
    """The audits of the clean days by table: how many were made, and which failed."""

    table: str
    days: int
    results: int
    failed: tuple[str, ...]


class Trial:
    """One clean service, and what becomes of it under faults."""

    def __init__(
        self, spark: SparkSession, work_dir: Path, profiles: int, days: int, seed: int = SEED
    ) -> None:
        self.spark, self.work_dir = spark, work_dir
        self.tables = Tables(spark, load_project(ROOT / "conf", work_dir / "clean"))
        self.experiment = self.tables.project.experiments[0]
        self.service = Service(profiles, self.experiment.first_covariate_day, days, seed, exposed_share=1.0)
        self.days = Days(self.service.first_day, self.service.last_day)

    @property
    def analysed(self) -> list[date]:
        last = self.experiment.planned_end(self.tables.project.catalogue)
        return [last - timedelta(days=n) for n in reversed(range(ANALYSED))]

    def clean(self) -> list[Clean]:
        """Load and audit the days as one range: each is compared with those before it, as if they had come alone."""
        self.tables.create()
        simulate(self.spark, self.tables.project, self.experiment, self.service, truth_days=0)
        with suppress(AuditFailed):  # what failed is recorded
            run_day(self.tables, self.days)
        # A range takes its newest snapshot alone, and daily runs would each have audited one.
        for n in (1, 2, 3):
            audit_days(self.tables, "profiles", [self.days.last - timedelta(days=n)])
        for day in self.analysed:
            with suppress(AuditFailed):
                run_experiments(self.tables, Days(day, day))
        return list(_cleanly(_recorded(self.tables, self.days.all)))

    def found(self) -> Iterator[Found]:
        spread = [self.days.last - timedelta(days=APART * n) for n in range(MOST_DAYS)]
        enrolling = [self.experiment.start + timedelta(days=n) for n in (4, 5, 6)]
        for faults, days in (
            ((*planted.EVENTS, *planted.PROFILE_DAYS), spread),
            (planted.PROFILES, [self.days.last]),
            ((*planted.EXPOSURES, *planted.EXPOSURE_DAYS), enrolling),
            ((*planted.WINDOWS, *planted.ESTIMATES), self.analysed),
        ):
            yield from (self._altered(fault, days) for fault in faults)
        lately = Days(self.days.last - timedelta(days=2), self.days.last)
        yield from self._landed(lately.all)
        yield from self._served(lately)
        yield self._kept_out(lately)
        yield from self._exposed()

    def _altered(self, fault: TableFault, days: Sequence[date]) -> Found:
        """The audit of a table as it would be if the fault had happened."""
        altered = Altered(self.spark, self.tables.project, fault, self.work_dir / "altered")
        altered.write(days)
        (audited,) = check_tables(altered, [fault.table], days)
        return _found(fault.what, f"`{fault.table}`", fault.finder, audited.results, days)

    def _landed(self, days: Sequence[date]) -> Iterator[Found]:
        """Each fault on a day of its own."""
        tables = self._beside()
        shutil.copytree(self.tables.project.data_dir / "landing", tables.project.data_dir / "landing")
        for fault, day in zip(planted.LANDINGS, days, strict=True):
            fault.damage(landed_day(tables.project.data_dir, day))
        results = _rerun(tables, Days(days[0], days[-1]))
        for fault, day in zip(planted.LANDINGS, days, strict=True):
            yield _found(fault.what, "landing files", fault.finder, results, [day])

    def _served(self, days: Days) -> Iterator[Found]:
        results = _rerun(self._beside(planted.SERVICE), days)
        for what, finder in planted.SERVED:
            yield _found(what, "simulator", finder, results, days.all)

    def _kept_out(self, days: Days) -> Found:
        """What ingestion keeps out of the tables: caught on a day where not one row of it is in `events`."""
        tables = self._beside(planted.KEPT_OUT)
        results = _rerun(tables, days)
        clean = self.tables.read_days("events", days.all).select("event_id")
        left = tables.read_days("events", days.all).join(clean, "event_id", how="left_anti")
        doubled = tables.read_days("events", days.all).groupBy("day", "event_id").count().where("count > 1")
        wrong = {row["day"] for frame in (left, doubled) for row in frame.select("day").distinct().collect()}
        others = tuple(sorted({each.expectation for each in results if not each.success}))
        what = "of the events 3% each twice, cut, without a key, with a wrong clock"
        return Found(
            what,
            "simulator",
            "deduplication, quarantine",
            "",
            len(days.all) - len(wrong),
            len(days.all),
            others,
        )

    def _exposed(self) -> Iterator[Found]:
        """Faults of the exposure log: its table from the beginning, then windows and sample ratio."""
        tables = self._beside(planted.EXPOSURE_LOG)
        tables.delete("exposures", "true")
        ingest_exposures(tables, self.days)
        for day in self.analysed:
            build_profile_windows(tables, Days(day, day))
            with suppress(AuditFailed):
                audit_days(tables, "profile_windows", [day])
            monitor_srm(tables, Days(day, day))
        results = [each for each in _recorded(tables, self.analysed) if each.table == "profile_windows"]
        yield _found(planted.CROSSED, "simulator", "crossovers_rare", results, self.analysed)
        triggered = tables.read("srm_checks").where("triggered AND window_kind = 'cumulative'")
        days = {row["day"] for row in triggered.select(F.col("window_end_day").alias("day")).collect()}
        yield Found(
            planted.UNBALANCED, "simulator", "`srm_checks`", "critical", min(len(days), ANALYSED), ANALYSED
        )

    def _beside(self, faults: Faults | None = None) -> Tables:
        """The clean tables once more in a folder of their own, with the landing files of a faulty service."""
        folder = self.work_dir / "faulty"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.tables.project.data_dir / "tables", folder / "tables")
        tables = Tables(self.spark, load_project(ROOT / "conf", folder))
        if faults:
            service = replace(self.service, faults=faults)
            simulate(self.spark, tables.project, self.experiment, service, truth_days=0)
        return tables


def _rerun(tables: Tables, days: Days) -> list[AuditResult]:
    with suppress(AuditFailed):
        run_day(tables, days)
    return _recorded(tables, days.all)


def _recorded(tables: Tables, days: Sequence[date]) -> list[AuditResult]:
    return [AuditResult(**row.asDict()) for row in tables.read_days(RESULTS, days).collect()]


def _found(what: str, where: str, finder: str, results: Sequence[AuditResult], days: Sequence[date]) -> Found:
    failed = [each for each in results if not each.success and each.day in days]
    finding = [each for each in failed if each.expectation == finder]
    severity = ", ".join(sorted({each.severity for each in finding}))
    others = tuple(sorted({each.expectation for each in failed} - {finder}))
    return Found(what, where, f"`{finder}`", severity, len({f.day for f in finding}), len(days), others)


def _cleanly(results: Sequence[AuditResult]) -> Iterator[Clean]:
    for table in sorted({each.table for each in results}):
        of_table = [each for each in results if each.table == table]
        failed = [f"{r.expectation} on {r.day}: {r.observed}" for r in of_table if not r.success]
        yield Clean(table, len({each.day for each in of_table}), len(of_table), tuple(failed))


def report(clean: Sequence[Clean], found: Sequence[Found], options: argparse.Namespace) -> str:
    """The page: alarms on clean days, faults caught, and each of both."""
    results, alarms = sum(each.results for each in clean), [line for each in clean for line in each.failed]
    caught, days = sum(each.caught for each in found), sum(each.days for each in found)
    whole = sum(each.caught == each.days for each in found)
    lines = [
        "# What the audits find",
        "",
        f"A synthetic service of {options.profiles:,} profiles over {options.days} clean days: "
        f"{len(alarms)} of {results:,} results are alarms.",
        f"{len(found)} faults, each on up to {MOST_DAYS} days: {whole} are caught on every day, "
        f"{caught} of {days} days in all.",
        "",
        f"Made by `python -m scripts.audits --profiles {options.profiles} --days {options.days} "
        f"--seed {options.seed}`.",
        "",
        "## Clean days",
        "",
        "| table | days | results | alarms |",
        "|---|---|---|---|",
        *(f"| `{c.table}` | {c.days} | {c.results:,} | {'; '.join(c.failed) or 'none'} |" for c in clean),
        "",
        "## Faults",
        "",
        "Caught: the expectation that is there for the fault fails on the day. Faults of a table are written to one",
        "without Delta's constraints, which would refuse some of them. Two are not found by an expectation: what",
        "ingestion keeps out, and exposures lost on one side. Not to be caught: late events on the last day, none of",
        "which has come yet, and outcomes before they matured on the analysis day on which all have.",
        "",
        "| fault | in | found by | severity | caught on | fails with it |",
        "|---|---|---|---|---|---|",
        *map(str, found),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What the audits find, and whether they are quiet.")
    parser.add_argument("--profiles", type=int, default=4_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=SEED, help="of the synthetic service")
    parser.add_argument("--work-dir", type=Path, help="where it is all built (default: a temporary folder)")
    options = parser.parse_args(argv)
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="watchlift-audits-"))
    take_over(Settings(work_dir), quick_start=True)
    with spark_session("audits") as spark:
        trial = Trial(spark, work_dir, options.profiles, options.days, options.seed)
        clean, found = trial.clean(), list[Found]()
        print(f"{sum(len(each.failed) for each in clean)} alarms on clean days", flush=True)
        for each in trial.found():
            found.append(each)
            print(each, flush=True)
    (ROOT / "docs" / "audits.md").write_text(report(clean, found, options), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
