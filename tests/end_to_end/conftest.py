"""One small service with every fault of delivery, loaded and analysed once for all the tests of the whole path."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.arguments import Days
from jobs.run_day import run_day
from jobs.run_experiments import run_experiments
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.simulation.settings import Faults, Settings
from scripts.faults.landing_files import join_hours

CONF = Path(__file__).resolve().parents[2] / "conf"
FIRST_DAY = date(2026, 2, 16)
ANALYSIS_DAY = date(2026, 3, 15)
FAULTS = Faults(duplicates=0.02, late=0.02, broken=0.002, null_keys=0.002, clock_skew=0.002, crossovers=0.02)


@pytest.fixture(scope="session")
def small_run(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """27 days by one backfill run and the last by a run of its own, as the demo does; then the experiments."""
    project = load_project(CONF, tmp_path_factory.mktemp("small_run"))
    settings = Settings(
        profiles=600, first_day=FIRST_DAY, days=28, seed=3, sessions_per_day=0.5, faults=FAULTS
    )
    simulate(spark, project, project.experiments[0], settings)
    join_hours(project.data_dir / "landing", 24)  # a task for each file in every scan
    tables = Tables(spark, project)
    tables.create()
    run_day(tables, Days(FIRST_DAY, ANALYSIS_DAY - timedelta(days=1)))
    run_day(tables, Days(ANALYSIS_DAY, ANALYSIS_DAY))
    run_experiments(tables, Days(ANALYSIS_DAY, ANALYSIS_DAY))
    return tables
