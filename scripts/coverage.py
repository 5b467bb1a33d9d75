"""How often intervals cover the injected truth, over many small services: writes docs/coverage.md.

    .venv/bin/python -m scripts.coverage [--seeds 20] [--profiles 1200] [--work-dir DIR]

Each seed is a service of its own, through the same jobs' functions in one Spark session, without Airflow and audits.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binom

from jobs.arguments import Days
from jobs.build_profile_windows import build_windows
from jobs.estimate_effects import estimate_experiment
from jobs.ingest_events import ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.roll_up_profile_days import roll_up_profile_days
from jobs.session import spark_session
from jobs.simulate_service import simulate
from jobs.tables import Tables
from metrics.configuration.project import Project, load_project
from metrics.simulation.settings import Settings as Service
from scripts.environment import ROOT, Settings, take_over

DAYS = 28
# Decision estimators of the primary, for everybody and for new profiles, and of the guardrails.
SHOWN = (
    ("play_starts_7d", "cuped", "all", "all"),
    ("play_starts_7d", "cuped", "tenure_band", "new"),
    ("start_failure_rate", "ratio", "all", "all"),
    ("rebuffering_ratio", "ratio", "all", "all"),
    ("crash_rate", "ratio", "all", "all"),
)


class Interval(NamedTuple):
    """One estimate beside the effect that was injected, in the metric's unit."""

    seed: int
    metric: str
    segment_value: str
    truth: float
    effect: float
    ci_low: float
    ci_high: float

    @property
    def covers(self) -> bool:
        return self.ci_low <= self.truth <= self.ci_high


def intervals_of(tables: Tables, seed: int, profiles: int) -> Iterator[Interval]:
    """Simulate one service, load it, estimate on its last day."""
    experiment = tables.project.experiments[0]
    settings = Service(profiles, experiment.first_covariate_day, DAYS, seed, exposed_share=1.0)
    simulate(tables.spark, tables.project, experiment, settings)
    days = Days(settings.first_day, settings.last_day)
    ingest_profiles(tables, days)
    ingest_exposures(tables, days)
    ingest_events(tables, days)
    roll_up_profile_days(tables, days)
    build_windows(tables, experiment, days.last)
    estimate_experiment(tables, experiment, days.last)
    truths = _truths(tables.project, experiment.id, days.last)
    for row in tables.read("estimates").collect():
        key = (row["metric"], row["estimator"], row["segment"], row["segment_value"])
        if key in SHOWN:
            truth = truths[row["metric"], row["segment"], row["segment_value"]]
            yield Interval(seed, key[0], key[3], truth, row["effect"], row["ci_low"], row["ci_high"])


def _truths(project: Project, experiment_id: str, day: date) -> dict[tuple[str, str, str], float]:
    rows = json.loads((project.data_dir / "truth" / f"{experiment_id}.json").read_text(encoding="utf-8"))
    of_day = [row for row in rows if row["analysis_day"] == str(day)]
    return {(row["metric"], row["segment"], row["segment_value"]): row["effect"] for row in of_day}


def report(intervals: Sequence[Interval], profiles: int) -> str:
    """The page: covered of all by estimate, what chance allows, and each interval, misses marked."""
    seeds = len({interval.seed for interval in intervals})
    low, high = (int(bound) for bound in binom.interval(0.99, seeds, 0.95))
    lines = [
        "# Coverage of the injected truth",
        "",
        f"{seeds} synthetic services of {profiles:,} profiles and {DAYS} days, seeds 1 to {seeds}, fixed in advance;",
        "each through simulation, ingestion, roll-up, windows and estimates. The truth is the mean of both potential",
        "outcomes over the analysed profiles. An interval at 95% covers it in 95% of services, so of "
        f"{seeds} between {low} and {high} in 99% of such reports.",
        "",
        f"Made by `python -m scripts.coverage --seeds {seeds} --profiles {profiles}`.",
        "",
        "| metric | profiles | covered | of | as chance allows |",
        "|---|---|---|---|---|",
    ]
    for metric, _, _, value in SHOWN:
        found = [i for i in intervals if (i.metric, i.segment_value) == (metric, value)]
        covered = sum(interval.covers for interval in found)
        allowed = "yes" if low <= covered <= high else "**no**"
        lines.append(f"| {metric} | {value} | {covered} | {len(found)} | {allowed} |")
    lines += [
        "",
        "| seed | metric | profiles | truth | estimate | interval | |",
        "|---|---|---|---|---|---|---|",
    ]
    for i in intervals:
        miss = "" if i.covers else "**miss**"
        cell = f"{i.ci_low:.5g} to {i.ci_high:.5g} | {miss}"
        lines.append(
            f"| {i.seed} | {i.metric} | {i.segment_value} | {i.truth:.5g} | {i.effect:.5g} | {cell} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Coverage of the injected truth.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--profiles", type=int, default=1200)
    parser.add_argument(
        "--work-dir", type=Path, help="where the services are built (default: a temporary folder)"
    )
    options = parser.parse_args(argv)
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="watchlift-coverage-"))
    take_over(Settings(work_dir), quick_start=True)  # small services, one after the other
    intervals: list[Interval] = []
    with spark_session("coverage") as spark:
        for seed in range(1, options.seeds + 1):
            tables = Tables(spark, load_project(ROOT / "conf", work_dir / f"seed-{seed}"))
            tables.create()
            intervals += intervals_of(tables, seed, options.profiles)
            shutil.rmtree(tables.project.data_dir)
            covered = sum(interval.covers for interval in intervals)
            print(f"seed {seed}: {covered} of {len(intervals)} intervals cover so far", flush=True)
    (ROOT / "docs" / "coverage.md").write_text(report(intervals, options.profiles), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
