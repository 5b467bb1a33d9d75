from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from metrics.configuration.experiment import Experiment
from metrics.rows import SrmCheck
from metrics.statistics.srm import srm_test
from metrics.statistics.srm_checks import srm_checks
from tests.result_rows import configuration

END = datetime(2026, 3, 4, tzinfo=UTC)
SCHEMA = (
    "profile_id BIGINT, household_id BIGINT, arm STRING, exposed_at TIMESTAMP, region STRING, device STRING"
)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return configuration(tmp_path)[0]


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def exposed(spark: SparkSession, *rows: tuple[int, int, str, datetime, str]) -> DataFrame:
    return spark.createDataFrame([(*row[:4], "eu", row[4]) for row in rows], SCHEMA)


def by_key(checks: tuple[SrmCheck, ...]) -> dict[tuple[str, str, str], SrmCheck]:
    return {(c.window_kind, c.unit, c.slice_value): c for c in checks}


def test_profiles_and_households_by_window_and_stratum(spark: SparkSession, experiment: Experiment) -> None:
    """Household 10's first profile is 3, by time; household 20's is 4, by the smaller id. Profile 6 comes too late."""
    rows = exposed(
        spark,
        (1, 10, "control", at(3, 5), "tv"),
        (3, 10, "treatment", at(2, 9), "web"),
        (5, 20, "control", at(3, 6), "tv"),
        (4, 20, "treatment", at(3, 6), "web"),
        (6, 30, "control", at(4, 0), "tv"),
    )
    checks = by_key(srm_checks(rows, experiment, END))
    observed = {key: dict(check.observed) for key, check in checks.items()}
    assert observed == {
        ("cumulative", "profile", "all"): {"control": 2, "treatment": 2},
        ("cumulative", "profile", "eu|tv"): {"control": 2, "treatment": 0},
        ("cumulative", "profile", "eu|web"): {"control": 0, "treatment": 2},
        ("cumulative", "household", "all"): {"control": 0, "treatment": 2},
        ("cumulative", "household", "eu|web"): {"control": 0, "treatment": 2},
        ("day", "profile", "all"): {"control": 2, "treatment": 1},
        ("day", "profile", "eu|tv"): {"control": 2, "treatment": 0},
        ("day", "profile", "eu|web"): {"control": 0, "treatment": 1},
        ("day", "household", "all"): {"control": 0, "treatment": 1},
        ("day", "household", "eu|web"): {"control": 0, "treatment": 1},
    }
    overall = checks["cumulative", "household", "all"]
    expected = srm_test([0, 2], [0.5, 0.5])
    assert (overall.p_value, overall.log_e_value) == (expected.p_value, expected.log_e_value)
    assert (overall.chi_square, overall.df, overall.slice) == (2.0, 1.0, "all")
    assert dict(overall.expected) == {"control": 1.0, "treatment": 1.0}
    assert {check.threshold for key, check in checks.items() if key[0] == "day"} == {None}


def test_each_column_of_the_strata_is_a_way_of_slicing_too(
    spark: SparkSession, experiment: Experiment
) -> None:
    """A platform that is broken everywhere is one slice, not a little in each region."""
    rows = spark.createDataFrame(
        [
            (n, n, "control" if n % 3 else "treatment", at(3, 5), region, device)
            for n, (region, device) in enumerate([("eu", "tv"), ("us", "tv"), ("us", "web")] * 3)
        ],
        SCHEMA,
    )
    every = srm_checks(rows, experiment, END, (), columns=experiment.strata)
    checks = [check for check in every if check.unit == "profile"]
    found = {(check.slice, check.slice_value): sum(check.observed.values()) for check in checks}
    strata = {("stratum", "eu|tv"): 3, ("stratum", "us|tv"): 3, ("stratum", "us|web"): 3}
    alone = {("region", "eu"): 3, ("region", "us"): 6, ("device", "tv"): 6, ("device", "web"): 3}
    assert found == {("all", "all"): 9, **strata, **alone}
    one = replace(experiment, strata=("device",))
    of_one = srm_checks(rows, one, END, (), columns=one.strata)
    assert {check.slice for check in of_one} == {"all", "stratum"}
    assert {check.slice for check in srm_checks(rows, experiment, END, ())} == {"all", "stratum"}


def test_crossovers_are_checked_by_the_arm_that_they_came_from(
    spark: SparkSession, experiment: Experiment
) -> None:
    rows = spark.range(20_000).selectExpr(
        "id AS profile_id",
        "id AS household_id",
        "IF(id % 2 = 0, 'control', 'treatment') AS arm",
        "TIMESTAMP '2026-03-03 12:00:00' AS exposed_at",
        "'eu' AS region",
        "'tv' AS device",
        "IF(id % 2 = 0 AND id % 20 = 0 OR id % 101 = 0, 2, 1) AS n_arms",
    )
    checks = srm_checks(rows, experiment, END)
    crossed = {check.window_kind: check for check in checks if check.unit == "crossover"}
    assert set(crossed) == {"cumulative", "day"}
    observed = crossed["cumulative"].observed
    n_arms_2 = rows.where("n_arms = 2").groupBy("arm").count().collect()
    assert observed == {row["arm"]: row["count"] for row in n_arms_2}
    assert {(check.unit, check.slice) for check in checks if check.triggered} == {("crossover", "all")}


def test_a_broken_split_triggers_on_cumulative_rows_only(spark: SparkSession, experiment: Experiment) -> None:
    rows = spark.range(400).selectExpr(
        "id AS profile_id",
        "id AS household_id",
        "IF(id % 10 < 9, 'control', 'treatment') AS arm",
        "TIMESTAMP '2026-03-03 12:00:00' AS exposed_at",
        "'eu' AS region",
        "'tv' AS device",
    )
    checks = srm_checks(rows, experiment, END)
    assert {(check.window_kind, check.triggered) for check in checks} == {
        ("cumulative", True),
        ("day", False),
    }
    halves = "IF(profile_id % 2 = 0, 'control', 'treatment') AS arm"
    fair = srm_checks(rows.selectExpr("* EXCEPT (arm)", halves), experiment, END)
    assert not any(check.triggered for check in fair)


def test_only_what_was_randomised_is_checked(spark: SparkSession, experiment: Experiment) -> None:
    rows = exposed(spark, (1, 10, "control", at(3, 5), "tv"))
    assert srm_checks(rows, replace(experiment, randomized_by="none"), END) == ()
    by_cluster = srm_checks(rows, replace(experiment, randomized_by="cluster"), END)
    assert {check.unit for check in by_cluster} == {"household"}


def test_nobody_exposed_means_no_rows(spark: SparkSession, experiment: Experiment) -> None:
    assert srm_checks(spark.createDataFrame([], SCHEMA), experiment, END) == ()
