"""How much processor time the statistics take: profile rows to every estimate (P4), and the household bootstrap (P5).

    python -m benchmarks.statistics --rows 2000000 --rounds 3

Each round runs, in turn, what is measured and what it is measured against, in one Spark session that is warm after a
first round that does not count. Processor seconds are of all processes: this one, Spark's and its Python workers'.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measuring import (
    Aim,
    Measured,
    Size,
    aimed,
    benchmark_parser,
    compared,
    kept_folder,
    publish,
    timed,
)
from jobs.embedded import embedded_spark
from metrics.configuration.units import UnitExperiment, load_unit_experiment
from metrics.statistics.analysis import Analysis, estimate

COVARIATES = ("before_0", "before_1", "before_2", "before_3", "tenure", "device")
SEGMENTS = {
    "device": ("tv", "web", "mobile", "android"),
    "region": ("eu", "us", "as"),
    "band": ("new", "old"),
}
MEANS = tuple(f"mean_{i}" for i in range(8))
_POISSON_REPLICATES = 20


def specification(folder: Path, replicated: bool) -> UnitExperiment:
    """Ten metrics, one of them winsorized, six covariates and three segmentations; for the bootstrap three metrics."""
    adjusted = f"kind: mean, covariates: [{', '.join(COVARIATES)}]"
    ratios = {f"ratio_{i}": ratio_of(i) for i in (1, 3)}
    if replicated:
        few = {**dict.fromkeys(MEANS[:2], "kind: mean"), "ratio_3": ratios["ratio_3"]}
        return experiment_on(folder, "bootstrap", few)
    winsorized = f"{adjusted}, winsorize: 0.995"
    means = {**dict.fromkeys(MEANS[1:], adjusted), MEANS[0]: winsorized}
    return experiment_on(folder, "estimates", means | ratios, segments=tuple(SEGMENTS))


def ratio_of(i: int) -> str:
    """A ratio of a mean's outcome and the next one's."""
    return f"kind: ratio, numerator: mean_{i}, denominator: mean_{i + 1}"


def experiment_on(
    folder: Path,
    name: str,
    metrics: Mapping[str, str],
    cluster: str | None = "household_id",
    segments: Sequence[str] = (),
) -> UnitExperiment:
    """An experiment on the made rows: each metric with its keys; units without `cluster` are their own."""
    lines = [
        "id: benchmark",
        "source:",
        "  path: none",
        "  unit: profile_id",
        f"  cluster: {cluster}" if cluster else "",
        "  arm: arm",
        "  columns:",
        *(f"    {metric}: {{{keys}}}" for metric, keys in metrics.items()),
        "arms: {control: 0.5, treatment: 0.5}",
        f"segments: [{', '.join(segments)}]",
    ]
    path = folder / f"{name}.yml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_unit_experiment(path)


def path_of(folder: Path, rows: int) -> Path:
    return folder / f"windows-{rows}.parquet"


def made_rows(spark: SparkSession, n: int, folder: Path) -> DataFrame:
    """Rows like those of profile_windows, households of 1.67 in the mean, heavy-tailed outcomes; cached as Parquet."""
    path = path_of(folder, n)
    if not path.exists():
        base = spark.range(n).withColumn("household_id", F.floor(F.rand(1) * n * 0.9).cast("bigint"))
        habit = -F.log(1 - F.rand(2))
        values = {
            **{name: F.floor(habit * (i + 1) * -F.log(1 - F.rand(10 + i))) for i, name in enumerate(MEANS)},
            **{f"pre_before_{i}": F.floor(habit * 3 * -F.log(1 - F.rand(30 + i))) for i in range(4)},
            "pre_tenure": F.floor(F.rand(40) * 400),
        }
        texts = {name: _one_of(levels, 50 + i) for i, (name, levels) in enumerate(SEGMENTS.items())}
        rows = base.select(
            F.col("id").alias("profile_id"),
            "household_id",
            F.when(F.rand(3) < 0.5, "control").otherwise("treatment").alias("arm"),
            F.lit("all").alias("stratum"),
            *(value.cast("double").alias(name) for name, value in values.items()),
            *(value.alias(name) for name, value in texts.items()),
        )
        parts = {f"ratio_{i}_numerator": F.col(f"mean_{i}") for i in (1, 3)}
        parts |= {f"ratio_{i}_denominator": F.col(f"mean_{i + 1}") for i in (1, 3)}
        known = F.when(F.rand(60) > 0.1, F.col("pre_before_0"))
        rows.withColumns({**parts, "pre_before_0": known, "pre_device": F.col("device")}).write.parquet(
            str(path)
        )
    return spark.read.parquet(str(path))


def _one_of(levels: Sequence[str], seed: int) -> Column:
    return F.element_at(F.array(*map(F.lit, levels)), (F.floor(F.rand(seed) * len(levels)) + 1).cast("int"))


def poisson_seconds(n_households: int, columns: int, replicates: int) -> float:
    """The usual way, numpy's Poisson sampler for every household: some replicates, scaled up to all."""
    sums = np.ones((n_households, columns))
    random = np.random.default_rng(1)
    cpu, _ = timed(lambda: [random.poisson(1.0, n_households) @ sums for _ in range(_POISSON_REPLICATES)])
    return cpu * replicates / _POISSON_REPLICATES


def measure(spark: SparkSession, folder: Path, rows: int, rounds: int, replicates: int) -> list[Measured]:
    windows = made_rows(spark, rows, folder)
    whole, replicated = specification(folder, False), specification(folder, True)
    found: dict[str, Analysis] = {}

    def estimates() -> None:
        found["all"] = estimate(windows, whole.design, whole.catalogue, None)

    def bootstrap() -> None:
        found["few"] = estimate(windows, replicated.design, replicated.catalogue, None, replicates=replicates)

    def scan() -> tuple[float, float]:
        sums = [F.sum(name) for name, kind in windows.dtypes if kind == "double"]
        return timed(lambda: windows.groupBy("arm").agg(*sums).collect())

    households = windows.select("household_id").distinct().count()
    measured = [
        compared(
            f"{rows:,} profile rows to every estimate",
            lambda: timed(estimates),
            "scan and sum of the columns",
            scan,
            rounds,
            aimed(rows >= 2_000_000, Aim("P4", "cpu_seconds", 30)),
            Size(rows, "profiles"),
        ),
        compared(
            f"{replicates:,} bootstrap replicates of {households:,} households, 3 metrics, and their other estimates",
            lambda: timed(bootstrap),
            "numpy's Poisson sampler for each household",
            lambda: (poisson_seconds(households, 6, replicates), None),
            rounds,
            aimed(households >= 1_000_000 and replicates >= 10_000, Aim("P5", "cpu_seconds", 60)),
            Size(households, "households"),
        ),
    ]
    check(found["all"], found["few"])
    return measured


def check(whole: Analysis, replicated: Analysis) -> None:
    """Speed of wrong answers is worth nothing: every row is there, and the bootstrap has the closed form's spread."""
    assert {row.status for row in whole.estimates} == {"ok"}
    closed = {
        r.metric: r.std_error for r in replicated.estimates if r.estimator in ("difference_in_means", "ratio")
    }
    for row in replicated.estimates:
        if row.estimator == "bootstrap":
            print(
                f"{row.metric}: bootstrap / closed form = {(row.std_error or 0) / (closed[row.metric] or 1):.4f}"
            )


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Processor time of the statistics.")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--replicates", type=int, default=10_000)
    options = parser.parse_args(argv)
    folder = kept_folder(options.folder)
    with embedded_spark("benchmark-statistics") as spark:
        measured = measure(spark, folder, options.rows, options.rounds, options.replicates)
    publish(measured, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
