"""What the treatment truly did: every analysed profile lives once in every arm, with the same draws.

These lives go through the product's own roll-up and windows; the means of the potential outcomes over all analysed
profiles, whatever their own arm, are the truth that estimates should cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Experiment
from metrics.errors import InputError
from metrics.rollup.exposures import first_exposures
from metrics.rollup.profile_days import exposure_day_measures, profile_days
from metrics.rollup.profile_windows import profile_windows
from metrics.simulation.draws import named
from metrics.simulation.events import canonical, events
from metrics.simulation.settings import Settings, epoch_day

# A session can last into the second day after its start.
_LONGEST_SESSION_DAYS = 2
# ceil(n p) with R's allowance for rounding: 0.995 * 200 counts as exactly 199.
_FUZZ = 4 * 2.0**-52


@dataclass(frozen=True)
class RolledLives:
    """Columns as in profile_days and exposure_day_measures, but profile_id is a life: profile × number of arms +
    position of the arm."""

    days: DataFrame
    exposure_days: DataFrame

    def persist(self) -> "RolledLives":
        return RolledLives(self.days.persist(), self.exposure_days.persist())

    def unpersist(self) -> None:
        self.days.unpersist()
        self.exposure_days.unpersist()


def rolled_lives(
    joined: DataFrame, log: DataFrame, experiment: Experiment, catalogue: Catalogue, settings: Settings
) -> RolledLives:
    """The roll-up of every exposed profile's life in every arm, from the experiment's start on.

    `joined` is what `participants` returns, `log` what `exposure_log` returns.
    """
    analysed = joined.where(F.col("exposed_ms").isNotNull() & F.col("is_logged") & ~F.col("is_bot"))
    arms = F.array(*(F.lit(arm) for arm in experiment.arms))
    lives = analysed.select("*", F.posexplode(arms).alias("position", "life_arm"))
    start = max(epoch_day(experiment.start) - _LONGEST_SESSION_DAYS, epoch_day(settings.first_day))
    lived = events(lives, settings, "life_arm", experiment.control, start, carried=["position"])
    as_units = canonical(lived, "position").withColumn("profile_id", _life(experiment)).drop("position")
    first = _first_exposures(log, experiment, settings.last_day)
    return RolledLives(profile_days(as_units, catalogue), exposure_day_measures(as_units, first, catalogue))


def potential_windows(
    rolled: RolledLives, log: DataFrame, experiment: Experiment, catalogue: Catalogue, analysis_day: date
) -> DataFrame:
    """`profile_windows` of every analysed profile in every arm: `arm` is its own, `life_arm` the one it lived in."""
    first = _first_exposures(log, experiment, analysis_day)
    windows = profile_windows(first, rolled.days, rolled.exposure_days, experiment, catalogue, analysis_day)
    n_arms = len(experiment.arms)
    position = F.pmod("profile_id", F.lit(n_arms)).cast("int")
    return windows.withColumns(
        {"profile_id": F.floor(F.col("profile_id") / n_arms), "life_arm": named(experiment.arms, position)}
    )


def truth(windows: DataFrame, experiment: Experiment, catalogue: Catalogue) -> DataFrame:
    """One row per metric, segment level and treatment arm, `all` included (its segment_value is 'all').

    `windows` is what `potential_windows` returns. Columns: experiment_id, analysis_day, metric, segment,
    segment_value, arm, control_mean, arm_mean, effect, relative_effect, n_profiles. Means are over all analysed
    profiles that have matured for the metric; null where there are none. Winsorized metrics are cut at the quantile
    of the factual outcomes of all arms. Quantiles of events are left out.
    """
    metrics = [metric for metric in experiment.metrics(catalogue) if not metric.of_events]
    if not metrics:
        raise InputError(f"experiment '{experiment.id}' has no metric of known truth; pass --truth-days 0")
    means = _means(_cut(windows, metrics), experiment, metrics)
    is_control = F.col("life_arm") == experiment.control
    arm = F.struct(F.col("life_arm").alias("arm"), F.col("mean").alias("arm_mean"), "n_profiles")
    treated = F.when(~is_control, arm)
    cells = means.groupBy("experiment_id", "analysis_day", "metric", "segment", "segment_value").agg(
        F.max(F.when(is_control, F.col("mean"))).alias("control_mean"), F.collect_list(treated).alias("_arms")
    )
    compared = cells.select("*", F.explode("_arms").alias("_arm")).select("*", "_arm.*")
    effect = F.col("arm_mean") - F.col("control_mean")
    return compared.select(
        "experiment_id",
        "analysis_day",
        "metric",
        "segment",
        "segment_value",
        "arm",
        "control_mean",
        "arm_mean",
        effect.alias("effect"),
        F.try_divide(effect, F.col("control_mean")).alias("relative_effect"),
        "n_profiles",
    )


def _first_exposures(log: DataFrame, experiment: Experiment, last_day: date) -> DataFrame:
    """The analysed exposures, once for every life."""
    seen = log.where((F.col("day") <= F.lit(last_day)) & ~F.col("is_bot")).drop("is_bot")
    positions = F.sequence(F.lit(0), F.lit(len(experiment.arms) - 1))
    first = first_exposures(seen, [experiment]).select("*", F.explode(positions).alias("position"))
    return first.withColumn("profile_id", _life(experiment)).drop("position")


def _life(experiment: Experiment) -> Column:
    return F.col("profile_id") * len(experiment.arms) + F.col("position")


def _cut(windows: DataFrame, metrics: Sequence[Metric]) -> DataFrame:
    """Winsorized outcomes cut at their factual quantile: exact, inverse CDF (Hyndman–Fan type 1)."""
    winsorized = {
        name: metric.winsorize for metric in metrics if metric.winsorize for name in metric.outcome_columns
    }
    if not winsorized:
        return windows
    thresholds = [
        F.expr(f"percentile_disc({p * (1 - _FUZZ)!r}D) WITHIN GROUP (ORDER BY {name})").alias(f"_{p}_{name}")
        for name, quantiles in winsorized.items()
        for p in quantiles
    ]
    caps = windows.where(F.col("life_arm") == F.col("arm")).agg(*thresholds)
    cut = {}
    for name, quantiles in winsorized.items():
        value = F.least(name, F.col(f"`_{quantiles[-1]}_{name}`"))
        if len(quantiles) > 1:
            value = F.greatest(value, F.col(f"`_{quantiles[0]}_{name}`"))
        # `least` skips nulls, but an outcome that has not matured stays null.
        cut[name] = F.when(F.col(name).isNotNull(), value)
    return windows.crossJoin(F.broadcast(caps)).withColumns(cut)


def _means(windows: DataFrame, experiment: Experiment, metrics: Sequence[Metric]) -> DataFrame:
    """experiment_id, analysis_day, life_arm, segment, segment_value, metric, mean, n_profiles."""
    levels = [
        _level("all", F.lit("all")),
        *(_level(name, F.col(name)) for name in experiment.standing_segments),
    ]
    placed = windows.select("*", F.explode(F.array(*levels)).alias("_level")).select("*", "_level.*")
    cell = ("experiment_id", "analysis_day", "life_arm", "segment", "segment_value")
    means = placed.groupBy(*cell).agg(F.array(*(_mean(metric) for metric in metrics)).alias("_means"))
    return means.select(*cell, F.explode("_means").alias("_mean")).select(*cell, "_mean.*")


def _level(segment: str, value: Column) -> Column:
    return F.struct(F.lit(segment).alias("segment"), value.alias("segment_value"))


def _mean(metric: Metric) -> Column:
    numerator, denominator = metric.outcome_columns[0], metric.outcome_columns[-1]
    n_profiles = F.count(numerator)
    divisor = F.sum(denominator) if metric.kind == "ratio" else n_profiles
    value = F.try_divide(F.sum(numerator), divisor)
    if metric.quantile is not None:
        value = F.expr(f"percentile_disc({metric.quantile!r}D) WITHIN GROUP (ORDER BY {numerator})")
    return F.struct(
        F.lit(metric.name).alias("metric"),
        value.alias("mean"),
        n_profiles.alias("n_profiles"),
    )
