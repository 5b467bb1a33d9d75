"""What housemates' arms change, against a regression written out by hand."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pyspark.sql import DataFrame, SparkSession

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.rows import SpilloverRow
from metrics.statistics.spillover import MOST_HOUSEMATES, estimate_spillover
from tests.metrics.statistics.test_analysis import (
    DAY,
    EXPERIMENT,
    NUMERIC,
    configuration,
    on_spark,
    random_windows,
)

Plan = tuple[Experiment, Catalogue]
DAY_0 = datetime(2026, 3, 2)
SPILL = 2.0
WINDOW_DAYS = 7


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return configuration(tmp_path_factory.mktemp("conf"), EXPERIMENT)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Each housemate in arm b adds to a profile's plays; one household is as large as a hotel."""
    rows = random_windows(900, seed=4)
    rows.loc[rows["household_id"] < 16, "household_id"] = 10
    seconds = np.random.default_rng(9).integers(0, 20 * 86_400, len(rows))
    rows["exposed_at"] = DAY_0 + pd.to_timedelta(seconds, unit="s")
    spilled = SPILL * (housemates_of(rows)["b"] > 0)
    return rows.assign(plays_7d=rows["plays_7d"] + spilled)


@pytest.fixture(scope="module")
def found(spark: SparkSession, rows: pd.DataFrame, plan: Plan) -> dict[str, SpilloverRow]:
    return {row.arm: row for row in estimate_spillover(windows_of(spark, rows), *plan, DAY)}


def windows_of(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    moments = [
        (int(p), at.to_pydatetime()) for p, at in zip(rows["profile_id"], rows["exposed_at"], strict=True)
    ]
    exposed = spark.createDataFrame(moments, "profile_id BIGINT, exposed_at TIMESTAMP")
    return on_spark(spark, rows).join(exposed, "profile_id")


def housemates_of(rows: pd.DataFrame) -> pd.DataFrame:
    """By row, how many others of its household, exposed before its window ends, are in each arm; one at a time."""
    counted = []
    day = dict((rows["exposed_at"] - DAY_0).dt.days)
    for _, home in rows.groupby("household_id", sort=False):
        for place, arm in home["arm"].items():
            in_time = [other for at, other in home["arm"].items() if day[at] < day[place] + WINDOW_DAYS]
            others = Counter(in_time) - Counter([arm])
            counted.append({"row": place, **{name: others[name] for name in ("control", "a", "b")}})
    return pd.DataFrame(counted).set_index("row").sort_index()


def by_hand(rows: pd.DataFrame, arm: str) -> tuple[int, int, float, float]:
    """Profiles without and with a housemate in the arm, effect and standard error."""
    others = housemates_of(rows)
    other = {"a": "b", "b": "a"}[arm]
    total = others.sum(axis=1)
    usable = (total > 0) & (total <= MOST_HOUSEMATES)
    place = rows["arm"] + total.astype(str)
    pooled = rows[usable & ((others["a"] == 0) | (others["b"] == 0)) & rows["plays_7d"].notna()].copy()
    missing = pooled[NUMERIC].isna().any(axis=1).astype(float)
    filled = pooled[NUMERIC].fillna(pooled[NUMERIC].mean())
    dummies = pd.get_dummies(
        pd.DataFrame({"device": pooled["device"], "place": place[pooled.index]}), drop_first=True
    )
    design = pd.concat([filled, missing.rename("missing"), dummies.astype(float)], axis=1)
    pair = (others[other] == 0)[pooled.index]
    treated = (others[arm] > 0)[pooled.index].astype(float)[pair]
    x = sm.add_constant(pd.concat([treated.rename("treated"), design[pair]], axis=1))
    x = x.loc[:, (x != 0).any()]
    fit = sm.OLS(pooled["plays_7d"][pair], x).fit(
        cov_type="cluster", cov_kwds={"groups": pooled["household_id"][pair].to_numpy()}, use_t=True
    )
    return int((1 - treated).sum()), int(treated.sum()), fit.params["treated"], fit.bse["treated"]


@pytest.mark.parametrize("arm", ["a", "b"])
def test_agrees_with_a_regression_by_hand(
    found: dict[str, SpilloverRow], rows: pd.DataFrame, arm: str
) -> None:
    n_without, n_with, effect, std_error = by_hand(rows, arm)
    row = found[arm]
    assert (row.status, row.n_profiles_control, row.n_profiles_arm) == ("ok", n_without, n_with)
    assert (row.effect, row.std_error) == pytest.approx((effect, std_error), rel=1e-9)
    assert row.p_value is not None and row.adjusted_p_value is not None
    assert row.p_value <= row.adjusted_p_value <= 2 * row.p_value


def test_the_arm_that_spills_is_told_from_the_one_that_does_not(found: dict[str, SpilloverRow]) -> None:
    assert found["b"].ci_low is not None and found["a"].ci_low is not None and found["a"].ci_high is not None
    assert found["b"].ci_low > SPILL / 2
    assert found["a"].ci_low < 0 < found["a"].ci_high


def test_households_with_several_profiles_and_with_different_arms_are_counted(
    found: dict[str, SpilloverRow], rows: pd.DataFrame
) -> None:
    homes = rows.groupby("household_id")["arm"].agg(["size", "nunique"])
    expected = (int((homes["size"] > 1).sum()), int((homes["nunique"] > 1).sum()))
    assert {(row.n_shared_households, row.n_mixed_households) for row in found.values()} == {expected}


def test_households_of_one_profile_have_no_spillover(spark: SparkSession, plan: Plan) -> None:
    alone = random_windows(60).assign(household_id=lambda rows: rows["profile_id"])
    rows = estimate_spillover(windows_of(spark, alone.assign(exposed_at=pd.Timestamp(DAY_0))), *plan, DAY)
    assert {(row.arm, row.status, row.n_shared_households) for row in rows} == {
        ("a", "no_data", 0),
        ("b", "no_data", 0),
    }


def test_nothing_is_asked_where_households_are_randomized_or_a_primary_has_no_mean(
    spark: SparkSession, plan: Plan
) -> None:
    experiment, catalogue = plan
    windows = on_spark(spark, random_windows(20))
    assert estimate_spillover(windows, replace(experiment, randomized_by="cluster"), catalogue, DAY) == ()
    of_ratio = replace(experiment, primary=("crash_rate",), guardrails={})
    assert estimate_spillover(windows, of_ratio, catalogue, DAY) == ()
