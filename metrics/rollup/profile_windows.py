"""One row per analysed profile: outcomes over each metric's window and pre-period covariates (DESIGN §4)."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics import histogram
from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Covariates, Experiment
from metrics.rollup.exposures import without_crossovers
from metrics.schemas import declared_tables
from metrics.statistics.layout import bins_of, stratum_of

# Days relative to the exposure day: 0 is that day from the exposure on, negative days lie before it.
_OFFSET = "_offset"


def profile_windows(
    first: DataFrame,
    profile_days: DataFrame,
    exposure_day_measures: DataFrame,
    experiment: Experiment,
    catalogue: Catalogue,
    analysis_day: date,
) -> DataFrame:
    """Rows of table profile_windows for one experiment and analysis day; crossovers are left out.

    A window's outcome is null until it has matured, or where a day in it lacks the measure (rolled up before the
    measure was in the catalogue): unknown is never zero.
    """
    analysed = without_crossovers(first.where(F.col("experiment_id") == experiment.id))
    measured = _by_offset(analysed, profile_days, exposure_day_measures, experiment, catalogue, analysis_day)
    sums = _window_sums(experiment, catalogue)
    # A sum of doubles depends on their order in its last digit, and a second run must give the same table.
    in_order = measured.repartition("profile_id").sortWithinPartitions("profile_id", _OFFSET)
    per_profile = in_order.groupBy("profile_id").agg(
        F.lit(True).alias("_active"), *(total.alias(name) for name, total in sums.items())
    )
    # A profile without a single row did nothing: its sums are true zeros.
    inactive = F.col("_active").isNull()
    completed = {name: F.when(inactive, F.lit(0.0)).otherwise(F.col(name)) for name in sums}
    joined = analysed.join(per_profile, "profile_id", how="left").withColumns(completed)
    of_events = [metric for metric in experiment.metrics(catalogue) if metric.of_events]
    if of_events:
        joined = _with_histograms(joined, measured, of_events)
    return _finished(joined, experiment, catalogue, analysis_day)


def _by_offset(
    analysed: DataFrame,
    profile_days: DataFrame,
    exposure_day_measures: DataFrame,
    experiment: Experiment,
    catalogue: Catalogue,
    analysis_day: date,
) -> DataFrame:
    """The analysed profiles' measures by day relative to exposure, day 0 from the exposure-day table."""
    measures = sorted(_measures(experiment, catalogue))
    exposure_days = analysed.select("profile_id", "exposure_day")
    in_reach = F.col("day").between(F.lit(experiment.first_covariate_day), F.lit(analysis_day))
    whole_days = profile_days.where(in_reach).select("day", "profile_id", *measures)
    first_days = exposure_day_measures.where(in_reach & (F.col("experiment_id") == experiment.id))
    offset = F.date_diff("day", "exposure_day").alias(_OFFSET)
    around = whole_days.join(exposure_days, "profile_id", how="inner").where(
        F.col("day") != F.col("exposure_day")
    )
    at_exposure = first_days.join(exposure_days, "profile_id", how="inner").where(
        F.col("day") == F.col("exposure_day")
    )
    return around.select("profile_id", offset, *measures).unionByName(
        at_exposure.select("profile_id", offset, *measures)
    )


def _with_histograms(profiles: DataFrame, measured: DataFrame, metrics: Sequence[Metric]) -> DataFrame:
    """The metrics' histograms over their windows, where `profiles` holds whether their events are all known."""
    inside = {bins_of(metric): F.when(_in_window(metric), F.col(metric.measures[0])) for metric in metrics}
    joined = profiles.join(histogram.added_up(measured, ["profile_id"], inside), "profile_id", how="left")
    complete = {m.name: F.coalesce(bins_of(m), histogram.empty()) for m in metrics}
    known = {name: F.when(F.col(name).isNotNull(), bins) for name, bins in complete.items()}
    return joined.withColumns(known)


def _measures(experiment: Experiment, catalogue: Catalogue) -> set[str]:
    outcomes = {name for metric in experiment.metrics(catalogue) for name in metric.measures}
    return outcomes | set(experiment.covariates.measures if experiment.covariates else ())


def _window_sums(experiment: Experiment, catalogue: Catalogue) -> dict[str, Column]:
    """Each outcome and covariate column of the experiment as an aggregate over `_by_offset` rows."""
    sums: dict[str, Column] = {}
    for metric in experiment.metrics(catalogue):
        for column, measure in zip(metric.outcome_columns, metric.measures, strict=True):
            sums[column] = _over(measure, catalogue, _in_window(metric))
    if experiment.covariates:
        before = (F.col(_OFFSET) < 0) & (F.col(_OFFSET) >= -experiment.covariates.days)
        for measure in experiment.covariates.measures:
            sums[f"pre_{measure}"] = _over(measure, catalogue, before)
    return sums


def _in_window(metric: Metric) -> Column:
    """The days that a metric looks at, by their offset from the exposure day."""
    offset = F.col(_OFFSET)
    if metric.day is not None:
        return offset == metric.day
    return (offset >= 0) if metric.window is None else (offset >= 0) & (offset < metric.window)


def _over(measure: str, catalogue: Catalogue, inside: Column) -> Column:
    """Sum (kind any: maximum) of a measure over the rows inside; null if one of them does not know it.

    A histogram has no sum here: 0 says that all its days are known.
    """
    kind = catalogue.measures[measure].kind
    value = F.when(inside, F.lit(0.0) if kind == "histogram" else F.col(measure))
    total = F.max(value) if kind == "any" else F.sum(value)
    unknown = F.count_if(inside & F.col(measure).isNull()) > 0
    return F.when(unknown, F.lit(None)).otherwise(F.coalesce(total, F.lit(0.0)))


def _finished(
    joined: DataFrame, experiment: Experiment, catalogue: Catalogue, analysis_day: date
) -> DataFrame:
    table = declared_tables(catalogue)["profile_windows"]
    computed = {
        "analysis_day": F.lit(analysis_day),
        **_matured(experiment, catalogue, analysis_day),
        **_known_covariates(experiment.covariates),
    }
    present = joined.withColumns(computed).withColumn(
        "stratum", stratum_of([F.col(name) for name in experiment.strata])
    )
    absent = [name for name in table.columns if name not in present.columns]
    return table.conform(present.withColumns(table.empty_columns(*absent)) if absent else present)


def _matured(experiment: Experiment, catalogue: Catalogue, analysis_day: date) -> dict[str, Column]:
    return {
        column: F.when(_is_mature(metric, analysis_day), F.col(column))
        for metric in experiment.metrics(catalogue)
        for column in metric.outcome_columns
    }


def _is_mature(metric: Metric, analysis_day: date) -> Column:
    """A w-day window has matured iff exposure_day + w - 1 <= analysis_day."""
    return F.date_add("exposure_day", (metric.window or 1) - 1) <= F.lit(analysis_day)


def _known_covariates(covariates: Covariates | None) -> dict[str, Column]:
    """Pre-period sums are missing for profiles that had not signed up before the period, or whose tenure is unknown."""
    if covariates is None:
        return {}
    known = F.col("tenure_days") >= covariates.days
    return {f"pre_{name}": F.when(known, F.col(f"pre_{name}")) for name in covariates.measures}
