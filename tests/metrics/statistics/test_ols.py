from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from metrics.statistics.estimators import Comparison, difference_in_means
from tests.metrics.statistics.support import (
    COVARIATES,
    assert_matches,
    moments,
    profiles,
    reference,
    regression,
)
from tests.metrics.statistics.test_estimators import spread
from tests.metrics.statistics.test_moments import random_rows

VCOVS = ("cr1s", "cr2", "hc2")


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_regression_on_covariates_and_dummies_agrees_with_r(shared: Path, outcome: str, vcov: str) -> None:
    rows = profiles(shared)
    dummies = [str(name) for name in rows if str(name).startswith(("region_", "device_"))]
    result = regression(rows, outcome, [*COVARIATES, "is_new", *dummies], Comparison(1, vcov))
    assert_matches(result, reference(shared, f"ols_cov_{outcome}"), vcov)


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_regression_on_complete_rows_agrees_with_r(shared: Path, outcome: str, vcov: str) -> None:
    rows = profiles(shared)
    complete = rows[rows["is_new"] == 0]
    result = regression(complete, outcome, ["pre_plays", "pre_watch"], Comparison(1, vcov))
    assert_matches(result, reference(shared, f"ols_complete_{outcome}"), vcov)


@pytest.mark.parametrize("arm", ["arm_by_household", "arm_by_profile"])
def test_few_clusters_agree_with_r(shared: Path, arm: str) -> None:
    rows = pd.read_csv(shared / "reference" / "fewclusters.csv")
    result = regression(rows, "y", ["x"], Comparison(1), arm=arm)
    assert_matches(result, reference(shared, f"few_clusters_{arm}")["with_x"], "cr2")


def test_one_of_several_arms_agrees_with_statsmodels() -> None:
    rows = random_rows(4)
    result = regression(rows, "y", ["x"], Comparison(2), ("control", "a", "b"))
    pair = rows[rows["arm"] != "a"]
    design = sm.add_constant(pd.DataFrame({"arm": (pair["arm"] == "b").astype(float), "x": pair["x"]}))
    expected = sm.OLS(pair["y"], design).fit(cov_type="cluster", cov_kwds={"groups": pair["household_id"]})
    assert result.effect == pytest.approx(expected.params["arm"], rel=1e-9)
    assert result.std_error == pytest.approx(expected.bse["arm"], rel=1e-9)


@pytest.mark.parametrize("vcov", VCOVS)
def test_without_covariates_it_is_the_difference_in_means(vcov: str) -> None:
    rows = random_rows(6)
    comparison = Comparison(1, vcov)
    plain = difference_in_means(moments(rows, ["y"], ("control", "a"), detail_limit=1000), "y", comparison)
    result = regression(rows, "y", [], comparison, ("control", "a"))
    names = ["effect", "std_error", "df", "relative_effect", "relative_std_error", "relative_ci_low"]
    found = np.array([getattr(result, name) for name in names], dtype=float)
    np.testing.assert_allclose(found, [getattr(plain, name) for name in names], rtol=1e-9)


def test_relative_error_matches_stacked_estimating_equations() -> None:
    """The covariance of the coefficient and the control mean, from the household scores of both, by statsmodels."""
    rows = random_rows(8)
    pair = rows[rows["arm"] != "b"]
    treated, n = (pair["arm"] == "a").to_numpy(float), len(pair)
    design = np.column_stack([np.ones(n), treated, pair["x"]])
    fitted = sm.OLS(pair["y"].to_numpy(), design).fit()
    slope = (design * fitted.resid[:, None]) @ np.linalg.inv(design.T @ design)[1]
    control_mean = pair["y"][treated == 0].mean()
    mean = np.where(treated == 0, pair["y"] - control_mean, 0.0) / (treated == 0).sum()
    scores = pd.DataFrame({"slope": slope, "mean": mean}).groupby(pair["household_id"].to_numpy()).sum()
    gradient = np.array([1, -fitted.params[1] / control_mean]) / control_mean
    clusters = len(scores)
    factor = clusters / (clusters - 1) * (n - 1) / (n - 3)
    expected = np.sqrt(gradient @ (scores.T @ scores).to_numpy() @ gradient * factor)
    result = regression(rows, "y", ["x"], Comparison(1, "cr1s"), ("control", "a"))
    assert result.relative_std_error == pytest.approx(expected, rel=1e-9)


def test_statuses() -> None:
    rows = spread()
    as_arm = (rows["arm"] == "treatment").astype(float)
    only_one = np.append(1.0, np.zeros(119))
    assert regression(rows.assign(x=as_arm), "y", ["x"], Comparison(1)).status == "collinear"
    assert regression(rows.assign(y=3.0), "y", ["x"], Comparison(1)).status == "no_variance"
    assert (
        regression(rows.assign(y=2 * rows["x"] + as_arm), "y", ["x"], Comparison(1)).status == "no_variance"
    )
    assert regression(rows.assign(x=only_one), "y", ["x"], Comparison(1, "hc2")).status == "leverage_one"
    assert regression(rows.assign(x=only_one), "y", ["x"], Comparison(1)).status == "ok"


def test_dropped_covariates_are_listed_and_not_counted() -> None:
    rows = spread(constant=1.0)
    with_both = regression(rows, "y", ["constant", "x"], Comparison(1, "cr1s"))
    assert with_both.dropped_covariates == ("constant",)
    alone = regression(rows, "y", ["x"], Comparison(1, "cr1s"))
    assert with_both.std_error == pytest.approx(alone.std_error, rel=1e-12)
