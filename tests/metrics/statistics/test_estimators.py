from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metrics.statistics.estimators import (
    Comparison,
    cuped,
    cuped_theta,
    difference_in_means,
    ratio,
    ratio_cuped,
)
from metrics.statistics.moments import UNLIMITED, Moments
from metrics.statistics.results import Result
from tests.metrics.statistics.support import (
    COVARIATES,
    assert_matches,
    cases,
    moments,
    profiles,
    reference,
)

VCOVS = ("cr1s", "cr2", "hc2")
FIRST_ARM = Comparison(1)


def frame(*rows: tuple[int, str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["household_id", "arm", "y", "x"])


def spread(n: int = 120, **columns: np.ndarray | float) -> pd.DataFrame:
    """n households of one profile, arms in turn, with an ordinary y and x unless given."""
    random = np.random.default_rng(2)
    base = {
        "household_id": np.arange(n),
        "arm": np.where(np.arange(n) % 2, "treatment", "control"),
        "y": random.normal(5, 1, n),
        "x": random.normal(1, 1, n),
    }
    return pd.DataFrame({**base, **columns})


def summed(rows: pd.DataFrame) -> Moments:
    return moments(rows, ["y", "x"])


def test_difference_by_hand() -> None:
    """Control households total residuals -1 and 1 over 4 rows, treated ones 2 and -2 over 2: variance 1/8 + 2."""
    rows = frame(
        (1, "control", 1, 0),
        (1, "control", 2, 0),
        (2, "control", 3, 0),
        (2, "control", 2, 0),
        (3, "treatment", 9, 0),
        (4, "treatment", 5, 0),
    )
    result = difference_in_means(summed(rows), "y", Comparison(1, vcov="cr1s"))
    assert (result.control_mean, result.arm_mean, result.effect) == (2, 7, 5)
    assert result.counts.n_households == 4
    assert result.std_error == pytest.approx(((1 / 8 + 2) * 4 / 3 * 5 / 4) ** 0.5)
    assert (result.df, result.relative_effect) == (3, 2.5)


def test_a_household_in_both_arms_lowers_the_variance() -> None:
    """Scores -1/2 + 1/2 and 1/2 - 1/2 cancel within the households, but not when each profile stands alone."""
    rows = frame((1, "control", 1, 0), (1, "treatment", 2, 0), (2, "control", 3, 0), (2, "treatment", 6, 0))
    together = difference_in_means(summed(rows), "y", Comparison(1, vcov="cr1s"))
    apart = difference_in_means(summed(rows.assign(household_id=range(4))), "y", Comparison(1, vcov="cr1s"))
    assert together.effect == apart.effect == 2
    assert together.std_error == pytest.approx((0.5 * 2 * 3 / 2) ** 0.5)
    assert apart.std_error == pytest.approx((2.5 * 4 / 3 * 3 / 2) ** 0.5)


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("case", ["dm_y_plays", "dm_y_watch", "dm_converted"])
def test_difference_in_means_agrees_with_r(shared: Path, case: str, vcov: str) -> None:
    outcome = cases(shared)[case]["inputs"]["y"]
    found = moments(profiles(shared), [outcome], detail_limit=UNLIMITED)
    assert_matches(difference_in_means(found, outcome, Comparison(1, vcov)), reference(shared, case), vcov)


def test_clusters_of_one_row_agree_with_r(shared: Path) -> None:
    rows = profiles(shared)
    alone = rows[~rows["household_id"].duplicated(keep=False)]
    found = moments(alone, ["y_watch"], detail_limit=UNLIMITED)
    for vcov in VCOVS:
        result = difference_in_means(found, "y_watch", Comparison(1, vcov))
        assert_matches(result, reference(shared, "dm_single_profile_households"), vcov)


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("case", ["cuped1_y_plays", "cuped4_y_plays", "cuped1_y_watch", "cuped4_y_watch"])
def test_cuped_agrees_with_r(shared: Path, case: str, vcov: str) -> None:
    inputs, expected = cases(shared)[case]["inputs"], reference(shared, case)
    outcome, covariates = inputs["y"], inputs["covariates"]
    found = moments(profiles(shared), [outcome, *COVARIATES], detail_limit=UNLIMITED)
    result = cuped(found, outcome, covariates, Comparison(1, vcov))
    assert_matches(result, expected, vcov)
    assert 1 - (result.variance_reduction or 0) == pytest.approx(expected["variance_ratio"], rel=1e-9)
    theta = cuped_theta(found, outcome, covariates)
    expected_theta = [expected["theta"][name] for name in covariates]
    # Collinear covariates leave fewer digits to the smallest coefficients.
    np.testing.assert_allclose(theta.values, expected_theta, rtol=1e-8)


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_segments_agree_with_r(shared: Path, outcome: str, vcov: str) -> None:
    rows = profiles(shared)
    for segment, expected in reference(shared, f"hte_segment_{outcome}")["by_segment"].items():
        found = moments(rows[rows["segment"] == segment], [outcome], detail_limit=UNLIMITED)
        assert_matches(difference_in_means(found, outcome, Comparison(1, vcov)), expected, vcov)


@pytest.mark.parametrize("vcov", VCOVS)
def test_several_arms_are_compared_in_pairs(shared: Path, vcov: str) -> None:
    rows = pd.read_csv(shared / "reference" / "threearm.csv")
    found = moments(rows, ["y"], ("control", "A", "B"), detail_limit=UNLIMITED)
    pairs = reference(shared, "three_arms")["pairwise"]
    for position, arm in enumerate("AB", start=1):
        result = difference_in_means(found, "y", Comparison(position, vcov))
        assert_matches(result, pairs[f"{arm}_control"], vcov)
        assert result.counts.n_households == pairs[f"{arm}_control"]["G"]


@pytest.mark.parametrize("arm", ["arm_by_household", "arm_by_profile"])
def test_few_clusters_get_cr2_by_themselves(shared: Path, arm: str) -> None:
    rows = pd.read_csv(shared / "reference" / "fewclusters.csv")
    result = difference_in_means(moments(rows, ["y"], arm=arm), "y", FIRST_ARM)
    assert_matches(result, reference(shared, f"few_clusters_{arm}")["unadjusted"], "cr2")


def test_fifty_clusters_get_cr1s_and_forty_nine_cr2() -> None:
    assert difference_in_means(summed(spread(50)), "y", FIRST_ARM).vcov == "cr1s"
    assert difference_in_means(summed(spread(49)), "y", FIRST_ARM).vcov == "cr2"


def test_ratio_by_hand() -> None:
    """Ratios 1/2 and 3/4; household scores (num - R den)/sum den are +-1/8 and +-1/8: variance 4/64, times 4/3."""
    rows = frame(
        (1, "control", 1, 4),
        (2, "control", 3, 4),
        (3, "treatment", 3.5, 4),
        (4, "treatment", 2.5, 4),
    )
    result = ratio(summed(rows), "y", "x", FIRST_ARM)
    assert (result.control_mean, result.arm_mean, result.effect) == (0.5, 0.75, 0.25)
    assert result.std_error == pytest.approx(((2 / 64 + 2 * (0.5 / 8) ** 2) * 4 / 3) ** 0.5)
    assert (result.vcov, result.df) == ("cr1", 3)


@pytest.mark.parametrize("case", ["ratio_rebuffer", "ratio_start_failure", "ratio_small_segment"])
def test_ratio_agrees_with_r(shared: Path, case: str) -> None:
    inputs, expected = cases(shared)[case]["inputs"], reference(shared, case)
    rows = profiles(shared)
    if "filter" in inputs:
        rows = rows[(rows["region"] == "ANZ") & (rows["device"] == "tablet")]
    top, bottom = inputs["numerator"], inputs["denominator"]
    assert_lift(ratio(moments(rows, [top, bottom]), top, bottom, FIRST_ARM), expected, 1.0)


@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_relative_effect_of_a_mean_agrees_with_r(shared: Path, outcome: str) -> None:
    """The case's factor is G/(G-1); the row's own is cr1s."""
    result = difference_in_means(moments(profiles(shared), [outcome]), outcome, FIRST_ARM)
    assert_lift(result, reference(shared, f"mean_lift_{outcome}"), ((6108 - 1) / (6108 - 2)) ** 0.5)


def assert_lift(result: Result, expected: Any, rescale: float) -> None:
    found = [result.effect, result.std_error, result.relative_effect, result.relative_std_error]
    errors = expected["cr1"]["se_diff"] * rescale, expected["cr1"]["se_lift"] * rescale
    numbers = [expected["diff"], errors[0], expected["lift"], errors[1]]
    np.testing.assert_allclose(np.array(found, dtype=float), np.array(numbers, dtype=float), rtol=1e-9)
    assert result.counts.n_households == expected["G"]


def test_real_playback_runs(shared: Path) -> None:
    """Runs of 41 videos, errors clustered by video."""
    folder = shared / "datasets" / "playback_runs"
    runs = pd.read_csv(folder / "runs.csv.gz")
    expected = pd.read_json(folder / "expected.json").to_dict()
    runs["arm"] = np.where(runs["net_avg_shaping_rate"] >= 187_500, "control", "treatment")
    runs["minutes"] = runs["vid_length"] / 60
    found = moments(runs, ["pl_buffering_events", "minutes"], cluster="content_id")
    per_run = difference_in_means(found, "pl_buffering_events", FIRST_ARM)
    per_minute = ratio(found, "pl_buffering_events", "minutes", FIRST_ARM)
    numbers = [per_run.effect, per_run.std_error, per_run.df, per_minute.effect, per_minute.std_error]
    names = ["difference", "se_cr2", "df_cr2"]
    wanted = [expected["stalls_per_run"][name] for name in names]
    wanted += [expected["stalls_per_minute"][name] for name in ("difference", "se_cr1")]
    np.testing.assert_allclose(np.array(numbers, dtype=float), wanted, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e6 / 3])
def test_a_constant_outcome_has_no_variance(value: float) -> None:
    found = summed(spread(y=np.full(120, value)))
    for result in (difference_in_means(found, "y", FIRST_ARM), cuped(found, "y", ["x"], FIRST_ARM)):
        assert result == Result("no_variance", result.counts, dropped_covariates=result.dropped_covariates)


def test_a_ratio_without_failures_has_no_variance() -> None:
    assert ratio(summed(spread(y=np.zeros(120))), "y", "x", FIRST_ARM).status == "no_variance"


def test_each_arm_constant_has_no_variance() -> None:
    rows = spread()
    rows["y"] = np.where(rows["arm"] == "control", 0.0, 1.0)
    assert difference_in_means(summed(rows), "y", FIRST_ARM).status == "no_variance"


def test_a_ratio_without_denominator_is_an_empty_arm() -> None:
    rows = spread()
    rows.loc[rows["arm"] == "treatment", "x"] = 0.0
    found = moments(rows, ["y", "x"], shift=[0, 0])
    assert ratio(found, "y", "x", FIRST_ARM).status == "empty_arm"
    nothing = moments(rows.assign(x=0.0), ["y", "x"], shift=[0, 0])
    assert ratio(nothing, "y", "x", FIRST_ARM).status == "no_data"


@pytest.mark.parametrize("shift", [0.15, 2 / 7, 1 / 3])
def test_a_zero_is_one_around_any_shift(shift: float) -> None:
    """Sums around a shift leave a rest of 1e-17 or so, which nothing may be divided by."""
    rows = spread().iloc[:101]
    in_control = rows["arm"] == "control"
    rows = rows.assign(y=np.where(in_control, 0.0, rows["x"] > 0), x=rows["x"] ** 2 + 1)
    for found in (
        difference_in_means(moments(rows, ["y"], shift=[shift]), "y", FIRST_ARM),
        ratio(moments(rows, ["y", "x"], shift=[shift, 1.0]), "y", "x", FIRST_ARM),
    ):
        assert (found.status, found.control_mean, found.relative_effect) == ("ok", 0.0, None)
    without = rows.assign(x=np.where(in_control, 0.0, rows["x"]))
    assert ratio(moments(without, ["y", "x"], shift=[0, shift]), "y", "x", FIRST_ARM).status == "empty_arm"


def test_a_covariate_that_is_the_arm_is_collinear() -> None:
    rows = spread()
    rows["x"] = (rows["arm"] == "treatment").astype(float)
    result = cuped(summed(rows), "y", ["x"], FIRST_ARM)
    assert (result.status, result.effect) == ("collinear", None)


def test_useless_covariates_are_dropped_in_file_order() -> None:
    rows = spread(constant=7.0, twice=0.0, z=np.random.default_rng(9).normal(size=120))
    rows["twice"] = 2 * rows["x"] - 3 * rows["z"] + 1
    names = ["constant", "x", "z", "twice"]
    found = moments(rows, ["y", *names])
    result = cuped(found, "y", names, FIRST_ARM)
    assert result.dropped_covariates == ("constant", "twice")
    assert result.effect == pytest.approx(cuped(found, "y", ["x", "z"], FIRST_ARM).effect, rel=1e-9)


def test_cuped_with_nothing_left_is_the_difference_in_means() -> None:
    found = summed(spread(x=3.0))
    plain, adjusted = difference_in_means(found, "y", FIRST_ARM), cuped(found, "y", ["x"], FIRST_ARM)
    assert (adjusted.effect, adjusted.std_error) == (plain.effect, plain.std_error)
    assert (adjusted.variance_reduction, adjusted.dropped_covariates) == (0, ("x",))


def test_a_relative_effect_needs_a_control_mean() -> None:
    rows = spread()
    rows.loc[rows["arm"] == "control", "y"] = np.tile([-1.0, 1.0], 30)
    result = difference_in_means(moments(rows, ["y"], shift=[0]), "y", FIRST_ARM)
    assert result.status == "ok"
    assert result.relative_effect is result.relative_ci_low is None


@pytest.mark.parametrize("shift", [None, [0, 0, 0, 0]])
def test_ratio_of_adjusted_numerator_and_denominator_the_long_way(shift: list[float] | None) -> None:
    """Each less its own theta'(x - mean x) over all rows; then the delta method on household totals.

    Also where moments are not around the rows' own means, as those of segments are not.
    """
    rows = straddling(400)
    x = rows[["before", "tenure"]].to_numpy()
    centred = x - x.mean(axis=0)
    top, bottom = (
        rows[name].to_numpy() - centred @ np.linalg.lstsq(centred, rows[name] - rows[name].mean())[0]
        for name in ("failures", "attempts")
    )
    treated = (rows["arm"] == "treatment").to_numpy()
    ratios = [top[own].sum() / bottom[own].sum() for own in (~treated, treated)]
    scores = np.where(treated, (top - ratios[1] * bottom) / bottom[treated].sum(), 0.0)
    scores -= np.where(treated, 0.0, (top - ratios[0] * bottom) / bottom[~treated].sum())
    totals = pd.Series(scores).groupby(rows["household_id"]).sum()
    clusters = len(totals)
    found = ratio_cuped(
        moments(rows, ["failures", "attempts", "before", "tenure"], shift=shift),
        *("failures", "attempts"),
        ["before", "tenure"],
        FIRST_ARM,
    )
    assert found.effect == pytest.approx(ratios[1] - ratios[0], rel=1e-9)
    assert found.std_error == pytest.approx(np.sqrt((totals**2).sum() * clusters / (clusters - 1)), rel=1e-9)
    raw = rows.groupby("arm")[["failures", "attempts"]].sum()
    assert found.control_mean == pytest.approx(raw["failures"].iloc[0] / raw["attempts"].iloc[0], rel=1e-12)
    assert (found.vcov, found.df) == ("cr1", clusters - 1)


def straddling(n: int) -> pd.DataFrame:
    """n profiles in households of some, in either arm; failures of attempts that follow habits of before."""
    random = np.random.default_rng(8)
    habit = random.gamma(2, 2, n)
    attempts = random.poisson(habit) + 1
    return pd.DataFrame(
        {
            "household_id": random.integers(0, n // 2, n),
            "arm": random.choice(["control", "treatment"], n),
            "attempts": attempts.astype(float),
            "failures": random.binomial(attempts, 0.2).astype(float),
            "before": random.poisson(habit).astype(float),
            "tenure": random.uniform(0, 90, n),
        }
    )
