from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from metrics.statistics.estimators import Comparison
from tests.metrics.statistics.support import COVARIATES, assert_matches, profiles, reference, regression
from tests.metrics.statistics.test_moments import random_rows


@pytest.mark.parametrize("vcov", ["cr1s", "cr2", "hc2"])
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_agrees_with_r(shared: Path, outcome: str, vcov: str) -> None:
    result = regression(
        profiles(shared), outcome, [*COVARIATES, "is_new"], Comparison(1, vcov), estimator="lin"
    )
    assert_matches(result, reference(shared, f"lin_{outcome}"), vcov)


def test_it_is_the_regression_with_products_of_arm_and_centred_covariate() -> None:
    """Of several arms, only the rows of the two count, the centre included."""
    rows = random_rows(4)
    result = regression(rows, "y", ["x"], Comparison(2), ("control", "a", "b"), estimator="lin")
    pair = rows[rows["arm"] != "a"]
    treated, x = (pair["arm"] == "b").to_numpy(dtype=float), (pair["x"] - pair["x"].mean()).to_numpy()
    design = np.column_stack([np.ones(len(pair)), treated, x, treated * x])
    groups = pair["household_id"].to_numpy()
    expected = sm.OLS(pair["y"].to_numpy(), design).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert result.effect == pytest.approx(expected.params[1], rel=1e-9)
    assert result.std_error == pytest.approx(expected.bse[1], rel=1e-9)


def test_a_covariate_that_varies_in_one_arm_only_is_dropped_and_listed() -> None:
    rows = random_rows(6).assign(lone=lambda rows: np.where(rows["arm"] == "control", rows["x"], 2.0))
    arms = ("control", "a", "b")
    result = regression(rows, "y", ["x", "lone"], Comparison(1), arms, estimator="lin")
    without = regression(rows, "y", ["x"], Comparison(1), arms, estimator="lin")
    assert result.dropped_covariates == ("lone",)
    assert (result.effect, result.std_error) == pytest.approx((without.effect, without.std_error), rel=1e-9)


def test_an_arm_with_as_many_rows_as_coefficients_has_no_error() -> None:
    rows = random_rows(6)
    few = rows[(rows["arm"] == "control") | (rows.index.isin(rows.index[rows["arm"] == "a"][:2]))]
    result = regression(few, "y", ["x"], Comparison(1), ("control", "a"), estimator="lin")
    assert (result.status, result.effect) == ("leverage_one", None)
