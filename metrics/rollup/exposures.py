"""Exposures: row rules, and each profile's first one in an experiment (DESIGN §4)."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.experiment import (
    NEW_PROFILE_DAYS,
    SEGMENT_COLUMNS,
    STANDING_SEGMENT,
    TENURE_BANDS,
    Experiment,
)
from metrics.configuration.sources import Source
from metrics.rollup.landing import canonical, judge, missing_rules, timing_rules
from metrics.schemas import EXPOSURE_COLUMNS

Span = tuple[date, date]
_AS_OF_EXPOSURE = ("exposed_at", "arm", "household_id", "device", "region", "tenure_days")


def judged_exposures(
    raw: DataFrame, source: Source, profiles: DataFrame, experiments: Sequence[Experiment]
) -> DataFrame:
    """Raw rows of a source as exposures with `day`, provenance, `broken` and `reasons`.

    Household and tenure come from the profile's row in `profiles` where the source has none.
    """
    exposures = canonical(raw, source, EXPOSURE_COLUMNS).withColumn("day", F.to_date("exposed_at"))
    known = profiles.select("profile_id", F.col("household_id").alias("_household_id"), "signup_day")
    completed = exposures.join(known, "profile_id", how="left").withColumns(
        {
            "household_id": F.coalesce("household_id", "_household_id"),
            "tenure_days": F.coalesce("tenure_days", F.date_diff("day", "signup_day")),
        }
    )
    rules = {
        **missing_rules("experiment_id", "profile_id", "household_id"),
        **timing_rules("exposed_at", source),
        "arm_unknown": ~F.coalesce(_known_arm(experiments), F.lit(False)),
    }
    return judge(completed, rules)


def one_per_key(exposures: DataFrame) -> DataFrame:
    """One row per (experiment_id, profile_id, exposed_at, arm): the smallest (ingest_day, source_file, row)."""
    key = ("experiment_id", "profile_id", "exposed_at", "arm")
    others = [name for name in exposures.columns if name not in key]
    first = F.min_by(F.struct(*others), F.struct("ingest_day", "source_file", "row")).alias("_first")
    return exposures.groupBy(*key).agg(first).select(*key, "_first.*")


def first_exposures(exposures: DataFrame, experiments: Sequence[Experiment]) -> DataFrame:
    """One row per experiment and profile, as of the first exposure in the epoch's enrolment.

    Columns experiment_id, epoch, profile_id, exposure_day, n_arms (how many arms the profile was ever seen in: more
    than one is a crossover) and exposed_at, arm, household_id, device, region, tenure_days, tenure_band of that row (a
    device or region that nobody knows is "unknown"). Pass
    exposures up to the analysis day. A profile in no experiment's enrolment has no row, nor has one that was exposed
    before its epoch (it has seen an arm of an earlier one), or whom the experiment does not target.
    """
    started = exposures.where(_started(experiments))
    enrolled = _enrolled(experiments)
    of_exposure = {name: F.col(name) for name in SEGMENT_COLUMNS}
    named = {name: F.coalesce(name, F.lit("unknown")).alias(name) for name in ("device", "region")}
    as_of = F.struct(*(named.get(name, F.col(name)) for name in _AS_OF_EXPOSURE))
    return (
        started.groupBy("experiment_id", "profile_id")
        .agg(
            F.min_by(F.when(enrolled, as_of), F.when(enrolled, F.struct("exposed_at", "arm"))).alias(
                "_first"
            ),
            F.size(F.collect_set("arm")).alias("n_arms"),
            F.min("day").alias("_since"),
        )
        .where(F.col("_first").isNotNull())
        .where(_any_of([_in(e) & (F.col("_since") >= F.lit(e.opens)) for e in experiments]))
        .select("experiment_id", "profile_id", "n_arms", "_first.*")
        .withColumns(
            {
                "exposure_day": F.to_date("exposed_at"),
                "epoch": _epoch(experiments),
                STANDING_SEGMENT: tenure_band(F.col("tenure_days")),
            }
        )
        .where(_any_of([_in(e) & targeted(e, of_exposure) for e in experiments]))
    )


def exposed_on(exposures: DataFrame, spans: Mapping[str, Span], days: Sequence[date]) -> DataFrame:
    """Profiles first exposed on one of the days: experiment_id, profile_id, exposed_at, crossovers included.

    `spans`: the first and the last day on which each experiment runs, by id. Of its first exposures in them, whether
    they lie in an enrolment or not: a restart may begin one on a day that was rolled up before. What the roll-up needs,
    at a fraction of the cost of `first_exposures`.
    """
    first = F.min("exposed_at").alias("exposed_at")
    day = F.col("day")
    inside = [(F.col("experiment_id") == id_) & day.between(*map(F.lit, span)) for id_, span in spans.items()]
    exposed = exposures.where(_any_of(inside)).groupBy("experiment_id", "profile_id").agg(first)
    return exposed.where(F.to_date("exposed_at").isin(list(days)))


def targeted(experiment: Experiment, columns: Mapping[str, Column]) -> Column:
    """Whether the experiment enrols a profile that is so; `columns` by the names of SEGMENT_COLUMNS."""
    wanted = [columns[name].isin(*values) for name, values in experiment.targeting.items()]
    return reduce(and_, wanted, F.lit(True))


def tenure_band(tenure_days: Column) -> Column:
    """One of TENURE_BANDS."""
    new, established, unknown = TENURE_BANDS
    band = F.when(tenure_days.isNull(), unknown).when(tenure_days < NEW_PROFILE_DAYS, new)
    return band.otherwise(established)


def without_crossovers(first: DataFrame) -> DataFrame:
    return first.where(F.col("n_arms") == 1)


def _started(experiments: Sequence[Experiment]) -> Column:
    return _any_of([_in(e) & (F.col("day") >= F.lit(e.start)) for e in experiments])


def _enrolled(experiments: Sequence[Experiment]) -> Column:
    """Whether an exposure lies in its experiment's enrolment."""
    day = F.col("day")
    return _any_of([_in(e) & day.between(F.lit(e.opens), F.lit(e.last_enrollment_day)) for e in experiments])


def _epoch(experiments: Sequence[Experiment]) -> Column:
    return F.coalesce(*(F.when(_in(e), F.lit(e.epoch)) for e in experiments), F.lit(0))


def _in(experiment: Experiment) -> Column:
    return F.col("experiment_id") == experiment.id


def _known_arm(experiments: Sequence[Experiment]) -> Column:
    return _any_of([_in(e) & F.col("arm").isin(*e.arms) for e in experiments])


def _any_of(conditions: Sequence[Column]) -> Column:
    return reduce(or_, conditions, F.lit(False))
