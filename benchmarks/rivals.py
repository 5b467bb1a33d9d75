"""What other packages for experiments can do too, beside them on the same rows (P4).

    python -m benchmarks.rivals --rows 2000000

tea-tasting asks Spark, by ibis, for means, CUPED of one covariate and ratios, of units without clusters. pyfixest reads
the rows into its own memory and fits one regression with clustered errors. Both must agree with the product before a
time is told.
"""

import math
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import ibis
import pandas as pd
import pyfixest
import tea_tasting
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measuring import Aim, Measured, aimed, benchmark_parser, compared, kept_folder, publish, timed
from benchmarks.statistics import experiment_on, made_rows, path_of, ratio_of
from jobs.embedded import embedded_spark
from metrics.configuration.units import UnitExperiment, covariate_name
from metrics.rows import Estimate
from metrics.statistics.analysis import estimate

# Effect and standard error, by metric and estimator.
Found = dict[tuple[str, str], tuple[float, float]]
# Means and the covariate of each; ratios by number of their numerator, whose denominator is the next.
MEANS, RATIOS = {f"mean_{i}": f"before_{i}" for i in (1, 2, 3)}, (1, 3)
SAME = 1e-9


def rows_for(own: UnitExperiment, spark: SparkSession, folder: Path, rows: int) -> DataFrame:
    """No other columns than the analysis asks for: all that it is given count for the version of its input."""
    metrics = own.design.metrics(own.catalogue)
    asked = [(*metric.outcome_columns, *metric.covariates) for metric in metrics]
    ids = ("profile_id", "household_id", "arm")
    return made_rows(spark, rows, folder).select(*dict.fromkeys((*ids, *chain(*asked))))


def found_by(rows: Sequence[Estimate]) -> Found:
    return {
        (row.metric, row.estimator): (row.effect, row.std_error)
        for row in rows
        if row.effect is not None and row.std_error is not None
    }


def beside_tea_tasting(spark: SparkSession, folder: Path, rows: int, rounds: int) -> Measured:
    asked = {name: f"kind: mean, covariates: [{before}]" for name, before in MEANS.items()}
    asked |= {f"ratio_{i}": ratio_of(i) for i in RATIOS}
    own = experiment_on(folder, "tea_tasting", asked, cluster=None)
    # Units without clusters: each is a household of its own.
    units = rows_for(own, spark, folder, rows).withColumn("household_id", F.col("profile_id"))
    units.createOrReplaceTempView("units")
    # What ibis would set otherwise, in a session that others use too.
    table = ibis.pyspark.connect(spark, **{"spark.sql.mapKeyDedupPolicy": "EXCEPTION"}).table("units")
    plain = {f"{name} difference_in_means": tea_tasting.Mean(name) for name in MEANS}
    adjusted = {
        f"{name} cuped": tea_tasting.Mean(name, covariate_name(before)) for name, before in MEANS.items()
    }
    ratios = {
        f"ratio_{i} ratio": tea_tasting.RatioOfMeans(f"ratio_{i}_numerator", f"ratio_{i}_denominator")
        for i in RATIOS
    }
    experiment = tea_tasting.Experiment({**plain, **adjusted, **ratios}, variant="arm")
    ours: Found = {}
    theirs: Found = {}

    def product() -> None:
        estimators = ("difference_in_means", "cuped", "ratio")
        ours.update(found_by(estimate(units, own.design, own.catalogue, None, only=estimators).estimates))

    def rival() -> None:
        for name, result in experiment.analyze(table, control="control").items():
            metric, estimator = name.split(" ")
            theirs[metric, estimator] = (result.effect_size, result.effect_size / result.statistic)

    measured = compared(
        f"{rows:,} units, three means with CUPED and two ratios",
        lambda: timed(product),
        "tea-tasting on Spark",
        lambda: timed(rival),
        rounds,
        aimed(rows >= 2_000_000, Aim("P4", "ratio", 1.0)),
    )
    spark.catalog.dropTempView("units")
    # The product's factor for a ratio's variance is G/(G-1) of all units, tea-tasting's n/(n-1) of each arm's: half as
    # many units, and under the root half the difference.
    require_same(ours, theirs, ratio_errors=0.6 / rows)
    return measured


def beside_pyfixest(spark: SparkSession, folder: Path, rows: int, rounds: int) -> Measured:
    adjusted = f"kind: mean, covariates: [{', '.join(MEANS.values())}]"
    own = experiment_on(folder, "pyfixest", {"mean_1": adjusted})
    units = rows_for(own, spark, folder, rows)
    ours: Found = {}
    theirs: Found = {}

    def product() -> None:
        ours.update(found_by(estimate(units, own.design, own.catalogue, None, only=("ols",)).estimates))

    def rival() -> None:
        names = [*map(covariate_name, MEANS.values())]
        columns = ["mean_1", "arm", "household_id", *names]
        frame = pd.read_parquet(path_of(folder, rows), columns=columns)
        frame["treated"] = (frame["arm"] == "treatment").astype(float)
        fit = pyfixest.feols(
            f"mean_1 ~ treated + {' + '.join(names)}",
            frame,
            vcov={"CRV1": "household_id"},
            copy_data=False,
            store_data=False,
        )
        theirs["mean_1", "ols"] = (fit.coef()["treated"], fit.se()["treated"])

    measured = compared(
        f"{rows:,} rows, a regression with clustered errors",
        lambda: timed(product),
        "pyfixest, in its own memory",
        lambda: timed(rival),
        rounds,
    )
    require_same(ours, theirs)
    return measured


def require_same(ours: Found, theirs: Found, ratio_errors: float = SAME) -> None:
    """Times of wrong answers are worth nothing. `ratio_errors`: how far apart standard errors of ratios may be."""
    for metric, estimator in sorted(ours.keys() | theirs.keys()):
        one, other = (found.get((metric, estimator), (math.nan, math.nan)) for found in (ours, theirs))
        errors = ratio_errors if estimator == "ratio" else SAME
        # An effect's distance is told in its error: an effect may be near 0.
        same_effect = abs(one[0] - other[0]) <= SAME * other[1]
        if not (same_effect and math.isclose(one[1], other[1], rel_tol=errors)):
            raise AssertionError(f"{metric} {estimator}: effect and error are {one}, and {other} beside it")


def measure(spark: SparkSession, folder: Path, rows: int, rounds: int) -> list[Measured]:
    return [each(spark, folder, rows, rounds) for each in (beside_tea_tasting, beside_pyfixest)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("Other packages for experiments on the same rows.")
    parser.add_argument("--rows", type=int, default=2_000_000)
    options = parser.parse_args(argv)
    folder = kept_folder(options.folder)
    with embedded_spark("benchmark-rivals") as spark:
        measured = measure(spark, folder, options.rows, options.rounds)
    publish(measured, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
