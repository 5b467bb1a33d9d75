import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from metrics.statistics.estimators import Comparison, difference_in_means
from metrics.statistics.moments import UNLIMITED
from metrics.statistics.passes import HouseholdRows, household_rows
from metrics.statistics.winsorize import Bracket, Request, exact_caps, quantile_rank, rounded, type1_quantile
from tests.metrics.statistics.support import assert_matches, cases, moments, profiles, reference


@pytest.mark.parametrize("case", ["n7", "n200", "n1000", "n2000", "n999"])
def test_quantiles_agree_with_r(shared: Path, case: str) -> None:
    lists = pd.read_csv(shared / "reference" / "quantiles.csv")
    values = lists.loc[lists["list"] == case, "value"].to_numpy(dtype=float)
    probabilities = cases(shared)[f"quantile_{case}"]["inputs"]["p"]
    expected = reference(shared, f"quantile_{case}")
    assert [type1_quantile(values, p) for p in probabilities] == expected["type1"]
    cut = np.minimum(values, type1_quantile(values, 0.995)).mean()
    assert cut == pytest.approx(expected["winsorized_mean_995"]["type1"], rel=1e-9)


@pytest.mark.parametrize("vcov", ["cr1s", "cr2", "hc2"])
@pytest.mark.parametrize("outcome", ["y_plays", "y_watch"])
def test_winsorized_difference_agrees_with_r(shared: Path, outcome: str, vcov: str) -> None:
    rows = profiles(shared)
    expected = reference(shared, f"winsor_{outcome}")["type1"]
    threshold = type1_quantile(rows[outcome].to_numpy(dtype=float), 0.995)
    assert threshold == expected["threshold"]
    found = moments(
        rows.assign(**{outcome: rows[outcome].clip(upper=threshold)}), [outcome], detail_limit=UNLIMITED
    )
    assert_matches(difference_in_means(found, outcome, Comparison(1, vcov)), expected, vcov)


def test_ranks() -> None:
    assert [quantile_rank(200, 0.995), quantile_rank(201, 0.995), quantile_rank(3, 0.5)] == [199, 200, 2]
    assert [quantile_rank(5, 0.0), quantile_rank(5, 1.0)] == [1, 5]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1), st.floats(0, 1))
def test_the_quantile_is_the_smallest_value_that_reaches_the_share(values: list[int], p: float) -> None:
    found = type1_quantile(np.array(values, dtype=float), p)
    shares = {value: sum(other <= value for other in values) / len(values) for value in values}
    assert found in values
    assert shares[int(found)] >= p - 1e-12
    assert all(share < p + 1e-12 for value, share in shares.items() if value < found)


def test_rounding_hides_the_order_of_a_sum() -> None:
    assert rounded(1 / 3) == 0.333333333333
    assert rounded(0.1 + 0.2) == 0.3
    assert rounded(None) is None


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.995])
@pytest.mark.parametrize("low, high", [(-math.inf, math.inf), (0.0, 3.0), (1e9, 1e10), (-2.0, -1.0)])
def test_exact_on_spark_whatever_the_bracket(
    spark: SparkSession, probability: float, low: float, high: float
) -> None:
    """Ties, zeros and nulls; brackets that hold the quantile, and ones that miss it on either side."""
    random = np.random.default_rng(7)
    values = np.round(random.gamma(0.3, 20, 997), 1)
    records = [(i, i, 0, float(value), -float(value)) for i, value in enumerate(values)]
    schema = "household LONG, profile LONG, arm INT, value DOUBLE, negative DOUBLE"
    frame = spark.createDataFrame([*records, (-1, -1, 0, None, None)], schema).repartition(3, "household")
    request = Request("value", ("value",), probability, Bracket(len(values), low, high))
    other = Request("negative", (), probability, Bracket(len(values), -math.inf, math.inf))
    with household_rows(frame, 3) as rows:
        found, negative = exact_caps(rows, [request, other])
    assert found.threshold == type1_quantile(values, probability)
    assert found.capped_mean == pytest.approx(np.minimum(values, found.threshold).mean(), rel=1e-11)
    assert negative.threshold == type1_quantile(-values, probability)


def test_nothing_to_cut_costs_nothing() -> None:
    assert exact_caps(HouseholdRows(None, None), []) == []
