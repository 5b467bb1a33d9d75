"""Totals of a day that two layers must agree on: measures over all of a day's events and over its profiles."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.sql import adds_up


def additive(catalogue: Catalogue) -> tuple[str, ...]:
    """The measures whose values over profiles add up to the value over all events."""
    measures = catalogue.measures
    return tuple(n for n in catalogue.numbers if measures[n].kind == "sum" and adds_up(measures[n].sql))


def event_totals(events: DataFrame, catalogue: Catalogue) -> DataFrame:
    """Each additive measure over all of a day's events; one row per day. One scan without a shuffle of rows."""
    totals = {name: F.expr(catalogue.measures[name].sql).cast("double") for name in additive(catalogue)}
    return _by_day(events, {name: F.coalesce(total, F.lit(0.0)) for name, total in totals.items()})


def profile_totals(profile_days: DataFrame, catalogue: Catalogue) -> DataFrame:
    """The same over a day's profiles; null where one of them does not know the measure."""
    names: Sequence[str] = additive(catalogue)
    unknown = {name: F.count_if(F.col(name).isNull()) > 0 for name in names}
    return _by_day(profile_days, {name: F.when(~unknown[name], F.sum(name)) for name in names})


def _by_day(frame: DataFrame, totals: Mapping[str, Column]) -> DataFrame:
    return frame.groupBy("day").agg(
        F.count(F.lit(1)).alias("_rows"), *(total.alias(name) for name, total in totals.items())
    )
