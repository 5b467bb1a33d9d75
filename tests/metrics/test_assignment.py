"""Layers share out their buckets: no unit is in two experiments of one, and nobody moves when a share grows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from scipy.stats import chi2_contingency

from metrics.assignment import Allocation, allocate, buckets_of, in_force, ranges_of, share_before
from metrics.bucketing import BUCKETS
from metrics.configuration.experiment import Restart
from metrics.errors import InputError
from tests.metrics.rollup.frames import EXPERIMENT

NOW = datetime(2026, 3, 2, tzinfo=UTC)
IDS = range(1, 20_001)
FIRST, SECOND = (replace(EXPERIMENT, id=name, layer="homepage") for name in ("first", "second"))


def arms_of(allocation: Allocation) -> dict[int, str]:
    return {unit: arm for unit in IDS if (arm := allocation.arm_of(unit))}


def test_a_share_grows_without_moving_anybody() -> None:
    allocation, before = None, dict[int, str]()
    for day, share in enumerate(FIRST_STAGES := (0.01, 0.05, 0.2, 0.5)):
        allocation = allocate(FIRST, share, NOW + timedelta(day), own=allocation)
        arms = arms_of(allocation)
        assert before.items() <= arms.items()
        assert len(arms) / len(IDS) == pytest.approx(share, abs=0.01)
        before = arms
    assert allocation is not None and allocation.exposed_share == FIRST_STAGES[-1]


def test_experiments_of_one_layer_share_nobody_however_their_shares_grow_in_turn() -> None:
    first = allocate(FIRST, 0.1, NOW)
    second = allocate(SECOND, 0.2, NOW, others=[first])
    grown = allocate(FIRST, 0.6, NOW, own=first, others=[second])
    assert len(grown.layer_buckets) == 2
    assert not buckets_of(grown.layer_buckets) & buckets_of(second.layer_buckets)
    assert not arms_of(grown).keys() & arms_of(second).keys()
    assert arms_of(first).items() <= arms_of(grown).items()


def test_the_share_before_an_override_is_the_same_when_it_is_repeated() -> None:
    day = timedelta(1)
    stage = allocate(FIRST, 0.05, NOW)
    planned = allocate(FIRST, 0.2, NOW + day, own=stage)
    assert share_before([], NOW, 0.05) == 0
    assert share_before([stage], NOW + day, 0.2) == 0.05
    assert share_before([stage, planned], NOW + day, 0.2) == 0.05  # killed before it was recorded
    assert share_before([stage, planned], NOW + day, 0.05) == 0.2
    assert share_before([stage, planned], NOW + 2 * day, 0.2) == 0.2


def test_the_holdout_is_in_no_experiment() -> None:
    with pytest.raises(
        InputError, match=r"share 0\.96 of 'first' does not fit into layer 'homepage': 0\.95 is free"
    ):
        allocate(FIRST, 0.96, NOW, holdout=0.05)
    whole = allocate(FIRST, 0.95, NOW, holdout=0.05)
    assert whole.layer_buckets == ((0, 9500),)


def test_a_holdout_that_comes_later_is_not_passed_over_in_silence() -> None:
    whole = allocate(FIRST, 1.0, NOW)
    with pytest.raises(
        InputError, match=r"'first' has buckets of layer 'homepage' that are .* the holdout's by now"
    ):
        allocate(FIRST, 1.0, NOW, own=whole, holdout=0.05)
    assert allocate(FIRST, 0.0, NOW, own=whole, holdout=0.05).layer_buckets == ()


def test_a_share_of_less_than_a_bucket_is_not_taken_for_none() -> None:
    with pytest.raises(
        InputError, match=r"share 4e-05 of 'first' is less than a bucket; give at least 0\.0001, or 0"
    ):
        allocate(FIRST, 0.00004, NOW)


def test_arms_keep_the_order_of_the_file_whatever_order_a_map_comes_back_in() -> None:
    three = allocate(replace(FIRST, arms={"control": 0.2, "b": 0.5, "a": 0.3}), 1.0, NOW)
    shuffled = replace(three, shares={"a": 0.3, "control": 0.2, "b": 0.5})
    assert arms_of(shuffled) == arms_of(three)


def test_the_id_that_is_hashed_is_named() -> None:
    assert allocate(FIRST, 0.5, NOW).unit == "profile_id"
    assert allocate(replace(FIRST, randomized_by="cluster"), 0.5, NOW).unit == "household_id"


def test_units_of_another_kind_cannot_be_in_the_same_layer() -> None:
    """Their buckets are of other ids: disjoint buckets would share profiles."""
    by_household = allocate(replace(FIRST, randomized_by="cluster"), 0.1, NOW)
    with pytest.raises(InputError, match=r"'second' draws by profile_id, unlike 'first' in layer 'homepage'"):
        allocate(SECOND, 0.1, NOW, others=[by_household])
    closed = allocate(replace(FIRST, randomized_by="cluster"), 0.0, NOW, own=by_household)
    assert allocate(SECOND, 0.1, NOW, others=[closed]).layer_buckets == ((0, 1000),)


def test_layers_are_independent_of_each_other_and_of_arms() -> None:
    here, there = (allocate(replace(FIRST, layer=layer), 0.5, NOW) for layer in ("homepage", "player"))
    table = [[0, 0], [0, 0]]
    for unit in IDS:
        table[here.holds(unit)][there.holds(unit)] += 1
    assert chi2_contingency(table).pvalue > 0.001
    whole, arms = allocate(FIRST, 1.0, NOW), [[0, 0], [0, 0]]
    for unit in IDS:
        arms[here.holds(unit)][whole.arm_of(unit) == "control"] += 1
    assert chi2_contingency(arms).pvalue > 0.001


def test_an_experiment_that_ends_gives_its_buckets_back() -> None:
    ended = allocate(FIRST, 0.0, NOW, own=allocate(FIRST, 0.7, NOW))
    assert (ended.layer_buckets, arms_of(ended)) == ((), {})
    assert allocate(SECOND, 1.0, NOW, others=[ended]).layer_buckets == ((0, BUCKETS),)


def test_a_share_cannot_shrink_in_part() -> None:
    with pytest.raises(InputError, match=r"share 0\.1 of 'first' is below 0\.2, which is in force"):
        allocate(FIRST, 0.1, NOW, own=allocate(FIRST, 0.2, NOW))


def test_a_restart_draws_the_arms_of_the_same_units_anew() -> None:
    before = allocate(FIRST, 0.3, NOW)
    again = allocate(replace(FIRST, restart=Restart(1, NOW.date(), "")), 0.3, NOW, own=before)
    assert not again.is_same(before)
    old, new = arms_of(before), arms_of(again)
    assert old.keys() == new.keys()
    assert 0.45 < sum(old[unit] == new[unit] for unit in old) / len(old) < 0.55


def test_the_latest_allocation_that_has_begun_is_in_force() -> None:
    early, late = allocate(FIRST, 0.1, NOW), allocate(FIRST, 0.2, NOW + timedelta(1))
    assert in_force([late, early], NOW + timedelta(hours=1)) == early
    assert in_force([late, early], NOW + timedelta(1)) == late
    assert in_force([late, early], NOW - timedelta(1)) is None


def test_spark_assigns_as_python_does(spark: SparkSession) -> None:
    other = allocate(SECOND, 0.2, NOW, others=[allocate(FIRST, 0.1, NOW)])
    grown = allocate(FIRST, 0.45, NOW, own=allocate(FIRST, 0.1, NOW), others=[other])
    rows = spark.range(-1000, 1000).select("id", grown.arm_column("id").alias("arm")).collect()
    assert {row["id"]: row["arm"] for row in rows} == {
        unit: grown.arm_of(unit) for unit in range(-1000, 1000)
    }
    nobody = replace(grown, layer_buckets=())
    assert {row[0] for row in spark.range(5).select(nobody.arm_column("id")).collect()} == {None}


@given(st.sets(st.integers(0, BUCKETS - 1), max_size=60))
def test_ranges_hold_exactly_their_numbers(numbers: set[int]) -> None:
    ranges = ranges_of(numbers)
    assert buckets_of(ranges) == numbers
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
