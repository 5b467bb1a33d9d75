from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from metrics.statistics.interactions import Interaction, LevelSums, fit_levels, interaction, level_sums
from metrics.statistics.regression import Rows
from metrics.statistics.second_pass import added_up, flattened, read_sums
from tests.metrics.statistics.support import ARMS, moments, profiles, reference, rows_of


def wald(rows: pd.DataFrame, outcome: Sequence[str], segment: str, parts: int = 1) -> Interaction:
    codes, levels = pd.factorize(rows[segment], sort=True)
    rows = rows.assign(code=codes)
    whole = moments(rows, outcome)
    cells = {i: moments(rows[codes == i], outcome, shift=whole.shift.tolist()) for i in range(len(levels))}
    fitted = fit_levels(cells, len(levels), outcome, segment, 1)
    if isinstance(fitted, Interaction):
        return fitted
    found = rows_of(rows, outcome, whole, level="code")
    sums = []
    for part in range(parts):
        own = found.household % parts == part
        rows_of_part = Rows(found.x[own], found.arm[own], found.household[own], found.level[own])
        sums.append(flattened(level_sums(fitted, rows_of_part)))
    total = read_sums(added_up(sums), fitted)
    assert isinstance(total, LevelSums)
    return interaction(fitted, total)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_agrees_with_r(shared: Path, outcome: str, parts: int) -> None:
    """Households reach over several levels; sums over sets of them add."""
    found = wald(profiles(shared), [outcome], "segment", parts)
    expected = reference(shared, f"hte_segment_{outcome}")["interaction"]
    numbers = [expected[name] for name in ("F_cr1s", "df1", "df2", "p_F_cr1s")]
    assert [found.statistic, found.df1, found.df2, found.p_value] == pytest.approx(numbers, rel=1e-9)


def random_levels(n: int = 900, seed: int = 2) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "household_id": random.integers(0, n // 2, n),
            "arm": random.choice(ARMS, n),
            "level": random.choice(["a", "b", "c"], n),
            "top": random.poisson(3, n).astype(float),
            "bottom": random.poisson(9, n) + 1.0,
        }
    )


def test_ratios_are_linearised() -> None:
    """The same as the regression of the linearised values on level, arm and their products."""
    rows = random_levels()
    ratios = rows.groupby(["level", "arm"])[["top", "bottom"]].transform("sum")
    ratio = ratios["top"] / ratios["bottom"]
    size = rows.groupby(["level", "arm"])["bottom"].transform("mean")
    linear = ratio + (rows["top"] - ratio * rows["bottom"]) / size
    dummies = pd.get_dummies(rows["level"]).astype(float)
    treated = (rows["arm"] == "treatment").astype(float)
    design = np.column_stack([dummies, dummies.mul(treated, axis=0)])
    groups = rows["household_id"].to_numpy()
    fit = sm.OLS(linear.to_numpy(), design).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}, use_t=True
    )
    test = fit.f_test(np.array([[0, 0, 0, -1, 1, 0], [0, 0, 0, -1, 0, 1]]))
    found = wald(rows, ["top", "bottom"], "level")
    assert found.statistic == pytest.approx(float(np.squeeze(test.fvalue)), rel=1e-8)
    assert found.p_value == pytest.approx(float(test.pvalue), rel=1e-8)


def test_levels_with_one_arm_are_left_out() -> None:
    rows = random_levels()
    whole = wald(rows[rows["level"] != "c"], ["top"], "level")
    lone = rows[(rows["level"] != "c") | (rows["arm"] == "control")]
    found = wald(lone, ["top"], "level")
    assert (found.statistic, found.df1, found.df2) == pytest.approx(
        (whole.statistic, whole.df1, whole.df2), rel=1e-9
    )
    one = rows[(rows["level"] == "a") | (rows["arm"] == "control")]
    assert wald(one, ["top"], "level") == Interaction("empty_arm")


def test_a_level_with_one_household_in_an_arm_is_left_out() -> None:
    """Its residual is 0, as if its effect were known exactly: the test would reject two times of three."""
    rows = random_levels()
    whole = wald(rows, ["top"], "level")
    arms = ["treatment", *["control"] * 29]
    lone = pd.DataFrame(
        {"household_id": range(5000, 5030), "arm": arms, "level": "lone", "top": np.arange(30.0)}
    )
    found = wald(pd.concat([rows, lone.assign(bottom=1.0)], ignore_index=True), ["top"], "level")
    assert (found.statistic, found.df1, found.df2) == pytest.approx(
        (whole.statistic, whole.df1, whole.df2), rel=1e-9
    )


def test_no_variance_and_one_household_are_named() -> None:
    rows = random_levels()
    assert wald(rows.assign(top=2.0), ["top"], "level").status == "no_variance"
    assert wald(rows.assign(household_id=1), ["top"], "level").status == "one_cluster"
