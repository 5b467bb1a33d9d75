"""Do the arms of its housemates change what a profile does? What randomization by profile leaves out, if they do.

The arm of a profile's housemates is drawn independently of its own, so among profiles of one arm with equally many
housemates, those with one in treatment are compared with those with none: by `ols` with a dummy for each (own arm,
number of housemates), the experiment's covariates and errors clustered by household. The difference between arms
holds none of this; a launch to everybody brings it on top.

Taken for granted: who of a household is exposed, and when, is not for the arms to change. Housemates who came during
the window had less of it to act in, so the effect of one who was there from the start is larger than what is found.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import STANDING_SEGMENT, Covariates, Experiment
from metrics.rows import Estimate, SpilloverRow, row_of
from metrics.statistics.analysis import estimate
from metrics.statistics.layout import ALL
from metrics.statistics.multiplicity import adjust
from metrics.statistics.questions import estimators_of

# Rows of larger households (shared accounts, hotels) would take a dummy for each of many sizes.
MOST_HOUSEMATES = 7
_PLACE = "own_arm_and_housemates"
_ESTIMATOR = "ols"


def estimate_spillover(
    windows: DataFrame, experiment: Experiment, catalogue: Catalogue, analysis_day: date
) -> tuple[SpilloverRow, ...]:
    """A row for each primary metric with a mean and each treatment arm; runs Spark actions.

    windows: this experiment's, epoch's and day's rows of profile_windows. Nothing where profiles are not what was
    randomized. Housemates are those exposed before the metric's window ends, crossovers left out; whose housemates are
    in several treatment arms, or more than MOST_HOUSEMATES, is left out. P-values are adjusted by Holm over all rows.
    """
    design = _design(experiment)
    by_window: dict[int | None, list[str]] = {}
    for name in design.primary if experiment.randomized_by == "unit" else ():
        metric = catalogue.metrics[name]
        if _ESTIMATOR in estimators_of(metric, design, ALL):
            by_window.setdefault(metric.window, []).append(name)
    if not by_window:
        return ()
    counts = _household_counts(windows, experiment)
    found: list[Estimate] = []
    for days, names in by_window.items():
        rows = with_housemates(windows, experiment, days).drop(STANDING_SEGMENT)
        asked = replace(design, primary=tuple(names))
        found += estimate(
            rows, asked, catalogue, analysis_day, experiment.epoch, only=(_ESTIMATOR,)
        ).estimates
    adjusted = iter(adjust("holm", [each.p_value for each in found if each.p_value is not None]))
    return tuple(
        row_of(
            SpilloverRow,
            {
                **vars(each),
                **counts,
                "adjusted_p_value": None if each.p_value is None else next(adjusted),
            },
        )
        for each in found
    )


def with_housemates(windows: DataFrame, experiment: Experiment, days: int | None) -> DataFrame:
    """Rows of profiles with housemates in the experiment: `arm` is that of the housemates, beside the place of the row.

    Housemates count who were exposed less than so many days after the profile; None: at any time. Their arm is the
    control where all of them are in it, a treatment arm where that is the only other one.
    """
    household = Window.partitionBy("household_id")
    if days is not None:
        exposure_day = F.unix_date(F.to_date("exposed_at"))
        household = household.orderBy(exposure_day).rangeBetween(Window.unboundedPreceding, days - 1)
    others = {
        arm: F.count_if(_is(arm)).over(household) - F.when(_is(arm), 1).otherwise(0)
        for arm in experiment.arms
    }
    n_others = reduce(add, others.values())
    place = F.concat_ws("|", F.col("arm"), F.col("_n_others").cast("string"))
    return (
        windows.withColumns({"_arm_of_others": _arm_of(others), "_n_others": n_others})
        .where(F.col("_arm_of_others").isNotNull() & F.col("_n_others").between(1, MOST_HOUSEMATES))
        .withColumns({_PLACE: place, "arm": F.col("_arm_of_others")})
        .drop("_arm_of_others", "_n_others")
    )


def _arm_of(others: Mapping[str, Column]) -> Column:
    """From how many of the others are in each arm; null where they are in several treatment arms."""
    control, *treatments = others
    seen = F.array_compact(F.array(*(F.when(others[arm] > 0, F.lit(arm)) for arm in treatments)))
    return F.when(F.size(seen) == 0, F.lit(control)).when(F.size(seen) == 1, F.get(seen, F.lit(0)))


def _design(experiment: Experiment) -> Experiment:
    """The experiment on its housemates' arms: primaries only, everybody together, the place among the covariates."""
    own = experiment.covariates or Covariates(0, (), ())
    return replace(
        experiment,
        secondary=(),
        guardrails={},
        strata=(),
        segments=(),
        covariates=replace(own, attributes=(*own.attributes, _PLACE)),
    )


def _household_counts(windows: DataFrame, experiment: Experiment) -> Mapping[str, int]:
    """Of households with two profiles or more: how many, and how many of those hold different arms."""
    households = (
        windows.where(F.col("arm").isin(*experiment.arms))
        .groupBy("household_id")
        .agg(F.count(F.lit(1)).alias("n"), (F.min("arm") != F.max("arm")).alias("is_mixed"))
    )
    counted = households.agg(
        F.count_if(F.col("n") > 1).alias("n_shared_households"),
        F.count_if("is_mixed").alias("n_mixed_households"),
    )
    return counted.collect()[0].asDict()


def _is(arm: str) -> Column:
    return F.col("arm") == arm
