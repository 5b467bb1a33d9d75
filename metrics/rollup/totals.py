"""Totals of a day that two layers must agree on: measures over all of a day's events and over its profiles."""

import re
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue, Measure

_AGGREGATE = re.compile(r"\s*(?:count_if|count|sum)\s*(?=\()", re.IGNORECASE)
_FILTER = re.compile(r"\s*filter\s*(?=\()", re.IGNORECASE)
_SCALE = re.compile(r"\s*(?:[*/]\s*[0-9.]+\s*)?")
_DISTINCT = re.compile(r"\bdistinct\b", re.IGNORECASE)


def additive(catalogue: Catalogue) -> tuple[str, ...]:
    """The measures whose values over profiles add up to the value over all events, as far as their SQL shows it.

    One count or sum, with or without a filter and a constant factor; others (a distinct count) may not add up.
    """
    return tuple(name for name in catalogue.numbers if _adds_up(catalogue.measures[name]))


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


def _adds_up(measure: Measure) -> bool:
    """An aggregate, perhaps its filter, perhaps a number to multiply or divide by, and nothing else."""
    aggregate = _AGGREGATE.match(measure.sql)
    if measure.kind != "sum" or not aggregate or _DISTINCT.search(measure.sql):
        return False
    end = _closing(measure.sql, aggregate.end())
    filtered = _FILTER.match(measure.sql, end)
    if filtered:
        end = _closing(measure.sql, filtered.end())
    return _SCALE.fullmatch(measure.sql, end) is not None


def _closing(sql: str, opening: int) -> int:
    """The place after the parenthesis that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(sql)):
        depth += (sql[place] == "(") - (sql[place] == ")")
        if depth == 0:
            return place + 1
    return len(sql)
