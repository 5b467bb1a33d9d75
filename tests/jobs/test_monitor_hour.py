import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.epochs import running
from jobs.estimate_effects import sample_ratio_broken
from jobs.ingest_profiles import ingest_profiles
from jobs.monitor_hour import main, monitor_hour
from jobs.monitor_srm import check_sample_ratio, monitor_srm
from jobs.tables import Tables
from metrics.enrollment import EnrollmentSlice, end_of
from tests.jobs.conftest import on
from tests.jobs.landing_files import land_exposures, land_profiles

DAY = "2026-03-02"


def at(hour: int) -> datetime:
    return datetime(2026, 3, 2, hour, tzinfo=UTC)


def land(data_dir: Path, hour: int, device: str, control: int, treatment: int) -> None:
    """So many profiles of each arm, first exposed in the hour; ids of their own, alone in their household."""
    rows: list[dict[str, Any]] = [
        {
            "profile_id": hour * 10_000 + n,
            "household_id": hour * 10_000 + n,
            "exposed_at": f"{DAY}T{hour:02d}:30:00.000Z",
            "arm": "control" if n < control else "treatment",
            "device": device,
        }
        for n in range(control + treatment)
    ]
    land_exposures(data_dir, DAY, *rows, hour=f"{hour:02d}")


def of_windows(tables: Tables) -> dict[tuple[int, str], int]:
    """Exposed profiles, overall, by the window's last hour and its kind."""
    rows = tables.read("srm_checks").where("unit = 'profile' AND slice = 'all'").collect()
    return {(row["window_end"].hour, row["window_kind"]): sum(row["observed"].values()) for row in rows}


def test_each_hour_is_compared_and_a_slice_that_does_not_fit_is_blocked_and_stays_so(
    tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    land_profiles(tmp_path, DAY, {})
    land(tmp_path, 10, "tv", 300, 300)
    monitor_hour(tables, at(10))
    assert of_windows(tables) == {(11, "hour"): 600, (11, "cumulative"): 600}
    assert tables.read("enrollment_status").isEmpty()

    land(tmp_path, 11, "web", 200, 400)
    with caplog.at_level(logging.ERROR, "watchlift"):
        monitor_hour(tables, at(11))
    assert of_windows(tables)[12, "cumulative"] == 1200
    blocked = {row["slice_value"]: row for row in tables.read("enrollment_status").collect()}
    assert set(blocked) >= {"eu|web"}
    assert "eu|tv" not in blocked
    web = blocked["eu|web"]
    assert (web["status"], web["since"].hour) == ("blocked", 12)
    assert "control 200 profiles (300 planned), treatment 400" in web["reason"]
    assert any(
        line.startswith("ALERT homepage_ranking: enrolment of stratum eu|web") for line in caplog.messages
    )

    caplog.clear()
    land(tmp_path, 12, "web", 400, 200)  # it fits again, all in all
    with caplog.at_level(logging.ERROR, "watchlift"):
        for hour in (12, 11, 12):
            monitor_hour(tables, at(hour))
        monitor_srm(tables, on(DAY))
    assert not caplog.messages
    assert {row["slice_value"]: row for row in tables.read("enrollment_status").collect()} == blocked
    assert tables.read("exposures").count() == 1800
    assert of_windows(tables)[13, "hour"] == 600
    assert of_windows(tables)[0, "day"] == 1800


def test_the_last_hour_and_its_day_keep_each_others_checks(tables: Tables, tmp_path: Path) -> None:
    land_profiles(tmp_path, DAY, {})
    land(tmp_path, 23, "tv", 30, 30)
    monitor_hour(tables, at(23))
    monitor_srm(tables, on(DAY))
    (experiment,) = running(tables, on(DAY).first)
    check_sample_ratio(tables, experiment, end_of(on(DAY).first), "hour")
    assert of_windows(tables) == {(0, kind): 60 for kind in ("hour", "day", "cumulative")}


def test_an_hour_before_anything_landed_is_no_error(tables: Tables) -> None:
    monitor_hour(tables, at(1))
    assert tables.read("srm_checks").isEmpty()


def test_a_households_change_is_known_before_exposures_are_merged_for_good(
    tables: Tables, tmp_path: Path
) -> None:
    land_profiles(tmp_path, "2026-03-01", {"household_id": 10})
    land_profiles(tmp_path, DAY, {"household_id": 11})
    land_exposures(tmp_path, DAY, {"household_id": None})
    ingest_profiles(tables, on("2026-03-01"))
    monitor_hour(tables, at(11))
    assert [row["household_id"] for row in tables.read("exposures").collect()] == [11]


def test_the_first_hour_of_a_day_merges_what_the_day_before_has_left(tables: Tables, tmp_path: Path) -> None:
    land_profiles(tmp_path, DAY, {})
    land(tmp_path, 23, "tv", 30, 30)
    monitor_hour(tables, at(23) + timedelta(hours=1))
    assert tables.read("exposures").count() == 60


def test_estimates_of_an_experiment_with_a_blocked_slice_are_marked(tables: Tables) -> None:
    (experiment,) = running(tables, on(DAY).first)
    assert not sample_ratio_broken(tables, experiment, on(DAY).first)
    row = EnrollmentSlice(experiment.id, 0, "stratum", "eu|web", "blocked", "sample ratio", at(12))
    tables.merge(
        "enrollment_status",
        tables.frame("enrollment_status", [asdict(row)]),
        {"experiment_id": [experiment.id]},
    )
    assert sample_ratio_broken(tables, experiment, on(DAY).first)
    assert not sample_ratio_broken(tables, experiment, on("2026-03-01").first)


def test_an_hour_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("2026-03-02", "2026-3-2T7", "2026-03-02T24"):
        assert main(["--hour", text]) == 2
        assert f"hour '{text}' is not one; write YYYY-MM-DDTHH" in capsys.readouterr().err
