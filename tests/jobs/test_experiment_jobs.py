"""Steps of the experiments that refuse to work on what is not there."""

from datetime import UTC, date, datetime

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
    with pytest.raises(InputError, match=r"day 2026-03-02 is not in profile_days \(4 missing\)"):
        estimate_effects(tables, on("2026-03-05"))
    exposed = {
        "experiment_id": "homepage_ranking",
        "profile_id": 1,
        "household_id": 10,
        "exposed_at": datetime(2026, 3, 2, 12, tzinfo=UTC),
        "arm": "control",
        "day": date(2026, 3, 2),
        "ingest_day": date(2026, 3, 2),
        "source_file": "a",
        "row": 1,
    }
    columns = {name: exposed.get(name) for name in tables.declared["exposures"].columns}
    tables.replace("exposures", tables.frame("exposures", [columns]), {"day": [exposed["day"]]})
    with pytest.raises(
        InputError, match="has no profile windows for 2026-03-05; run build_profile_windows first"
    ):
        estimate_effects(tables, on("2026-03-05"))
