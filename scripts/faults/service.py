"""A small service with an experiment of a few days, loaded once in order: what every fault is compared with."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import yaml
from pyspark.sql import SparkSession

from jobs.arguments import Days
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.simulation.settings import Faults, Settings
from scripts.environment import ROOT
from scripts.faults.landing_files import join_hours

FIRST_DAY = date(2026, 3, 1)
DAYS = 3
COVARIATE_DAYS = ENROLMENT_DAYS = 1
WINDOW = 2
# Rows that never get in, and copies: what a clean run has to deal with, too.
USUAL = Faults(duplicates=0.02, late=0.02, broken=0.004, null_keys=0.004, clock_skew=0.004, crossovers=0.02)


@dataclass(frozen=True)
class Service:
    """Data folders under `folder`: `landed`, with landing files alone; `before`, without the last day in its tables;
    `rolled_up`, with that day but for its experiments; `loaded`, with all. `lines`: how many a job logs on that day.
    """

    spark: SparkSession
    folder: Path
    conf_dir: Path
    days: Days
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def last(self) -> Days:
        return Days(self.days.last, self.days.last)

    def tables(self, name: str, conf_dir: Path | None = None) -> Tables:
        return Tables(self.spark, load_project(conf_dir or self.conf_dir, self.folder / name))

    def in_own_session(self) -> "Service":
        """The same folders for a thread of its own: what a job sets in its session is no other's."""
        return replace(self, spark=self.spark.newSession())

    def copy(self, of: str, name: str, conf_dir: Path | None = None) -> Tables:
        """A data folder of its own for a run that may go wrong; `conf_dir`: another configuration for it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.folder / of, self.folder / name)
        return self.tables(name, conf_dir)


def make_service(
    spark: SparkSession,
    folder: Path,
    profiles: int,
    days: int = DAYS,
    file_format: str = "json",
    faults: Faults = USUAL,
    max_days_late: int = 3,
) -> Service:
    """Simulate it anew, and load its days in order: the last in a run of its own, after one of those before."""
    shutil.rmtree(folder, ignore_errors=True)
    service = Service(
        spark,
        folder,
        small_configuration(folder / "conf", file_format, max_days_late),
        Days(FIRST_DAY, FIRST_DAY + timedelta(days=days - 1)),
    )
    project = service.tables("landed").project
    experiment = project.experiments[0]
    settings = Settings(profiles, FIRST_DAY, days, seed=11, exposed_share=1.0, faults=faults)
    simulate(spark, project, experiment, settings, file_format, truth_days=0)
    if file_format == "json":
        join_hours(folder / "landed" / "landing", 12)
    tables = service.copy("landed", "loaded")
    tables.create()
    load(tables, Days(FIRST_DAY, service.days.all[-2]))
    service.copy("loaded", "before")
    service.lines["run_day"] = lines_logged(lambda: run_day(tables, service.last))
    service.copy("loaded", "rolled_up")
    service.lines["run_experiments"] = lines_logged(lambda: run_experiments(tables, service.last))
    return service


class _Counter(logging.Handler):
    """Counts what it is given."""

    records = 0

    def emit(self, _: logging.LogRecord) -> None:
        self.records += 1


def lines_logged(work: Callable[[], object]) -> int:
    """Do a job's work; how many lines it logs."""
    logger, counter = logging.getLogger("watchlift"), _Counter()
    level = logger.level
    logger.addHandler(counter)
    logger.setLevel(logging.INFO)
    try:
        work()
    finally:
        logger.setLevel(level)
        logger.removeHandler(counter)
    return max(counter.records, 1)


def load(tables: Tables, days: Days, again: bool = False) -> None:
    """What the two DAGs do for a day; `again`: also where it was done."""
    run_day(tables, days, again)
    run_experiments(tables, days)


def small_configuration(conf_dir: Path, file_format: str = "json", max_days_late: int = 3) -> Path:
    """The project's own configuration, its experiment and windows shortened to a few days."""
    shutil.copytree(ROOT / "conf", conf_dir, dirs_exist_ok=True)
    for path in (conf_dir / "experiments").glob("*.yml"):
        edit(path, _short_experiment)
    edit(conf_dir / "metrics.yml", _short_windows)
    edit(conf_dir / "sources.yml", lambda values: _sources(values, file_format, max_days_late))
    return conf_dir


def edit(path: Path, change: Callable[[dict], None]) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _short_experiment(values: dict) -> None:
    values["start"] = FIRST_DAY + timedelta(days=COVARIATE_DAYS)
    values["enrollment_days"] = ENROLMENT_DAYS
    values["covariates"]["days"] = COVARIATE_DAYS
    values["rollout"]["min_days"] = 1


def _short_windows(values: dict) -> None:
    for metric in values["metrics"].values():
        if metric["window"] != "to_date":
            metric["window"] = WINDOW


def _sources(values: dict, file_format: str, max_days_late: int) -> None:
    for kind in values.values():
        for source in kind.values():
            source["max_days_late"] = max_days_late
            source["max_quarantined"] = 0.2
            if file_format == "parquet":
                source["format"], source["path"] = "parquet", source["path"].replace(".json.gz", ".parquet")
