import numpy as np
import pytest

from metrics.statistics import quantile as q
from metrics.statistics.bootstrap import BLOCK, BUCKETS, block_weights
from metrics.statistics.cells import Cell
from metrics.statistics.layout import Group
from metrics.statistics.passes import HouseholdRows, RawRows
from metrics.statistics.winsorize import type1_quantile

GROUP = Group("units", ("spend",), ("spend",), ())


def slice_of(probability: float, arm: int = 0) -> q.Slice:
    return q.Slice("spend", Cell("units"), 0, arm, probability, GROUP)


def rows_of(values: np.ndarray, buckets: np.ndarray | None = None, arm: np.ndarray | None = None) -> RawRows:
    n = len(values)
    places = np.arange(n) * 37 % BUCKETS if buckets is None else buckets
    arms = np.zeros(n, dtype=np.int64) if arm is None else arm
    return RawRows({"spend": values, "bucket": places}, np.arange(n), arms)


def counted(values: np.ndarray, probability: float, parts: int = 1) -> q.Counts:
    """Counts of all values, over several partitions as Spark would merge them."""
    slices = [slice_of(probability)]
    places = np.arange(len(values)) * 37 % BUCKETS
    raws = [rows_of(values[i::parts], places[i::parts]) for i in range(parts)]
    leading = [dict(q._leading_kernel(slices)(raw))[0] for raw in raws]
    brackets = {0: q._bracket(q._merged_leading(leading), slices[0])}
    payloads = [dict(q._counting_kernel(slices, brackets)(raw))[0] for raw in raws]
    return q._counts(q._merged_counts(payloads))


def replicated(counts: q.Counts, slice_: q.Slice, replicates: int) -> np.ndarray:
    return q.replicate_quantiles({slice_: counts}, 5, replicates)[slice_]


@pytest.mark.parametrize("probability", [0.01, 0.5, 0.995])
@pytest.mark.parametrize("kind", ["heavy", "zeros", "negative", "few"])
def test_the_quantile_is_exact(kind: str, probability: float) -> None:
    random = np.random.default_rng(3)
    values = {
        "heavy": random.lognormal(0, 2, 20_001),
        "zeros": random.poisson(0.3, 20_000).astype(float),
        "negative": random.normal(-0.5, 1, 20_000),
        "few": np.array([3.0, -0.0, 0.0, 1.0]),
    }[kind]
    for parts in (1, 4):
        assert counted(values, probability, parts).quantile(probability) == type1_quantile(
            values, probability
        )


def test_only_values_that_replicates_can_reach_are_kept() -> None:
    values = np.random.default_rng(3).lognormal(0, 2, 200_000)
    counts = counted(values, 0.5)
    assert 2_000 < len(counts.values) < 20_000
    assert counts.rows.sum() == 200_000
    assert counts.below.sum() + counts.each.sum() < 110_000


def test_replicates_are_quantiles_of_weighted_rows() -> None:
    random = np.random.default_rng(4)
    values = np.round(random.gamma(1, 9, 300), 1)
    places = np.arange(300) * 37 % BUCKETS
    found = replicated(counted(values, 0.9), slice_of(0.9), 40)
    for replicate in range(40):
        weights = [
            block_weights(5, place // BLOCK, 40)[replicate, place % BLOCK] for place in places.tolist()
        ]
        assert found[replicate] == type1_quantile(np.repeat(values, weights), 0.9)


def test_the_spread_of_a_median_is_its_asymptotic_one() -> None:
    """Of a uniform: sqrt(p (1 - p) / n), although only some hundred steps are told apart."""
    values = np.random.default_rng(6).random(40_000)
    found = replicated(counted(values, 0.5), slice_of(0.5), 4_000)
    assert found.std() == pytest.approx(np.sqrt(0.25 / 40_000), rel=0.08)


def test_replicates_of_large_alike_clusters_stay_within_what_is_kept() -> None:
    """60 clusters of 400 rows that hardly differ within: the median moves as far as with 60 rows."""
    random = np.random.default_rng(7)
    cluster = np.repeat(np.arange(60), 400)
    values = random.normal(size=60)[cluster] + random.normal(scale=0.01, size=len(cluster))
    places = cluster * 997 % BUCKETS
    slices = [slice_of(0.5)]
    raw = RawRows({"spend": values, "bucket": places}, cluster, np.zeros(len(cluster), dtype=np.int64))
    counts = q.count_slices(HouseholdRows(raw, None), slices)[slices[0]]
    found = replicated(counts, slices[0], 300)
    weights = np.column_stack(
        [block_weights(5, p // BLOCK, 300)[:, p % BLOCK] for p in (np.arange(60) * 997 % BUCKETS).tolist()]
    )
    expected = [type1_quantile(np.repeat(values, own[cluster]), 0.5) for own in weights]
    assert found.std() == pytest.approx(np.std(expected), rel=0.02)
    assert np.quantile(found, [0.025, 0.975]) == pytest.approx(
        np.quantile(expected, [0.025, 0.975]), abs=0.02
    )


def test_slices_without_rows_are_absent() -> None:
    slices = [slice_of(0.5), slice_of(0.5, arm=1)]
    found = q.count_slices(HouseholdRows(rows_of(np.arange(9.0)), None), slices)
    assert set(found) == {slices[0]}
