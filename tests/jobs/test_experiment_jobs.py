"""Steps of the experiments that refuse to work on what is not there."""

import pytest

from jobs.build_profile_windows import build_profile_windows
from jobs.estimate_effects import estimate_effects
from jobs.tables import Tables
from metrics.errors import InputError
from tests.jobs.conftest import on


def test_windows_over_a_day_that_was_never_loaded_are_refused(tables: Tables) -> None:
    with pytest.raises(
        InputError, match=r"day 2026-03-02 is not in profile_days \(2 missing\); load it with run_day"
    ):
        build_profile_windows(tables, on("2026-03-03"))


def test_estimates_without_windows_are_refused_and_old_ones_stay(tables: Tables) -> None:
    with pytest.raises(
        InputError, match="has no profile windows for 2026-03-05; run build_profile_windows first"
    ):
        estimate_effects(tables, on("2026-03-05"))
