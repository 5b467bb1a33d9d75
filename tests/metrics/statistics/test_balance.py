"""Balance of the arms from stored moments, against statsmodels on the rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pyspark.sql import SparkSession
from scipy.stats import chi2_contingency, ks_1samp, uniform

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.statistics.analysis import estimate
from metrics.statistics.balance import SUSPECT_P, Balance, _split, balance
from metrics.statistics.cells import Cell
from metrics.statistics.moments import UNLIMITED, Moments, moments_of
from metrics.statistics.passes import one_thread
from tests.metrics.statistics.test_analysis import DAY, EXPERIMENT, configuration, on_spark, random_windows

SOURCES = ["pre_plays", "pre_minutes", "tenure_days", "device"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Catalogue]:
    return configuration(tmp_path_factory.mktemp("conf"), EXPERIMENT)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return random_windows()


@pytest.fixture(scope="module")
def found(spark: SparkSession, rows: pd.DataFrame, plan: tuple[Experiment, Catalogue]) -> Balance:
    stored = estimate(on_spark(spark, rows), *plan, DAY).moments
    cells = {
        Cell(r.maturity_group, r.segment, r.segment_value): Moments.from_bytes(r.payload) for r in stored
    }
    answer = balance(cells, SOURCES, has_independent_profiles=True)
    assert answer is not None
    return answer


def test_each_covariate_agrees_with_a_regression(found: Balance, rows: pd.DataFrame) -> None:
    """The group of all exposed profiles is the largest: ratios are matured at once."""
    assert found.population == "to_date"
    for each in found.covariates:
        if each.covariate not in ("pre_plays", "tenure_days", "device=tv"):
            continue
        values = (rows["device"] == "tv").astype(float) if "=" in each.covariate else rows[each.covariate]
        pair = rows["arm"].isin(["control", each.arm])
        y = values.fillna(values.mean())[pair]
        treated = (rows["arm"] == each.arm).astype(float)[pair]
        fit = sm.OLS(y, sm.add_constant(treated)).fit(
            cov_type="cluster", cov_kwds={"groups": rows["household_id"][pair].to_numpy()}, use_t=True
        )
        expected = (
            fit.params.iloc[1],
            fit.bse.iloc[1],
            fit.pvalues.iloc[1],
            fit.params.iloc[1] / y.std(ddof=1),
        )
        assert (each.difference, each.std_error, each.p_value, each.standardized) == pytest.approx(
            expected, rel=1e-8
        )


def test_every_covariate_and_stratum_is_compared(found: Balance) -> None:
    names = {each.covariate for each in found.covariates}
    assert names == {
        "pre_plays",
        "pre_minutes",
        "tenure_days",
        "device=tv",
        "device=web",
        "any_covariate_missing",
    }
    places = {(each.segment, each.segment_value) for each in found.joint}
    assert places == {("all", "all"), ("stratum", "tv"), ("stratum", "web"), ("stratum", "mobile")}
    assert not found.is_suspect


def test_strata_are_compared_by_a_chi_square(found: Balance, rows: pd.DataFrame) -> None:
    chi_square, p_value, df, _ = chi2_contingency(pd.crosstab(rows["stratum"], rows["arm"]), correction=False)
    assert found.strata is not None
    tested = (found.strata.chi_square, found.strata.df, found.strata.p_value)
    assert tested == pytest.approx((chi_square, df, p_value))


def _cells(random: np.random.Generator, bias: float = 0.0, n: int = 600) -> Mapping[Cell, Moments]:
    """Households of two with four correlated covariates; `bias` is added to one of them in treatment."""
    household = np.repeat(np.arange(n // 2), 2)
    arm = random.integers(0, 2, n)
    habit = random.standard_normal(n // 2)[household]
    x = 0.7 * habit[:, None] + random.standard_normal((n, 4)) ** 3
    x[:, 2] += bias * arm
    order = np.lexsort((arm, household))
    columns = tuple(f"pre_{i}" for i in range(4))
    rows = np.asfortranarray(np.column_stack([np.ones(n), x])[order])
    zero, wide = np.zeros(4), np.full(4, np.inf)
    moments = moments_of(
        columns, ("control", "a"), zero, (-wide, wide), rows, arm[order], household[order], UNLIMITED
    )
    return {Cell("7d"): moments}


def _joint_p(cells: Mapping[Cell, Moments]) -> float:
    found = balance(cells, [f"pre_{i}" for i in range(4)], has_independent_profiles=True)
    assert found is not None and found.joint[0].p_value is not None
    return found.joint[0].p_value


def test_the_joint_test_is_uniform_under_randomization() -> None:
    random = np.random.default_rng(11)
    with one_thread():
        p_values = [_joint_p(_cells(random)) for _ in range(1000)]
    assert ks_1samp(p_values, uniform.cdf).pvalue > 0.001
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_one_covariate_that_differs_is_found() -> None:
    found = balance(_cells(np.random.default_rng(3), bias=3.0), [f"pre_{i}" for i in range(4)], True)
    assert found is not None and found.is_suspect
    worst = max(found.covariates, key=lambda each: abs(each.standardized or 0.0))
    assert worst.covariate == "pre_2" and (worst.standardized or 0.0) > 0.5


def test_columns_that_differ_by_row_but_not_by_household_are_no_traceback() -> None:
    """Two rare dummies, each 1 for one profile of the same household and arm: their scores are the same."""
    random = np.random.default_rng(2)
    n = 70
    household = np.repeat(np.arange(n // 2), 2)
    arm = np.repeat(random.integers(0, 2, n // 2), 2)
    x = np.zeros((n, 3))
    x[:, 0], x[10, 1], x[11, 2] = random.standard_normal(n), 1, 1
    rows = np.asfortranarray(np.column_stack([np.ones(n), x]))
    wide = np.full(3, np.inf)
    names = ("pre_plays", "device=tv", "any_covariate_missing")
    moments = moments_of(names, ("control", "a"), np.zeros(3), (-wide, wide), rows, arm, household, UNLIMITED)
    found = balance({Cell("7d"): moments}, ["pre_plays", "device"], True)
    assert found is not None
    (joint,) = found.joint
    assert joint.df1 == 2 and joint.p_value is not None and 0.001 < joint.p_value < 1


def test_small_strata_and_uneven_arms_raise_no_false_alarm() -> None:
    random = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        sizes = [2000] * 6 + [2] * 12
        n_arm = [random.binomial(size, 0.05) for size in sizes]
        found = _split(np.array([[size - k, k] for size, k in zip(sizes, n_arm, strict=True)], dtype=float))
        assert found is not None
        alarms += found.p_value < SUSPECT_P
    assert alarms <= 4
    assert _split(np.array([[1.0, 1.0], [2.0, 0.0]])) is None
    assert _split(np.zeros((2, 2))) is None


def test_nobody_and_nothing_to_compare(spark: SparkSession, plan: tuple[Experiment, Catalogue]) -> None:
    assert balance({}, SOURCES, True) is None
    one = random_windows(1, seed=8).assign(arm="control")
    stored = estimate(on_spark(spark, one), *plan, DAY).moments
    cells = {
        Cell(r.maturity_group, r.segment, r.segment_value): Moments.from_bytes(r.payload) for r in stored
    }
    found = balance(cells, SOURCES, True)
    assert found is not None and found.strata is None and not found.is_suspect
    assert {row.p_value for row in found.covariates} | {row.p_value for row in found.joint} == {None}
