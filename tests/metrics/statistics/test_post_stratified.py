from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.statistics.estimators import Comparison
from metrics.statistics.moments import UNLIMITED
from metrics.statistics.post_stratified import fit_post_stratified
from metrics.statistics.results import Result
from tests.metrics.statistics.support import moments, profiles, reference, second_pass
from tests.metrics.statistics.test_moments import random_rows


def post_stratified(rows: pd.DataFrame, outcome: str, strata: pd.Series, comparison: Comparison) -> Result:
    codes, _ = pd.factorize(strata, sort=True)
    rows = rows.assign(code=codes)
    whole = moments(rows, [outcome], detail_limit=UNLIMITED)
    parts = [moments(rows[codes == i], [outcome], shift=whole.shift.tolist()) for i in range(codes.max() + 1)]
    fitted = fit_post_stratified(whole, parts, outcome, comparison)
    if isinstance(fitted, Result):
        return fitted
    return second_pass(fitted, rows, [outcome], whole, comparison, level="code")


def strata_of(rows: pd.DataFrame, shared: Path) -> pd.Series:
    raw = pd.read_csv(shared / "reference" / "profiles.csv")
    assert len(raw) == len(rows)
    return raw["region"].fillna("") + ":" + raw["device"]


@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_agrees_with_r(shared: Path, outcome: str) -> None:
    rows = profiles(shared)
    expected = reference(shared, f"poststrat_{outcome}")
    clustered = post_stratified(rows, outcome, strata_of(rows, shared), Comparison(1, "cr1s"))
    found = (clustered.effect, clustered.std_error, clustered.df)
    assert found == pytest.approx((expected["estimate"], expected["se_cr1s"], expected["G"] - 1), rel=1e-9)
    alone = rows.assign(household_id=np.arange(len(rows)))
    unclustered = post_stratified(alone, outcome, strata_of(rows, shared), Comparison(1, "hc2"))
    assert (unclustered.std_error, unclustered.df) == pytest.approx(
        (expected["se"], expected["N"] - expected["p"]), rel=1e-9
    )


def two_arms(seed: int) -> pd.DataFrame:
    rows = random_rows(seed)
    return rows.assign(arm=np.where(rows["arm"] == "control", "control", "treatment"))


def test_one_stratum_is_the_difference_in_means_under_every_covariance() -> None:
    rows = two_arms(5)
    for vcov in ("cr1s", "cr2", "hc2"):
        alone = rows.assign(household_id=np.arange(len(rows))) if vcov == "hc2" else rows
        result = post_stratified(alone, "y", pd.Series(["all"] * len(rows)), Comparison(1, vcov))
        means = rows.groupby("arm")["y"].mean()
        assert result.effect == pytest.approx(means["treatment"] - means["control"], rel=1e-9)
        assert result.std_error is not None and result.std_error > 0


def test_a_stratum_without_one_of_the_arms_has_no_difference() -> None:
    rows = two_arms(5)
    strata = pd.Series(np.where(rows["arm"] == "control", "alone", "both"))
    assert post_stratified(rows, "y", strata, Comparison(1)).status == "empty_arm"


def test_strata_that_explain_everything_leave_no_variance() -> None:
    rows = two_arms(5)
    strata = pd.Series(np.arange(len(rows)) % 2)
    constant = rows.assign(y=strata + 3.0)
    assert post_stratified(constant, "y", strata, Comparison(1)).status == "no_variance"
