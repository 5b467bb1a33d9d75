"""What a start costs: a small job over tables that are there, and the analysis of a file from the shell (P6).

    python -m benchmarks.starts --rows 100000

The job is ingest_profiles over a thousand profiles, a spark-submit with what the daily run gives it, beside one with
nothing but the master: no archive of classes, no properties file. The file has one row a unit, two metrics, a covariate
and clusters; beside it a Python of its own reads it by pandas and fits one regression with clustered errors.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measuring import (
    Aim,
    Measured,
    Seconds,
    benchmark_parser,
    compared,
    kept_folder,
    processor_seconds,
    publish,
    timed,
)
from jobs.session import spark_session
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT, Settings, environment, take_over
from scripts.submit import command_of

PROFILES = 1_000
_PR_SET_CHILD_SUBREAPER = 36  # of Linux' prctl
SPECIFICATION = """\
id: starts
source:
  path: units.csv
  unit: unit
  cluster: household
  arm: arm
  columns:
    spend: {kind: mean, winsorize: 0.995, covariates: [before]}
    kept: {kind: proportion}
arms: {control: 0.5, treatment: 0.5}
"""
REGRESSION = """\
import sys, pandas, statsmodels.formula.api as formulas
units = pandas.read_csv(sys.argv[1])
fit = formulas.ols("spend ~ arm + before", units).fit(cov_type="cluster", cov_kwds={"groups": units["household"]})
assert fit.params["arm[T.treatment]"] > 0
"""


def small_job(settings: Settings, rounds: int) -> Measured:
    day = _landed(settings)
    arguments = ["--day", day]
    own = command_of(settings, "ingest_profiles", arguments, settings.properties_file)
    bare = [part for part in own if part not in ("--properties-file", str(settings.properties_file))]
    plain = {name: value for name, value in environment(settings).items() if name != "SPARK_SUBMIT_OPTS"}
    return compared(
        f"spark-submit of ingest_profiles, {PROFILES:,} profiles",
        lambda: timed(lambda: _run(own, environment(settings, quick_start=True))),
        "the same job without settings",
        lambda: timed(lambda: _run(bare, plain)),
        rounds,
        [Aim("P6", "wall_seconds", 10)],
    )


def _landed(settings: Settings) -> str:
    """Land a day of profiles and load it; the day."""
    project = load_project(ROOT / "conf", settings.data_dir)
    service = Service(PROFILES, project.experiments[0].start, days=1, exposed_share=1.0)
    with spark_session("starts") as spark:
        tables = Tables(spark, project)
        tables.create()
        simulate(spark, project, project.experiments[0], service, file_format="json", truth_days=0)
    return str(service.first_day)


def analysis(folder: Path, rows: int, rounds: int) -> Measured:
    units, specification = folder / "units.csv", folder / "starts.yml"
    made_units(rows).to_csv(units, index=False)
    specification.write_text(SPECIFICATION, encoding="utf-8")
    watchlift = [
        str(Path(sys.executable).with_name("watchlift")),
        "analyze",
        str(specification),
        "--format",
        "json",
    ]
    return compared(
        f"watchlift analyze, {rows:,} rows of CSV",
        lambda: _timed_to_the_last(watchlift),
        "pandas and one clustered regression by statsmodels",
        lambda: timed(lambda: _run([sys.executable, "-c", REGRESSION, str(units)], os.environ)),
        rounds,
        [Aim("P6", "wall_seconds", 12)],
    )


def _timed_to_the_last(command: Sequence[str]) -> Seconds:
    """Wall seconds of the command; processor seconds also of what outlives it: the Java that nobody waits for."""
    # Orphans become children of this process, which has no others now, and their seconds its own.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = processor_seconds()
    _, wall = timed(lambda: _run(command, os.environ))
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return processor_seconds() - before, wall


def made_units(rows: int) -> pd.DataFrame:
    """One row a unit, in households of two in the mean, with a small effect."""
    random = np.random.default_rng(7)
    treated, habit = random.random(rows) < 0.5, random.gamma(2.0, 1.0, rows)
    return pd.DataFrame(
        {
            "unit": np.arange(rows),
            "household": random.integers(0, rows // 2 + 1, rows),
            "arm": np.where(treated, "treatment", "control"),
            "spend": np.round(habit * random.gamma(2.0, 1.0, rows) + 0.2 * treated, 2),
            "before": np.round(habit * random.gamma(2.0, 1.0, rows), 2),
            "kept": (random.random(rows) < 0.4).astype(int),
        }
    )


def _run(command: Sequence[str], variables: Mapping[str, str]) -> None:
    subprocess.run(command, env=dict(variables), check=True, capture_output=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("What a start costs.")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args(argv)
    settings = Settings(kept_folder(options.folder))
    measured = [analysis(settings.data_dir, options.rows, options.rounds)]
    take_over(settings)
    measured.append(small_job(settings, options.rounds))
    publish(measured, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
