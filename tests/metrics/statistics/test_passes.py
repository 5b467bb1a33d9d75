"""Rows as a partition keeps them, and what partitions say that adds up."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.statistics.moments import run_sums
from metrics.statistics.passes import HouseholdRows, RawRows, _packed, raw_rows, sorted_rows, unpacked
from metrics.statistics.survey import Cut, Tally
from metrics.statistics.winsorize import type1_quantile

ROWS = pa.table(
    {
        "household": ["b", "a", "b", "a"],
        "profile": ["4", "3", "2", "1"],
        "arm": pa.array([0, 1, 1, 0], pa.int32()),
        "device__code": ["tv", "web", "web", "tv"],
        "plays": pa.array([4.0, None, 2.0, 1.0]),
    }
)


def test_rows_are_sorted_by_household_arm_and_profile() -> None:
    raw = raw_rows(sorted_rows(ROWS))
    assert raw.household.tolist() == [0, 0, 1, 1]
    assert raw.arm.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(raw.columns["plays"], [1.0, np.nan, 4.0, 2.0])
    texts = [raw.levels["device__code"][code] for code in raw.columns["device__code"]]
    assert texts == ["tv", "web", "tv", "web"]


def test_codes_become_positions_among_everybodys_levels() -> None:
    rows = HouseholdRows(raw_rows(sorted_rows(ROWS)), None).coded({"device__code": ("mobile", "tv", "web")})
    assert rows.here is not None
    assert rows.here.columns["device__code"].tolist() == [1, 2, 1, 2]


def test_a_partition_too_large_for_one_value_is_kept_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.statistics.passes._VALUE_BYTES", 1)
    kept = list(_packed(iter(ROWS.to_batches())))
    assert len(kept) == ROWS.num_rows
    raw, whole = unpacked(kept), raw_rows(sorted_rows(ROWS))
    assert raw is not None
    assert (raw.household.tolist(), raw.levels) == (whole.household.tolist(), whole.levels)
    for name, values in whole.columns.items():
        np.testing.assert_array_equal(raw.columns[name], values)
    assert unpacked([]) is None


def test_no_rows_have_no_levels() -> None:
    raw = raw_rows(sorted_rows(ROWS.slice(0, 0)))
    assert (len(raw), raw.levels) == (0, {"device__code": ()})
    assert isinstance(raw.coded({"device__code": ()}), RawRows)


def test_sums_of_runs() -> None:
    rows = np.arange(10.0).reshape(5, 2)
    found = run_sums(rows, np.array([0, 1, 4]))
    np.testing.assert_array_equal(found, [rows[0], rows[1:4].sum(axis=0), rows[4]])
    assert run_sums(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)).shape == (0, 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1), min_size=1, max_size=5), st.floats(0, 1))
def test_the_quantile_lies_between_those_of_the_partitions(parts: list[list[int]], p: float) -> None:
    cut = Cut("7d", "minutes", "minutes", p)
    quantiles = [type1_quantile(np.array(part, dtype=float), p) for part in parts]
    tallies = [Tally(lows={cut: quantile}, highs={cut: quantile}) for quantile in quantiles]
    whole = sum(tallies[1:], tallies[0])
    everything = type1_quantile(np.array([value for part in parts for value in part], dtype=float), p)
    assert whole.lows[cut] <= everything <= whole.highs[cut]
