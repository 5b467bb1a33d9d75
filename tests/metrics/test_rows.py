from datetime import UTC, date, datetime

import pytest

from metrics.errors import InputError
from metrics.rows import Estimate, SrmCheck, Truth, row_of
from tests.result_rows import estimate, srm_check, truth


def test_nan_is_none_and_extra_columns_are_left_out() -> None:
    row = row_of(Estimate, estimate(effect=float("nan"), not_ours=1))
    assert row.effect is None
    assert row.control_mean == 10.0


def test_maps_as_arrow_gives_them_and_times_without_a_zone() -> None:
    pairs = [("control", 3), ("treatment", 4)]
    row = row_of(SrmCheck, srm_check(observed=pairs, window_end=datetime(2026, 3, 22)))
    assert row.observed == {"control": 3, "treatment": 4}
    assert row.window_end == datetime(2026, 3, 22, tzinfo=UTC)


def test_dates_in_json_are_texts() -> None:
    assert row_of(Truth, truth()).analysis_day == date(2026, 3, 21)


def test_a_missing_column_is_named() -> None:
    values = estimate()
    del values["metric"]
    with pytest.raises(InputError, match="Estimate lacks column 'metric'"):
        row_of(Estimate, values)
