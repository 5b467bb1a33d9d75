import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.statistics.estimators import Comparison, cuped, difference_in_means
from metrics.statistics.moments import Moments, merged
from tests.metrics.statistics.support import moments, regression

ARMS = ("control", "a", "b")
COLUMNS = ["y", "x"]


def random_rows(seed: int, n_households: int = 80) -> pd.DataFrame:
    """Households of 1 to 4 profiles, each profile in an arm of its own, around a far mean."""
    random = np.random.default_rng(seed)
    household = np.repeat(np.arange(n_households), random.integers(1, 5, n_households))
    shared = random.normal(size=n_households)[household]
    x = random.normal(size=len(household)) + shared
    return pd.DataFrame(
        {
            "household_id": household,
            "arm": random.choice(ARMS, len(household), p=[0.5, 0.3, 0.2]),
            "x": 50 + x,
            "y": 1000 + x + shared + random.normal(size=len(household)),
        }
    )


def parts_of(rows: pd.DataFrame, labels: np.ndarray) -> list[Moments]:
    """Moments of the households by label, each part around a shift of its own."""
    label = labels[rows["household_id"]]
    return [moments(rows[label == value], COLUMNS, ARMS) for value in np.unique(label)]


def assert_same(left: Moments, right: Moments) -> None:
    moved = right.shifted_to(left.shift)
    for name in ("row_products", "household_products"):
        np.testing.assert_allclose(getattr(left, name), getattr(moved, name), rtol=1e-9, atol=1e-7)
    np.testing.assert_array_equal(left.household_counts, moved.household_counts)
    assert left.n_households == moved.n_households
    assert len(left.details) == len(moved.details)
    np.testing.assert_allclose(left.details.sum(axis=0), moved.details.sum(axis=0), atol=1e-7)


def test_products_of_two_small_households_by_hand() -> None:
    rows = pd.DataFrame(
        {"household_id": [1, 1, 2], "arm": ["control", "a", "a"], "y": [2.0, 3.0, 5.0], "x": [1.0, 1.0, 0.0]}
    )
    found = moments(rows, COLUMNS, ("control", "a"), shift=[0, 0])
    assert found.n_profiles.tolist() == [1, 2]
    assert found.row_products[1].tolist() == [[2, 8, 1], [8, 34, 3], [1, 3, 1]]
    assert found.household_products[0, :, 1, :].tolist() == [[1, 3, 1], [2, 6, 2], [1, 3, 1]]
    assert found.household_counts.tolist() == [[1, 1], [1, 2]]
    assert found.n_households == found.households_of(1) == 2
    assert found.details.tolist() == [[[1, 2, 1], [1, 3, 1]], [[0, 0, 0], [1, 5, 0]]]


def test_cells_that_share_households_do_not_add_up() -> None:
    rows = random_rows(0)
    days = np.arange(len(rows)) % 2
    whole = moments(rows, COLUMNS, ARMS, shift=[0, 0])
    summed = merged([moments(rows[days == day], COLUMNS, ARMS, shift=[0, 0]) for day in (0, 1)])
    np.testing.assert_allclose(whole.row_products, summed.row_products)
    assert whole.household_products[0, 1, 0, 1] > 1.1 * summed.household_products[0, 1, 0, 1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), n_parts=st.integers(1, 6), order=st.randoms())
def test_merging_in_any_grouping_and_order_is_the_whole(seed: int, n_parts: int, order: object) -> None:
    rows = random_rows(seed)
    labels = np.random.default_rng(seed + 1).integers(0, n_parts, 80)
    parts = parts_of(rows, labels)
    order.shuffle(parts)  # type: ignore[attr-defined]
    assert_same(moments(rows, COLUMNS, ARMS), merged(parts))
    if len(parts) > 2:
        assert_same(merged(parts), parts[0] + merged(parts[1:]))
        assert_same(parts[0] + parts[1], parts[1] + parts[0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_permuting_rows_changes_nothing(seed: int) -> None:
    rows = random_rows(seed)
    assert_same(moments(rows, COLUMNS, ARMS), moments(rows.sample(frac=1, random_state=seed), COLUMNS, ARMS))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), add=st.floats(-1e3, 1e3), times=st.floats(0.01, 100))
def test_effects_move_with_the_outcome_as_algebra_says(seed: int, add: float, times: float) -> None:
    rows = random_rows(seed)
    moved = rows.assign(y=rows["y"] * times + add)
    before = cuped(moments(rows, COLUMNS, ARMS), "y", ["x"], Comparison(1))
    after = cuped(moments(moved, COLUMNS, ARMS), "y", ["x"], Comparison(1))
    expected = np.array([before.effect, before.std_error], dtype=float) * times
    np.testing.assert_allclose(np.array([after.effect, after.std_error], dtype=float), expected, rtol=1e-7)
    assert after.p_value == pytest.approx(before.p_value, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_relabelling_arms_flips_the_sign(seed: int) -> None:
    rows = random_rows(seed)
    there = difference_in_means(moments(rows, COLUMNS, ("control", "a")), "y", Comparison(1))
    back = difference_in_means(moments(rows, COLUMNS, ("a", "control")), "y", Comparison(1))
    assert there.effect == pytest.approx(-(back.effect or 0), rel=1e-12)
    assert there.std_error == pytest.approx(back.std_error, rel=1e-12)
    assert there.df == pytest.approx(back.df, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_a_covariate_of_pure_noise_changes_the_estimate_within_its_error(seed: int) -> None:
    random = np.random.default_rng(seed + 1)
    rows = random_rows(seed).assign(noise=lambda rows: random.normal(size=len(rows)))
    held = moments(rows, ["y", "x", "noise"], ARMS)
    covariates = (["x"], ["x", "noise"])
    adjusted = [cuped(held, "y", names, Comparison(1)) for names in covariates]
    interacted = [regression(rows, "y", names, Comparison(1), ARMS, estimator="lin") for names in covariates]
    for without, with_noise in (adjusted, interacted):
        assert abs((with_noise.effect or 0) - (without.effect or 0)) < 1.5 * (without.std_error or 0)
        assert with_noise.std_error == pytest.approx(without.std_error, rel=0.25)


def test_details_are_kept_for_the_arms_with_few_households_only() -> None:
    """40 households see the control or b, 200 see a: only the comparison with a has many."""
    household = np.arange(240)
    arm = np.where(household < 200, "a", np.where(household < 220, "control", "b"))
    rows = pd.DataFrame({"household_id": household, "arm": arm, "y": 1.0 * household, "x": 0.0})
    whole = moments(rows, COLUMNS, ARMS)
    assert [whole.households_of(1), whole.households_of(2)] == [220, 40]
    assert len(whole.details) == 40
    assert_same(whole, merged(parts_of(rows, household % 7)))


def test_bytes_round_trip_and_repeat() -> None:
    whole = moments(random_rows(5, 30), COLUMNS, ARMS)
    payload = whole.to_bytes()
    back = Moments.from_bytes(payload)
    assert back.to_bytes() == payload
    assert (back.columns, back.arms, back.detail_limit) == (whole.columns, whole.arms, whole.detail_limit)
    np.testing.assert_array_equal(back.details, whole.details)
    assert cuped(back, "y", ["x"], Comparison(2)) == cuped(whole, "y", ["x"], Comparison(2))


def test_moments_of_different_kinds_do_not_add() -> None:
    rows = random_rows(1)
    with pytest.raises(ValueError, match="differ in columns"):
        moments(rows, ["y"], ARMS) + moments(rows, ["x"], ARMS)
