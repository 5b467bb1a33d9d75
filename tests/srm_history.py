"""The looks of an hourly monitor over drawn exposures, with a fault from some hour on, as rows of `srm_checks`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from metrics.statistics.srm import e_bh, srm_test
from tests.result_rows import srm_check

OPENS = datetime(2026, 3, 2, tzinfo=UTC)
HOURLY = {
    ("eu", "android"): 300,
    ("eu", "tv"): 700,
    ("eu", "web"): 250,
    ("us", "android"): 200,
    ("us", "tv"): 500,
    ("us", "web"): 150,
}


def looks(
    is_off: Callable[[str, str], bool], since: int, n_hours: int, share: float = 0.56, seed: int = 0
) -> list[dict[str, Any]]:
    """Profiles of strata region|device by the hour; from hour `since` on the control has the share
    where it is off. The sums over strata, devices and regions are checked, too.
    """
    rng = np.random.default_rng(seed)
    total = {stratum: np.zeros(2, dtype=int) for stratum in HOURLY}
    rows: list[dict[str, Any]] = []
    for hour in range(n_hours):
        for stratum, rate in HOURLY.items():
            p = share if hour >= since and is_off(*stratum) else 0.5
            control = rng.binomial(rate, p)
            total[stratum] += (control, rate - control)
        rows += _checks(total, OPENS + timedelta(hours=hour + 1))
    return rows


def _checks(total: Mapping[tuple[str, str], np.ndarray], end: datetime) -> list[dict[str, Any]]:
    by_slice: dict[tuple[str, str], np.ndarray] = {}
    for (region, device), counts in total.items():
        for key in (
            ("all", "all"),
            ("stratum", f"{region}|{device}"),
            ("device", device),
            ("region", region),
        ):
            by_slice[key] = by_slice.get(key, 0) + counts
    tests = {key: srm_test(list(map(int, counts)), (0.5, 0.5)) for key, counts in by_slice.items()}
    threshold = e_bh([test.log_e_value for test in tests.values()])
    return [
        srm_check(
            window_end=end,
            slice=slice_,
            slice_value=value,
            observed=dict(zip(("control", "treatment"), map(int, by_slice[slice_, value]), strict=True)),
            expected=dict(zip(("control", "treatment"), test.expected, strict=True)),
            p_value=test.p_value,
            log_e_value=test.log_e_value,
            threshold=threshold,
            triggered=test.log_e_value >= threshold,
        )
        for (slice_, value), test in tests.items()
    ]
