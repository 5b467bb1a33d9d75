"""Simulate a streaming service: landing files of events, exposures and profiles, and the truth beside them.

The simulated days are replaced whole: a run with the same options leaves the same rows.
"""

import json
import logging
import shutil
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pyspark.sql import DataFrame, Observation, Row, SparkSession
from pyspark.sql import functions as F

from jobs.arguments import job_parser, parse_day, run
from jobs.session import spark_session
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project, load_project
from metrics.errors import InputError
from metrics.simulation.delivery import delivered
from metrics.simulation.events import events
from metrics.simulation.exposures import assigned, exposure_log, participants, visits
from metrics.simulation.landing import (
    as_columns,
    as_lines,
    by_day,
    by_hour,
    raw_events,
    raw_exposures,
    raw_profiles,
)
from metrics.simulation.population import profiles, snapshots
from metrics.simulation.settings import Effects, Faults, Settings, epoch_day
from metrics.simulation.truth import potential_windows, rolled_lives, truth

log = logging.getLogger("watchlift.simulate_service")
_FAULT_OPTIONS = ("duplicates", "late", "broken", "null_keys", "clock_skew", "crossovers", "bots")
_TRUTH_KEY = ("analysis_day", "metric", "segment", "segment_value", "arm")
_FILE_OPTIONS = {
    "zlib.compress.level": "BEST_SPEED",
    "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    # Without checksum files beside them, local files cost half as many `chmod` processes: a third of the time.
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
_EVENTS_PER_TASK = 250_000
_TRUTHS_AT_ONCE = 2  # each holds the windows of a day


def main(argv: Sequence[str] | None = None) -> int:
    return run(work, argv)


def work(argv: Sequence[str]) -> None:
    options = _options(argv)
    project = load_project(options.conf_dir, options.data_dir)
    experiment = _experiment(project, options.experiment)
    settings = _settings(options, experiment)
    with spark_session("simulate_service") as spark:
        simulate(spark, project, experiment, settings, options.format, options.truth_days)


def simulate(
    spark: SparkSession,
    project: Project,
    experiment: Experiment,
    settings: Settings,
    file_format: str = "json",
    truth_days: int = 1,
) -> None:
    """Write one simulation: landing files of every day, and the truth of the last `truth_days` days."""
    landing = Landing(project.data_dir / "landing", file_format, settings)
    tasks = max(spark.sparkContext.defaultParallelism * 2, round(settings.expected_events / _EVENTS_PER_TASK))
    population = profiles(spark.range(0, settings.profiles + settings.bots, 1, tasks), settings)
    assignments = assigned(population, experiment, settings)
    visited = visits(assignments, experiment, settings).persist()
    joined = participants(assignments, visited, experiment, settings)
    joined = joined.repartition(tasks, "profile_id").persist()
    exposures = exposure_log(joined, visited, experiment, settings).persist()

    happened = events(joined, settings, "arm", experiment.control, epoch_day(settings.first_day))
    landed = {
        "events": raw_events(by_hour(delivered(happened, settings), settings, tasks)),
        "exposures": raw_exposures(exposures.repartition(settings.days, "day")),
        "profiles": raw_profiles(by_day(snapshots(joined, settings), settings)),
    }
    # Beside each other: one file per hour and day is mostly waiting.
    with ThreadPoolExecutor(len(landed)) as pool:
        list(pool.map(landing.write, landed.keys(), landed.values()))
    if truth_days:
        rolled = rolled_lives(joined, exposures, experiment, project.catalogue, settings).persist()
        days = [settings.last_day - timedelta(days=n) for n in reversed(range(truth_days))]
        windows = [potential_windows(rolled, exposures, experiment, project.catalogue, day) for day in days]
        _write_truth(project, experiment, windows)
        rolled.unpersist()
    for frame in (exposures, joined, visited):
        frame.unpersist()


@dataclass(frozen=True)
class Landing:
    """The landing folders of a simulation, by kind of file."""

    root: Path
    file_format: str
    settings: Settings

    def write(self, kind: str, raw: DataFrame) -> None:
        """Replace the simulated days of one kind by `raw`: ingest_day, hour (but for profiles), fields, damage."""
        started, counted = time.monotonic(), Observation()
        folder = self.root / kind
        for n in range(self.settings.days):
            shutil.rmtree(self._day_folder(folder, n), ignore_errors=True)
        by: list[str] = [name for name in ("ingest_day", "hour") if name in raw.columns]
        self._save(raw.observe(counted, F.count(F.lit(1)).alias("rows")), folder, by)
        for n in range(self.settings.days):
            _name_json(self._day_folder(folder, n))
        rows, seconds = counted.get["rows"], time.monotonic() - started
        span = f"{self.settings.first_day} to {self.settings.last_day}"
        log.info("%s: %s rows landed for %s in %.1f s", kind, f"{rows:,}", span, seconds)

    def _day_folder(self, folder: Path, n: int) -> Path:
        return folder / f"ingest_day={self.settings.first_day + timedelta(days=n)}"

    def _save(self, raw: DataFrame, folder: Path, by: list[str]) -> None:
        is_json = self.file_format == "json"
        options = {**_FILE_OPTIONS, "compression": "gzip" if is_json else "zstd"}
        rows = as_lines(raw) if is_json else as_columns(raw)
        writer = rows.write.partitionBy(by).mode("append").options(**options)
        writer.format("text" if is_json else "parquet").save(str(folder))


def _name_json(day_folder: Path) -> None:
    """Text files are JSON lines here, and say so."""
    for path in list(day_folder.rglob("*.txt.gz")):
        path.rename(path.with_name(path.name.replace(".txt.gz", ".json.gz")))


def _write_truth(project: Project, experiment: Experiment, windows: Sequence[DataFrame]) -> None:
    """One file per experiment; the windows of each analysis day are used twice, for the cuts and for the means."""
    started, path = time.monotonic(), project.data_dir / "truth" / f"{experiment.id}.json"

    def true_rows(day: DataFrame) -> list[Row]:
        found = truth(day.persist(), experiment, project.catalogue).collect()
        day.unpersist()
        return found

    with ThreadPoolExecutor(_TRUTHS_AT_ONCE) as pool:
        rows = [_plain(row.asDict()) for day in pool.map(true_rows, windows) for row in day]
    rows.sort(key=lambda row: [str(row[name]) for name in _TRUTH_KEY])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    log.info("truth: %d rows in %.1f s: %s", len(rows), time.monotonic() - started, path)


def _plain(row: dict[str, object]) -> dict[str, object]:
    """Dates as text; numbers to 12 digits, so that they do not depend on the order of a sum."""
    return {
        name: float(f"{value:.12g}")
        if isinstance(value, float)
        else str(value)
        if name == "analysis_day"
        else value
        for name, value in row.items()
    }


def _experiment(project: Project, experiment_id: str | None) -> Experiment:
    if experiment_id:
        return project.experiment(experiment_id)
    if not project.experiments:
        raise InputError(f"no experiment in {project.conf_dir}/experiments; add one to simulate it")
    return project.experiments[0]


def _options(argv: Sequence[str]) -> Namespace:
    parser = job_parser(__doc__)
    parser.add_argument("--profiles", type=int, default=20_000, help="how many profiles (default 20000)")
    parser.add_argument(
        "--from", dest="first", type=parse_day, help="first day (default: 14 days before the start)"
    )
    parser.add_argument("--days", type=int, default=28, help="how many days (default 28)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--format", choices=("json", "parquet"), default="json", help="gzip JSON lines, or Parquet"
    )
    parser.add_argument("--experiment", help="id of the experiment (default: the first in conf)")
    parser.add_argument(
        "--exposed-share", type=float, help="share of the layer (default: the last rollout stage)"
    )
    parser.add_argument("--effect", type=float, default=Effects.lift, help="relative lift in play attempts")
    parser.add_argument(
        "--effect-new", type=float, default=Effects.new_lift, help="the same, under 30 days' tenure"
    )
    parser.add_argument(
        "--harm", type=_harm, action="append", default=[], metavar="METRIC=ABS", help="raise a rate"
    )
    parser.add_argument(
        "--sessions-per-day", type=float, default=Settings.sessions_per_day, help="of a mean profile"
    )
    parser.add_argument(
        "--truth-days", type=int, default=1, help="last days to write the truth of; 0 for none"
    )
    for name in _FAULT_OPTIONS:
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--srm-device", help="device whose exposures get lost on one side")
    parser.add_argument("--srm-share", type=float, default=Faults.srm_share, help="the control's share there")
    return parser.parse_args(argv)


def _harm(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ArgumentTypeError(f"harm '{text}' is not METRIC=NUMBER; write crash_rate=0.002") from None


def _settings(options: Namespace, experiment: Experiment) -> Settings:
    if not 0 <= options.truth_days <= options.days:
        raise InputError(
            f"--truth-days is {options.truth_days}; give 0 to {options.days}, the days simulated"
        )
    faults = {name: getattr(options, name) for name in _FAULT_OPTIONS}
    return Settings(
        profiles=options.profiles,
        first_day=options.first or experiment.first_covariate_day,
        days=options.days,
        seed=options.seed,
        exposed_share=options.exposed_share or experiment.stages[-1],
        sessions_per_day=options.sessions_per_day,
        effects=Effects(options.effect, options.effect_new, dict(options.harm)),
        faults=Faults(**faults, srm_device=options.srm_device, srm_share=options.srm_share),
    )


if __name__ == "__main__":
    raise SystemExit(main())
