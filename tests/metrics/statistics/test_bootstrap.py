import numpy as np
import pytest

from metrics.statistics.bootstrap import (
    BLOCK,
    BUCKETS,
    block_weights,
    interval_of,
    ratios,
    replicate_totals,
)

# Few households, each a bucket of its own, in several blocks.
PLACES = np.arange(0, BUCKETS, 331)


def sums_of(values: np.ndarray) -> np.ndarray:
    sums = np.zeros((BUCKETS, values.shape[1]))
    sums[PLACES] = values
    return sums


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(5).gamma(0.5, 4.0, (len(PLACES), 2))


def test_weights_are_poisson_of_mean_one_and_unrelated() -> None:
    weights = block_weights(3, 17, 10_000).astype(float)
    assert weights.shape == (10_000, BLOCK)
    assert weights.mean() == pytest.approx(1, abs=4 / np.sqrt(weights.size))
    assert weights.var() == pytest.approx(1, abs=8 / np.sqrt(weights.size))
    shares = np.bincount(weights.astype(int).ravel(), minlength=4)[:4] / weights.size
    assert shares == pytest.approx([0.36788, 0.36788, 0.18394, 0.06131], abs=1e-3)
    between = np.corrcoef(weights.T)[np.triu_indices(BLOCK, 1)]
    assert np.abs(between).max() < 0.06 and abs(between.mean()) < 0.001
    neighbour = block_weights(3, 18, 10_000).astype(float)
    assert abs(np.corrcoef(weights.ravel(), neighbour.ravel())[0, 1]) < 0.003


def test_a_weight_depends_on_seed_bucket_and_replicate_alone() -> None:
    assert np.array_equal(block_weights(3, 17, 1001), block_weights(3, 17, 4000)[:1001])
    assert not np.array_equal(block_weights(3, 17, 100), block_weights(4, 17, 100))


def test_replicates_are_the_weighted_totals(values: np.ndarray) -> None:
    totals = replicate_totals(sums_of(values), 9, 50)
    weights = np.column_stack(
        [block_weights(9, place // BLOCK, 50)[:, place % BLOCK] for place in PLACES.tolist()]
    )
    np.testing.assert_allclose(totals, weights @ values, rtol=1e-12)


def test_the_spread_of_a_mean_is_its_closed_form(values: np.ndarray) -> None:
    """The household-clustered delta method without a factor, within Monte Carlo error of 10,000 replicates."""
    y = values[:, 0]
    totals = replicate_totals(sums_of(np.column_stack([y, np.ones(len(y))])), 9, 10_000)
    found = interval_of(ratios(totals), 0.05)
    closed = np.sqrt(((y - y.mean()) ** 2).sum()) / len(y)
    assert found is not None
    assert found.std_error == pytest.approx(closed, rel=0.02)
    assert found.high - found.low == pytest.approx(2 * 1.96 * closed, rel=0.03)
    assert (found.high + found.low) / 2 == pytest.approx(y.mean(), abs=0.3 * closed)


def test_percentiles_and_the_chance_of_the_other_sign() -> None:
    found = interval_of(np.arange(-9.0, 90.0), 0.1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-4.1, 84.1))
    assert found.p_value == pytest.approx(2 * 11 / 100)


def test_replicates_without_a_denominator_are_left_out() -> None:
    quotients = ratios(np.array([[1.0, 0.0], [1.0, 2.0], [3.0, 4.0]]))
    assert np.isnan(quotients[0])
    found = interval_of(quotients, 0.05)
    assert found is not None and found.std_error == pytest.approx(np.std([0.5, 0.75], ddof=1))
    assert interval_of(quotients[:2], 0.05) is None
