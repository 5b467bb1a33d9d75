"""What the layer below an audited table says of the same days, counted there anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from expectations.facts import Below
from expectations.reconciliation import Compared
from expectations.sample import sample_of
from jobs.epochs import running, spans
from jobs.file_statistics import known_of
from jobs.tables import Tables
from metrics.configuration.catalogue import Metric
from metrics.configuration.experiment import Experiment
from metrics.rollup.exposures import exposed_on, first_exposures
from metrics.rollup.totals import additive, event_totals, profile_totals
from metrics.schemas import PROFILE_HASH

Days = Sequence[date]


class Arm(NamedTuple):
    experiment_id: str
    arm: str


def below(tables: Tables, name: str, frame: DataFrame, days: Days) -> dict[date, Below]:
    """By day, of a table that has a layer below; `frame` holds the table's rows of the days."""
    return _BELOW[name](tables, frame, days) if name in _BELOW else {}


def _profile_days(tables: Tables, frame: DataFrame, days: Days) -> dict[date, Below]:
    """Plays in profile_days are the play events: so for every measure that adds up. One scan of the days' events.

    Of large days the events and the measures of the same sample of profiles.
    """
    catalogue = tables.project.catalogue
    most = _most_rows(tables, "events", days)
    below = sample_of(tables.read_days("events", days), PROFILE_HASH, most)
    here = sample_of(frame, PROFILE_HASH, most)
    totals = event_totals(below.rows, catalogue).withColumn("_here", F.lit(False))
    ours = profile_totals(here.rows, catalogue).withColumn("_here", F.lit(True))
    found = {(row["day"], row["_here"]): row for row in totals.unionByName(ours).collect()}

    def total(day: date, here: bool, measure: str) -> float | None:
        row = found.get((day, here))
        return row[measure] if row else 0.0

    return {
        day: Below(
            {
                "measures_reconciled": [
                    Compared(name, total(day, True, name), total(day, False, name))
                    for name in additive(catalogue)
                ]
            }
        )
        for day in days
    }


def _exposure_days(tables: Tables, frame: DataFrame, days: Days) -> dict[date, Below]:
    """Only profiles first exposed on the day have a row, and nearly all do that were active on it.

    Of large days the same sample of profiles in all three tables.
    """
    most = max(_most_rows(tables, name, days) for name in ("exposures", "exposure_day_measures"))

    def sampled(rows: DataFrame) -> DataFrame:
        return sample_of(rows, PROFILE_HASH, most).rows

    exposures = sampled(tables.read("exposures").where(F.col("day") <= F.lit(max(days))))
    first = exposed_on(exposures, spans(tables), days).withColumn("day", F.to_date("exposed_at"))
    key = ["day", "experiment_id", "profile_id"]
    exposed = first.select(*key, F.lit(1).alias("exposed"))
    rolled_up = sampled(tables.read_days("profile_days", days))
    active = rolled_up.select("day", "profile_id", F.lit(1).alias("active"))
    measured = sampled(frame).select(*key, F.lit(1).alias("measured"))
    joined = exposed.join(measured, key, how="full").join(active, ["day", "profile_id"], how="left")
    due = F.col("exposed").isNotNull() & F.col("active").isNotNull()
    counted = joined.groupBy("day").agg(
        F.count_if(F.col("exposed").isNull()).alias("strangers"),
        F.count_if(due).alias("due"),
        F.count_if(due & F.col("measured").isNotNull()).alias("measured"),
    )
    return {
        row["day"]: Below(
            {"profiles_reconciled": [Compared("profiles not first exposed on the day", row["strangers"], 0)]},
            {"exposed_measured": row["measured"] / row["due"] if row["due"] else None},
        )
        for row in counted.collect()
    }


def _most_rows(tables: Tables, name: str, days: Days) -> int:
    """Of the largest of the days, by the statistics of its files; 0 where they do not say."""
    files = known_of(tables.files(name), "day")
    return max(files.of_day("day", day).rows for day in days) if files else 0


def _profile_windows(tables: Tables, frame: DataFrame, days: Days) -> dict[date, Below]:
    """Profiles in windows are the first exposures of one arm only; outcomes are of those that have matured."""
    windows = _windows(frame)
    return {day: _windows_below(tables, windows, day) for day in days}


def _windows_below(tables: Tables, windows: Mapping[tuple[date, Arm], Row], day: date) -> Below:
    catalogue, experiments = tables.project.catalogue, running(tables, day)
    exposures = tables.read("exposures").where(F.col("day") <= F.lit(day))
    first = first_exposures(exposures, experiments)
    counted = first.groupBy("experiment_id", "arm", "exposure_day", "n_arms").count().collect()
    profiles, matured = list[Compared](), list[Compared]()
    for experiment in experiments:
        for arm in experiment.arms:
            of_arm = [r for r in counted if (r["experiment_id"], r["arm"]) == (experiment.id, arm)]
            alone = [row for row in of_arm if row["n_arms"] == 1]
            window = windows.get((day, Arm(experiment.id, arm)))
            what, here = f"{experiment.id} {arm}", window["rows"] if window else 0
            profiles.append(Compared(what, here, _total(alone)))
            matured += [
                Compared(f"{what} {metric.name}", _known(window, metric), _matured(alone, metric, day))
                for metric in experiment.metrics(catalogue)
            ]
    return Below(
        {"profiles_reconciled": profiles, "matured_reconciled": matured},
        {"crossovers_rare": max((_crossing(counted, each) for each in experiments), default=None)},
        is_empty=not any(compared.there for compared in profiles),
    )


def _estimates(tables: Tables, frame: DataFrame, days: Days) -> dict[date, Below]:
    """Estimates count the profiles that have the outcome, and those of a segment's levels are all of them."""
    windows = _windows(tables.read_days("profile_windows", days, "analysis_day"))
    wanted = ("analysis_day", "experiment_id", "metric", "estimator", "segment", "arm", "control_arm")
    counts = ("n_profiles_control", "n_profiles_arm")
    rows = frame.groupBy(*wanted).agg(*(F.sum(name).alias(name) for name in counts)).collect()
    return {
        day: _estimates_below(tables, windows, day, [row for row in rows if row["analysis_day"] == day])
        for day in days
    }


def _estimates_below(
    tables: Tables, windows: Mapping[tuple[date, Arm], Row], day: date, rows: Sequence[Row]
) -> Below:
    metrics = tables.project.catalogue.metrics
    whole = {_cell(row): row["n_profiles_arm"] for row in rows if row["segment"] == "all"}
    profiles, segments = list[Compared](), list[Compared]()
    for row in rows:
        what = f"{row['experiment_id']} {row['metric']} {row['estimator']}"
        if row["segment"] != "all":
            what = f"{what} {row['segment']} {row['arm']}"
            segments.append(Compared(what, row["n_profiles_arm"], whole.get(_cell(row))))
            continue
        for arm, n in ((row["arm"], "n_profiles_arm"), (row["control_arm"], "n_profiles_control")):
            window = windows.get((day, Arm(row["experiment_id"], arm)))
            known = _known(window, metrics[row["metric"]]) if window and row["metric"] in metrics else None
            profiles.append(Compared(f"{what} {arm}", row[n], known))
    return Below({"profiles_reconciled": profiles, "segments_reconciled": segments})


def _cell(row: Row) -> tuple[str, str, str, str]:
    return row["experiment_id"], row["metric"], row["estimator"], row["arm"]


def _windows(frame: DataFrame) -> dict[tuple[date, Arm], Row]:
    """Profiles, and those with each outcome, by analysis day and arm."""
    fixed = ("experiment_id", "analysis_day", "arm")
    outcomes = [F.count(name).alias(name) for name in frame.columns if name not in fixed]
    counted = frame.groupBy(*fixed).agg(F.count(F.lit(1)).alias("rows"), *outcomes)
    return {(row["analysis_day"], Arm(row["experiment_id"], row["arm"])): row for row in counted.collect()}


def _known(window: Row | None, metric: Metric) -> int:
    return window[metric.outcome_columns[0]] if window else 0


def _matured(exposed: Iterable[Row], metric: Metric, day: date) -> int:
    reach = timedelta(days=(metric.window or 1) - 1)
    return _total(row for row in exposed if row["exposure_day"] + reach <= day)


def _crossing(counted: Sequence[Row], experiment: Experiment) -> float:
    of_experiment = [row for row in counted if row["experiment_id"] == experiment.id]
    return _total(row for row in of_experiment if row["n_arms"] > 1) / max(1, _total(of_experiment))


def _total(rows: Iterable[Row]) -> int:
    return sum(row["count"] for row in rows)


_BELOW: Mapping[str, Callable[[Tables, DataFrame, Days], dict[date, Below]]] = {
    "profile_days": _profile_days,
    "exposure_day_measures": _exposure_days,
    "profile_windows": _profile_windows,
    "estimates": _estimates,
}
