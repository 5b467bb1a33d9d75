"""`watchlift explain`: one estimate, its definition, population, look and versions; what it refuses."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake

from tests.jobs.result_tables import write_configuration, write_estimates, write_results
from tests.result_rows import usual_estimates


@pytest.fixture
def folders(tmp_path: Path) -> str:
    data = write_results(tmp_path / "data")
    return f"--conf-dir {write_configuration(tmp_path / 'conf')} --data-dir {data}"


def test_an_estimate_is_followed_from_the_sql_to_its_boundary(
    folders: str, ask: Callable[[str], Any], text_of: Callable[[str], str]
) -> None:
    told = ask(f"explain homepage play_starts_7d {folders}")["explanation"]
    assert told["definition"]["measures"] == {"play_starts": "count_if(event_type = 'play_start')"}
    assert told["population"]["arms"]["control"] == {"exposed": 10010, "crossovers": 10, "matured": 9000}
    assert (told["look"]["look"], told["look"]["alpha_spent"], told["look"]["crossed"]) == (20, 0.05, True)
    assert told["estimate"]["effect"] == 0.5
    assert told["table_versions"]["now"] == {"moments": None, "estimates": 0, "power": None, "looks": None}
    text = text_of(f"explain homepage crash_rate {folders}")
    assert "crashes = count_if(event_type = 'crash')" in text
    assert "treatment: 9,990 exposed" in text
    assert "boundary ±1.960" in text


def test_versions_are_those_that_were_read_whatever_was_written_since(
    folders: str, ask: Callable[[str], Any], text_of: Callable[[str], str], tmp_path: Path
) -> None:
    line, windows = f"explain homepage play_starts_7d {folders}", tmp_path / "data/tables/profile_windows"
    assert "when it was computed: not known any more" in " ".join(text_of(line).split())
    computed_at = datetime.now(UTC)
    write_deltalake(windows, DeltaTable(windows).to_pyarrow_table(), mode="overwrite")
    rows = [{**row, "computed_at": computed_at} for row in usual_estimates()]
    shutil.rmtree(tmp_path / "data/tables/estimates")
    write_estimates(tmp_path / "data", rows)
    assert ask(line)["explanation"]["table_versions"]["when_computed"]["profile_windows"] == 0
    assert DeltaTable(windows).version() == 1
    assert "when it was computed: profile_windows 0" in " ".join(text_of(line).split())


def test_what_is_not_there_is_refused_in_a_line(
    folders: str, refusal: Callable[[str], str], tmp_path: Path
) -> None:
    assert (
        "metric 'plays' is not of this experiment; its metrics: play_starts_7d, watch_minutes_7d, crash_rate"
        in (refusal(f"explain homepage plays {folders}"))
    )
    assert "--arm is 'control'; treatments of 'homepage': treatment" in (
        refusal(f"explain homepage crash_rate --arm control {folders}")
    )
    assert "has no estimates for 2026-03-05" in refusal(
        f"explain homepage crash_rate --day 2026-03-05 {folders}"
    )
    empty = folders.replace(str(tmp_path / "data"), str(tmp_path / "nothing"))
    assert "has no estimates yet" in refusal(f"explain homepage crash_rate {empty}")
