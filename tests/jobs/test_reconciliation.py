"""What the layer below says, on rows that can be counted by hand."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from expectations.facts import Below
from expectations.reconciliation import differing, in_words
from jobs.reconciliation import below
from jobs.tables import Tables

DAY = date(2026, 3, 8)  # the seventh of the enrolment: windows of seven days of its first day have matured
EXPERIMENT = "homepage_ranking"
EXPOSED = {1: ("control", 2), 2: ("control", 5), 3: ("treatment", 2), 4: ("treatment", 8)}


def fill(tables: Tables, name: str, column: str, *rows: Mapping[str, Any]) -> None:
    empty = dict.fromkeys(tables.declared[name].columns)
    where = {"experiment_id": [EXPERIMENT]} if "experiment_id" in tables.declared[name].partitioned_by else {}
    frame = tables.frame(name, [{**empty, **row} for row in rows])
    tables.replace(name, frame, {**where, column: sorted({row[column] for row in rows})})


def words(found: Mapping[date, Below], rule: str, day: date = DAY) -> str | None:
    return in_words(differing(found[day].compared[rule]))


def at_noon(day: Any) -> datetime:
    return datetime.combine(day, time(12))


def exposure(profile: int, arm: str, day: int, hour: int = 9) -> dict[str, Any]:
    of_row = {"experiment_id": EXPERIMENT, "profile_id": profile, "arm": arm, "household_id": 1}
    return {**of_row, "exposed_at": datetime(2026, 3, day, hour), "day": date(2026, 3, day)}


def window(profile: int, arm: str, plays: float | None) -> dict[str, Any]:
    of_row = {"experiment_id": EXPERIMENT, "epoch": 0, "analysis_day": DAY, "profile_id": profile, "arm": arm}
    to_date = ("start_failure_rate", "rebuffering_ratio", "crash_rate")
    known = {f"{name}_{part}": 1.0 for name in to_date for part in ("numerator", "denominator")}
    return {**of_row, **known, "play_starts_7d": plays, "watch_minutes_7d": plays}


def test_plays_in_profile_days_are_the_play_events_of_the_day(tables: Tables) -> None:
    next_day = DAY + timedelta(days=1)
    of_events = {"profile_id": 1, "household_id": 1, "source_file": "f", "row": 1}
    events = [
        {**of_events, "event_id": f"e{n}", "event_type": kind, "watch_ms": watch, "day": day}
        for n, (kind, watch, day) in enumerate(
            [
                ("play_start", None, DAY),
                ("play_start", None, DAY),
                ("playback", 90_000, DAY),
                ("play_start", None, next_day),
            ]
        )
    ]
    timed = [{**row, "ingest_day": row["day"], "event_ts": at_noon(row["day"])} for row in events]
    fill(tables, "events", "ingest_day", *timed)
    nothing = dict.fromkeys(tables.project.catalogue.measures, 0.0)
    of_day = {**nothing, "profile_id": 1, "household_id": 1, "watch_minutes": 1.5, "stream_minutes": 1.5}
    fill(
        tables,
        "profile_days",
        "day",
        {**of_day, "day": DAY, "play_starts": 1.0, "active": 7.0},
        {**nothing, "day": next_day, "profile_id": 1, "play_starts": 1.0, "crashes": None},
    )
    found = below(tables, "profile_days", tables.read("profile_days"), [DAY, next_day])
    assert words(found, "measures_reconciled") == "play_starts: 1, below 2"
    assert words(found, "measures_reconciled", next_day) is None  # unknown is no difference
    nobody = below(tables, "profile_days", tables.read("profile_days").where("false"), [DAY])
    assert words(nobody, "measures_reconciled") == (
        "play_starts: 0, below 2; stream_minutes: 0, below 1.5; watch_minutes: 0, below 1.5"
    )


def test_of_a_large_day_the_same_profiles_are_looked_at_in_both_layers(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_LOOKED_AT", 20)
    of_row = {"household_id": 1, "source_file": "f", "row": 1, "event_type": "play_start", "ingest_day": DAY}
    events = [
        {**of_row, "event_id": f"e{n}", "profile_id": n, "event_ts": at_noon(DAY), "day": DAY}
        for n in range(80)
    ]
    fill(tables, "events", "ingest_day", *events)
    nothing = dict.fromkeys(tables.project.catalogue.measures, 0.0)
    plays = [
        {**nothing, "day": DAY, "profile_id": n, "household_id": 1, "play_starts": 1.0} for n in range(80)
    ]
    fill(tables, "profile_days", "day", *plays)
    rows = tables.read("profile_days")
    assert words(below(tables, "profile_days", rows, [DAY]), "measures_reconciled") is None
    said = words(below(tables, "profile_days", rows.where("false"), [DAY]), "measures_reconciled") or ""
    assert said.startswith("play_starts: 0, below ")
    assert 5 < int(said.rpartition(" ")[2]) < 40


def test_windows_hold_the_first_exposures_of_one_arm_and_estimates_the_windows(tables: Tables) -> None:
    twice = [exposure(5, "control", 2), exposure(5, "treatment", 3)]
    days = [exposure(profile, arm, day) for profile, (arm, day) in EXPOSED.items()]
    fill(tables, "exposures", "day", *days, *twice)
    whole = [window(p, arm, 2.0 if day == 2 else None) for p, (arm, day) in EXPOSED.items()]
    fill(tables, "profile_windows", "analysis_day", *whole)
    found = below(tables, "profile_windows", tables.read("profile_windows"), [DAY])
    assert words(found, "profiles_reconciled") is None
    assert words(found, "matured_reconciled") is None
    assert found[DAY].shares["crossovers_rare"] == pytest.approx(0.2)

    lacking = tables.read("profile_windows").where("profile_id <> 3")
    found = below(tables, "profile_windows", lacking, [DAY])
    assert words(found, "profiles_reconciled") == "homepage_ranking treatment: 1, below 2"
    early = tables.read("profile_windows").na.fill({"play_starts_7d": 0.0})
    assert words(below(tables, "profile_windows", early, [DAY]), "matured_reconciled") == (
        "homepage_ranking control play_starts_7d: 2, below 1; "
        "homepage_ranking treatment play_starts_7d: 2, below 1"
    )

    of_row = {"experiment_id": EXPERIMENT, "epoch": 0, "analysis_day": DAY, "metric": "play_starts_7d"}
    of_row |= {"estimator": "cuped", "arm": "treatment", "control_arm": "control", "status": "ok"}
    cells = [("all", "all", 1, 1), ("device", "tv", 1, 1), ("device", "web", 0, 1)]
    fill(
        tables,
        "estimates",
        "analysis_day",
        *(
            {**of_row, "segment": s, "segment_value": v, "n_profiles_control": c, "n_profiles_arm": a}
            for s, v, c, a in cells
        ),
    )
    found = below(tables, "estimates", tables.read("estimates"), [DAY])
    assert words(found, "profiles_reconciled") is None
    assert (
        words(found, "segments_reconciled")
        == "homepage_ranking play_starts_7d cuped device treatment: 2, below 1"
    )


def test_exposure_days_are_of_profiles_first_exposed_and_of_nearly_all_of_them(tables: Tables) -> None:
    fill(
        tables, "exposures", "day", *(exposure(n, "control", 8) for n in (1, 2, 3)), exposure(1, "control", 7)
    )
    nothing = dict.fromkeys(tables.project.catalogue.measures, 0.0)
    days = [{**nothing, "day": DAY, "profile_id": n, "household_id": 1} for n in (2, 9)]
    fill(tables, "profile_days", "day", *days)
    measured = [{**row, "experiment_id": EXPERIMENT} for row in days]
    tables.replace("exposure_day_measures", tables.frame("exposure_day_measures", measured), {"day": [DAY]})
    found = below(tables, "exposure_day_measures", tables.read("exposure_day_measures"), [DAY])
    assert words(found, "profiles_reconciled") == "profiles not first exposed on the day: 1, below 0"
    assert found[DAY].shares["exposed_measured"] == 1.0  # 2 was active; 3 was not, and need not be there
    none = tables.read("exposure_day_measures").where("profile_id = 9")
    assert below(tables, "exposure_day_measures", none, [DAY])[DAY].shares["exposed_measured"] == 0.0
