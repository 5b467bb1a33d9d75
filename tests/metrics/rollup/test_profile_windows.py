from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Row, SparkSession

from metrics.histogram import SQL_TYPE
from metrics.rollup.exposures import first_exposures
from metrics.rollup.profile_windows import profile_windows
from tests.metrics.rollup.frames import CATALOGUE, EXPERIMENT, START, WITH_HISTOGRAM, at, exposures

MEASURES = "plays DOUBLE, minutes DOUBLE, active DOUBLE"


def windows(
    spark: SparkSession,
    exposed: list[dict[str, Any]],
    days: dict[int, float | None],
    day_0: float | None = None,
    analysis_day: date = START + timedelta(days=5),
    experiment: Any = EXPERIMENT,
) -> dict[int, Row]:
    """Profile windows by profile_id. `days`: plays of profile 1 by day from the start; `day_0` from exposure on."""
    known = {n: None if plays is None else float(plays) for n, plays in days.items()}
    rows = [(START + timedelta(days=n), 1, 10, plays, 2.0, 1.0) for n, plays in known.items()]
    profile_days = spark.createDataFrame(
        rows, f"day DATE, profile_id BIGINT, household_id BIGINT, {MEASURES}"
    )
    zero = [] if day_0 is None else [(START, "x", 1, 10, day_0, 1.0, 1.0)]
    at_exposure = spark.createDataFrame(
        zero, f"day DATE, experiment_id STRING, profile_id BIGINT, household_id BIGINT, {MEASURES}"
    )
    first = first_exposures(exposures(spark, *exposed), [experiment])
    frame = profile_windows(first, profile_days, at_exposure, experiment, CATALOGUE, analysis_day)
    return {row["profile_id"]: row for row in frame.collect()}


def test_day_0_counts_from_the_exposure_and_the_window_ends_in_time(spark: SparkSession) -> None:
    row = windows(spark, [{}], {-15: 1, -14: 2, -1: 4, 0: 100, 1: 8, 2: 16, 3: 32, 5: 64, 6: 128}, day_0=0.5)[
        1
    ]
    assert row["pre_plays"] == 2 + 4
    assert row["plays_3d"] == 0.5 + 8 + 16
    assert row["plays_to_date"] == 0.5 + 8 + 16 + 32 + 64
    assert row["minutes_per_play_numerator"] == 1 + 2 * 4
    assert row["active_3d"] == 1


def test_retention_looks_at_one_day_and_matures_with_it(spark: SparkSession) -> None:
    returned = replace(
        EXPERIMENT, primary=("back_on_day_2",), secondary=(), guardrails={}, covariates=None, strata=()
    )
    on_day_2 = windows(spark, [{}], {0: 1, 2: 1, 3: 1}, day_0=1.0, experiment=returned)[1]
    assert on_day_2["back_on_day_2"] == 1
    elsewhere = windows(spark, [{}], {0: 1, 1: 1, 3: 1}, day_0=1.0, experiment=returned)[1]
    assert elsewhere["back_on_day_2"] == 0
    early = START + timedelta(days=1)
    assert windows(spark, [{}], {1: 1}, analysis_day=early, experiment=returned)[1]["back_on_day_2"] is None


def test_a_profile_that_did_nothing_has_zeros(spark: SparkSession) -> None:
    row = windows(spark, [{}], {})[1]
    assert (row["plays_3d"], row["pre_plays"], row["active_3d"], row["plays_to_date"]) == (0, 0, 0, 0)


def test_an_outcome_is_null_until_its_window_has_matured(spark: SparkSession) -> None:
    exposed: list[dict[str, Any]] = [{}, {"profile_id": 2, "exposed_at": at("2026-03-03T12:00")}]
    early = windows(spark, exposed, {1: 1}, analysis_day=START + timedelta(days=2))
    assert early[1]["plays_3d"] == 1
    assert early[2]["plays_3d"] is None
    assert early[2]["plays_to_date"] == 0


def test_a_day_rolled_up_before_the_measure_existed_makes_the_outcome_unknown(spark: SparkSession) -> None:
    row = windows(spark, [{}], {1: None, -1: None})[1]
    assert row["plays_3d"] is None and row["pre_plays"] is None
    assert row["minutes_per_play_numerator"] == 2


def test_covariates_are_missing_for_profiles_younger_than_the_pre_period(spark: SparkSession) -> None:
    exposed: list[dict[str, Any]] = [
        {"profile_id": 1, "tenure_days": 14},
        {"profile_id": 2, "tenure_days": 13},
        {"profile_id": 3, "tenure_days": None},
    ]
    rows = windows(spark, exposed, {-1: 3})
    assert {p: row["pre_plays"] for p, row in rows.items()} == {1: 3, 2: None, 3: None}


def test_segments_and_stratum_are_as_of_the_exposure(spark: SparkSession) -> None:
    exposed: list[dict[str, Any]] = [
        {"profile_id": 1, "tenure_days": 29},
        {"profile_id": 2, "tenure_days": 30, "device": None},
        {"profile_id": 3, "tenure_days": None},
    ]
    rows = windows(spark, exposed, {})
    assert {p: (r["tenure_band"], r["stratum"]) for p, r in rows.items()} == {
        1: ("new", "eu|tv"),
        2: ("established", "eu|unknown"),
        3: ("unknown", "eu|tv"),
    }
    assert rows[1]["stratum"] != "all"
    unstratified = replace(EXPERIMENT, strata=())
    assert windows(spark, exposed[:1], {}, experiment=unstratified)[1]["stratum"] == "all"


def test_crossovers_are_left_out(spark: SparkSession) -> None:
    exposed: list[dict[str, Any]] = [
        {},
        {"arm": "treatment", "exposed_at": at("2026-03-04T12:00")},
        {"profile_id": 2},
    ]
    assert set(windows(spark, exposed, {})) == {2}


def histograms(
    spark: SparkSession,
    days: Mapping[int, list[tuple[int, int]] | None],
    analysis_day: date,
    *others: str,
) -> dict[int, Any]:
    """Outcome render_p95 by profile: 1 has these histograms by day from the start, 2 did nothing.

    With other outcomes a tuple of all of them.
    """
    names = ("render_p95", *others)
    experiment = replace(EXPERIMENT, primary=names, secondary=("plays_3d",), guardrails={})
    measures = f"{MEASURES}, render {SQL_TYPE}"
    rows = [(START + timedelta(days=n), 1, 10, 1.0, 1.0, 1.0, bins) for n, bins in days.items() if n]
    zero = [(START, "x", 1, 10, 1.0, 1.0, 1.0, days[0])] if 0 in days else []
    whole = spark.createDataFrame(rows, f"day DATE, profile_id BIGINT, household_id BIGINT, {measures}")
    at_exposure = spark.createDataFrame(
        zero, f"day DATE, experiment_id STRING, profile_id BIGINT, household_id BIGINT, {measures}"
    )
    first = first_exposures(exposures(spark, {}, {"profile_id": 2}), [experiment])
    frame = profile_windows(first, whole, at_exposure, experiment, WITH_HISTOGRAM, analysis_day)

    def bins(row: Row, name: str) -> Any:
        return row[name] and [tuple(each) for each in row[name]]

    found = {row["profile_id"]: tuple(bins(row, name) for name in names) for row in frame.collect()}
    return found if others else {profile: first for profile, (first,) in found.items()}


def test_quantiles_of_one_window_share_its_histogram_and_no_other(spark: SparkSession) -> None:
    days = {0: [(320, 1)], 1: [(7, 2)], 3: [(8, 5)]}
    end = START + timedelta(days=3)
    found = histograms(spark, days, end, "render_p50", "render_p95_to_date")
    assert found == {1: ([(7, 2), (320, 1)], [(7, 2), (320, 1)], [(7, 2), (8, 5), (320, 1)]), 2: ([], [], [])}


def test_histograms_add_up_over_the_window(spark: SparkSession) -> None:
    end = START + timedelta(days=3)
    days = {-1: [(1, 9)], 0: [(320, 1)], 1: [(7, 2)], 2: [(7, 3), (320, 4)], 3: [(8, 5)]}
    assert histograms(spark, days, end) == {1: [(7, 5), (320, 5)], 2: []}
    assert histograms(spark, {0: [(320, 1)], 1: None}, end) == {1: None, 2: []}
    assert histograms(spark, {0: [(320, 1)], 3: None}, end) == {1: [(320, 1)], 2: []}
    assert histograms(spark, days, START + timedelta(days=1)) == {1: None, 2: None}
