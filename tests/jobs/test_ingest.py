"""Landing files to events, exposures, profiles and the quarantine: nothing lost, nothing doubled."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from jobs.audit_landed import audit_landed
from jobs.audit_table import AuditFailed, check_tables
from jobs.event_commits import noted, rolled_up
from jobs.ingest_events import ingest_and_audit, ingest_events
from jobs.ingest_exposures import ingest_exposures
from jobs.ingest_profiles import ingest_profiles
from jobs.replay_quarantine import replay_quarantine
from jobs.roll_up_profile_days import roll_up_days
from jobs.side_by_side import side_by_side
from jobs.tables import Tables
from metrics.configuration.sources import CORRUPT, Source
from metrics.errors import InputError
from metrics.rollup.landing import fields_of
from tests.jobs.conftest import on
from tests.jobs.landing_files import EVENT, land_events, land_exposures, land_profiles

Content = Callable[[str], list[tuple[Any, ...]]]
MARCH_2, MARCH_3 = "2026-03-02", "2026-03-03"


def test_events_land_once_and_broken_rows_go_aside_with_their_line(
    tables: Tables, tmp_path: Path, content: Content
) -> None:
    broken = json.dumps(EVENT)[:40]
    land_events(tmp_path, MARCH_2, {}, {"event_id": "e2"}, broken, {"event_id": None}, {})
    touched = ingest_events(tables, on(MARCH_2)).touched
    assert touched == {date(2026, 3, 2)}
    events = tables.read("events").collect()
    assert {(row["event_id"], row["row"]) for row in events} == {("e1", 0), ("e2", 1)}
    assert events[0]["attributes"] == {"position": "3"}
    aside = {row["row"]: row for row in tables.read("events_quarantine").collect()}
    assert {row: list(aside[row]["reasons"]) for row in aside} == {2: ["malformed"], 3: ["event_id_missing"]}
    assert aside[2]["raw"] == broken
    before = content("events"), content("events_quarantine")
    ingest_events(tables, on(MARCH_2))
    assert (content("events"), content("events_quarantine")) == before


def test_events_of_another_delta_table_land_by_their_own_day(tables: Tables, tmp_path: Path) -> None:
    lake, sources = tmp_path / "lake", tables.project.sources
    rows: list[dict[str, Any]] = [
        {"event_id": "e1", "ts": "2026-03-02T12:00:00Z"},
        {"event_id": "e2", "ts": "2026-03-03T12:00:00Z"},
        {"event_id": "e1", "ts": "2026-03-02T12:00:00Z"},
        {"event_id": None, "ts": "2026-03-02T13:00:00Z"},
    ]
    landed = [json.dumps({**EVENT, **row}) for row in rows]
    frame = tables.spark.createDataFrame([(line,) for line in landed], "line STRING")
    fields = fields_of("line", sources.events[0])
    frame.select(fields).select("fields.*").drop(CORRUPT).write.format("delta").save(str(lake))
    playback = replace(
        sources.events[0],
        format="delta",
        path=str(lake),
        schema="",
        ingest_day="to_date(ts)",
        max_quarantined=1.0,
    )
    ours = replace(tables, project=replace(tables.project, sources=replace(sources, events=(playback,))))
    for day in (MARCH_2, MARCH_3, MARCH_2):
        ingest_and_audit(ours, on(day))
    found = {(row["event_id"], str(row["ingest_day"])) for row in ours.read("events").collect()}
    assert found == {("e1", MARCH_2), ("e2", MARCH_3)}
    assert ours.read("events").count() == 2
    (aside,) = ours.read("events_quarantine").collect()
    assert list(aside["reasons"]) == ["event_id_missing"]
    assert json.loads(aside["raw"])["ts"] == "2026-03-02T13:00:00Z"


def test_broken_rows_of_two_days_in_one_file_of_a_delta_table_are_told_apart(
    tables: Tables, tmp_path: Path
) -> None:
    lake, sources = tmp_path / "lake", tables.project.sources
    landed = [
        (json.dumps({**EVENT, "event_id": None, "ts": f"{day}T12:00:00Z"}), day) for day in (MARCH_2, MARCH_3)
    ]
    frame = tables.spark.createDataFrame(landed, "line STRING, ingest_day STRING").coalesce(1)
    fields = frame.select(fields_of("line", sources.events[0]), "ingest_day").select("fields.*", "ingest_day")
    fields.drop(CORRUPT).write.format("delta").save(str(lake))
    by_text = "coalesce(event_id, IF(ts LIKE '2026-03-02%', 'e2', NULL))"  # mends the first of them
    playback = replace(
        sources.events[0], format="delta", path=str(lake), ingest_day="ingest_day", max_quarantined=1.0
    )

    def read_by(source: Source) -> Tables:
        return replace(tables, project=replace(tables.project, sources=replace(sources, events=(source,))))

    for day in (MARCH_2, MARCH_3):
        ingest_and_audit(read_by(playback), on(day))
    mended = replace(playback, columns={**playback.columns, "event_id": by_text})
    land_profiles(tmp_path, MARCH_2, {})
    ingest_profiles(tables, on(MARCH_2))
    replay_quarantine(read_by(mended), on(MARCH_2, MARCH_3))
    found = {str(row["ingest_day"]): row["replayed_on"] for row in tables.read("events_quarantine").collect()}
    assert tables.read("events_quarantine").count() == 2
    assert found[MARCH_2] is not None
    assert found[MARCH_3] is None


def test_rows_are_numbered_by_file_however_small_the_files_are(tables: Tables, tmp_path: Path) -> None:
    land_events(tmp_path, MARCH_2, {}, "{", hour="11")
    land_events(tmp_path, MARCH_2, {"event_id": "e2"}, "{", hour="12")
    ingest_events(tables, on(MARCH_2))
    assert {(r["event_id"], r["row"]) for r in tables.read("events").collect()} == {("e1", 0), ("e2", 0)}
    assert [row["row"] for row in tables.read("events_quarantine").collect()] == [1, 1]


def test_a_copy_that_comes_on_a_later_day_is_dropped_and_a_late_event_keeps_its_own_day(
    tables: Tables, tmp_path: Path
) -> None:
    land_events(tmp_path, MARCH_2, {})
    land_events(tmp_path, MARCH_3, {}, {"event_id": "late"}, {"event_id": "e3", "ts": "2026-03-03T01:00:00Z"})
    ingest_events(tables, on(MARCH_2))
    touched = ingest_events(tables, on(MARCH_3)).touched
    assert touched == {date(2026, 3, 2), date(2026, 3, 3)}
    rows = {(r["event_id"], str(r["day"]), str(r["ingest_day"])) for r in tables.read("events").collect()}
    assert rows == {("e1", MARCH_2, MARCH_2), ("late", MARCH_2, MARCH_3), ("e3", MARCH_3, MARCH_3)}


def test_a_range_gives_what_its_days_give_one_by_one(
    tables: Tables, tmp_path: Path, content: Content
) -> None:
    land_events(tmp_path, MARCH_2, {}, {"event_id": "e2"}, "{")
    land_events(tmp_path, MARCH_3, {}, {"event_id": "e3"}, {"event_id": "late"}, {"event_type": "dance"})
    ingest_events(tables, on(MARCH_2))
    ingest_events(tables, on(MARCH_3))
    one_by_one = content("events"), content("events_quarantine")
    ingest_events(tables, on(MARCH_2, MARCH_3))
    assert (content("events"), content("events_quarantine")) == one_by_one


def test_a_day_without_files_is_refused_before_anything_is_written(tables: Tables, tmp_path: Path) -> None:
    land_events(tmp_path, MARCH_2, {})
    ingest_events(tables, on(MARCH_2))
    with pytest.raises(InputError, match="source 'playback' has no files for 2026-03-03"):
        ingest_events(tables, on(MARCH_2, MARCH_3))
    assert tables.read("events").count() == 1


def test_a_damaged_file_goes_aside_whole_and_comes_back_once_it_has_landed_again(
    tables: Tables, tmp_path: Path
) -> None:
    many = [{"event_id": f"e{n}"} for n in range(2, 2000)]
    land_events(tmp_path, MARCH_2, {}, hour="11")
    whole = land_events(tmp_path, MARCH_2, *many, hour="12").read_bytes()
    truncated = land_events(tmp_path, MARCH_2, *many, hour="12")
    truncated.write_bytes(whole[: len(whole) // 2])
    assert ingest_events(tables, on(MARCH_2)).touched == {date(2026, 3, 2)}
    assert _owners(tables) == {("e1", MARCH_2)}
    (aside,) = tables.read("events_quarantine").collect()
    assert aside["source_file"].endswith("/ingest_day=2026-03-02/hour=12/part-0.json.gz")
    assert (aside["source"], aside["row"], aside["raw"]) == ("events.playback", -1, None)
    assert list(aside["reasons"]) == ["damaged_file"]
    truncated.write_bytes(whole)
    ingest_events(tables, on(MARCH_2))
    assert tables.read("events").count() == 1999
    assert tables.read("events_quarantine").isEmpty()


def test_damaged_files_of_exposures_go_aside_and_those_of_profiles_stop_the_day(
    tables: Tables, tmp_path: Path
) -> None:
    land_profiles(tmp_path, MARCH_2, {})
    ingest_profiles(tables, on(MARCH_2))
    land_exposures(tmp_path, MARCH_3, {"exposed_at": "2026-03-03T11:00:00.000Z"}, hour="11")
    land_exposures(tmp_path, MARCH_3, {}, hour="12").write_bytes(b"no gzip")
    assert ingest_exposures(tables, on(MARCH_3)).touched == {date(2026, 3, 3)}
    assert [row["source"] for row in tables.read("events_quarantine").collect()] == ["exposures.homepage"]
    land_profiles(tmp_path, MARCH_3, {"profile_id": 2}).write_bytes(b"no gzip")
    with pytest.raises(
        InputError, match=r"profiles: .*03-03/part-0.json.gz is damaged; land the snapshot of"
    ):
        ingest_profiles(tables, on(MARCH_3))
    assert [row["profile_id"] for row in tables.read("profiles").collect()] == [1]


def test_a_day_of_which_every_file_is_damaged_is_refused_and_stays_as_it_was(
    tables: Tables, tmp_path: Path
) -> None:
    land_events(tmp_path, MARCH_2, {})
    ingest_events(tables, on(MARCH_2))
    land_events(tmp_path, MARCH_2, {}).write_bytes(b"no gzip")
    with pytest.raises(InputError, match="source 'playback' has only damaged files for 2026-03-02"):
        ingest_events(tables, on(MARCH_2))
    assert _owners(tables) == {("e1", MARCH_2)}


def test_exposures_merge_once_and_take_household_and_tenure_from_the_profile(
    tables: Tables, tmp_path: Path, content: Content
) -> None:
    land_profiles(tmp_path, MARCH_2, {}, {"profile_id": 2, "signup_day": None})
    land_exposures(tmp_path, MARCH_2, {}, {}, {"profile_id": 2, "household_id": None}, {"arm": "blue"})
    ingest_profiles(tables, on(MARCH_2))
    assert ingest_exposures(tables, on(MARCH_2)).touched == {date(2026, 3, 2)}
    rows = {
        r["profile_id"]: (r["household_id"], r["tenure_days"]) for r in tables.read("exposures").collect()
    }
    assert rows == {1: (10, 60), 2: (10, None)}
    assert [list(r["reasons"]) for r in tables.read("events_quarantine").collect()] == [["arm_unknown"]]
    before = content("exposures"), content("events_quarantine")
    ingest_exposures(tables, on(MARCH_2))
    assert (content("exposures"), content("events_quarantine")) == before


def test_a_session_without_a_stable_key_is_quarantined(tables: Tables, tmp_path: Path) -> None:
    """Anonymous, or with an id that is no number: nobody could be followed from its exposure on."""
    anonymous: list[dict[str, Any]] = [
        {"profile_id": None},
        {"profile_id": "a7f-cookie"},
        {"profile_id": 1.5},
    ]
    land_profiles(tmp_path, MARCH_2, {})
    land_exposures(tmp_path, MARCH_2, {}, *anonymous)
    ingest_profiles(tables, on(MARCH_2))
    ingest_exposures(tables, on(MARCH_2))
    assert [row["profile_id"] for row in tables.read("exposures").collect()] == [1]
    reasons = sorted(list(row["reasons"]) for row in tables.read("events_quarantine").collect())
    assert reasons == [["malformed"], ["malformed"], ["profile_id_missing"]]


def test_both_kinds_quarantined_beside_each_other_are_there(tables: Tables, tmp_path: Path) -> None:
    """As run_day does: they share the partition of their day, and do not replace each other."""
    land_events(tmp_path, MARCH_2, "{")
    land_exposures(tmp_path, MARCH_2, "{")
    for _ in range(2):
        side_by_side(
            tables,
            lambda beside: ingest_events(beside, on(MARCH_2)),
            lambda beside: ingest_exposures(beside, on(MARCH_2)),
        )
        sources = sorted(row["source"] for row in tables.read("events_quarantine").collect())
        assert sources == ["events.playback", "exposures.homepage"]


def test_profiles_are_the_newest_snapshot_and_an_older_day_does_not_take_them_back(
    tables: Tables, tmp_path: Path
) -> None:
    land_profiles(tmp_path, MARCH_2, {"plan": "old"})
    land_profiles(tmp_path, MARCH_3, {"plan": "new"}, {"profile_id": 2})
    ingest_profiles(tables, on(MARCH_2, MARCH_3))
    assert {row["profile_id"]: row["plan"] for row in tables.read("profiles").collect()} == {
        1: "new",
        2: "basic",
    }
    ingest_profiles(tables, on(MARCH_2))
    assert tables.read("profiles").count() == 2


def test_an_older_day_that_changes_takes_later_days_with_it(tables: Tables, tmp_path: Path) -> None:
    """A copy may become the first, or cease to be it: what was loaded after is loaded again from its files."""
    land_events(tmp_path, MARCH_3, {}, {"event_id": "e3", "ts": "2026-03-03T01:00:00Z"})
    ingest_events(tables, on(MARCH_3))
    land_events(tmp_path, MARCH_2, {})
    touched = ingest_events(tables, on(MARCH_2)).touched
    assert touched == {date(2026, 3, 2), date(2026, 3, 3)}
    assert _owners(tables) == {("e1", MARCH_2), ("e3", MARCH_3)}
    land_events(tmp_path, MARCH_2, {"event_id": "e2"})
    ingest_events(tables, on(MARCH_2))
    assert _owners(tables) == {("e1", MARCH_3), ("e2", MARCH_2), ("e3", MARCH_3)}


def test_an_event_of_another_profile_is_another_event_also_where_a_day_is_loaded_again(
    tables: Tables, tmp_path: Path
) -> None:
    land_events(tmp_path, MARCH_2, {"profile_id": 7})
    land_events(tmp_path, MARCH_3, {"profile_id": 7}, {"event_id": "e3", "ts": "2026-03-03T01:00:00Z"})
    ingest_events(tables, on(MARCH_2, MARCH_3))
    assert _owners(tables) == {("e1", MARCH_2), ("e3", MARCH_3)}
    land_events(tmp_path, MARCH_2, {"profile_id": 8})
    ingest_events(tables, on(MARCH_2))
    assert _owners(tables) == {("e1", MARCH_2), ("e1", MARCH_3), ("e3", MARCH_3)}
    (audited,) = check_tables(tables, ["events"], [date(2026, 3, 2)])
    (unique,) = [each for each in audited.results if each.expectation == "key_unique"]
    assert unique.success


def test_the_days_to_roll_up_are_those_that_held_or_hold_rows_of_what_was_loaded(
    tables: Tables, tmp_path: Path
) -> None:
    land_events(tmp_path, MARCH_2, {})
    land_events(tmp_path, MARCH_3, {"event_id": "e3", "ts": "2026-03-03T01:00:00Z"})
    touched = ingest_events(tables, on(MARCH_2, MARCH_3)).touched
    roll_up_days(tables, sorted(touched), rolled_up(tables))
    assert ingest_events(tables, on(MARCH_2)).touched == {date(2026, 3, 2)}
    land_events(tmp_path, MARCH_2, {"ts": "2026-03-01T12:00:00Z"})
    assert {date(2026, 3, 1), date(2026, 3, 2)} <= ingest_events(tables, on(MARCH_2)).touched


def test_an_older_day_changes_with_its_later_days_or_not_at_all(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after its first write has left nothing that a second run would overlook."""
    land_events(tmp_path, MARCH_2, {}, {"event_id": "e0", "ts": "2026-03-01T12:00:00Z"})
    land_events(tmp_path, MARCH_3, {}, {"event_id": "e3", "ts": "2026-03-03T01:00:00Z"})
    days = ingest_events(tables, on(MARCH_2, MARCH_3)).touched
    roll_up_days(tables, sorted(days), rolled_up(tables))
    land_events(tmp_path, MARCH_2, {"event_id": "e2"})
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr("jobs.quarantine.Arrivals.set_aside", Mock(side_effect=KeyboardInterrupt))
        ingest_events(tables, on(MARCH_2))
    touched = ingest_events(tables, on(MARCH_2)).touched
    assert _owners(tables) == {("e1", MARCH_3), ("e2", MARCH_2), ("e3", MARCH_3)}
    assert touched == {date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)}  # the first has no rows any more
    assert noted(tables).to_roll_up >= touched
    roll_up_days(tables, sorted(touched), rolled_up(tables))
    assert noted(tables).to_roll_up == set()


def _owners(tables: Tables) -> set[tuple[str, str]]:
    return {(row["event_id"], str(row["ingest_day"])) for row in tables.read("events").collect()}


def test_an_exposure_merged_before_its_profile_was_known_gains_its_tenure(
    tables: Tables, tmp_path: Path
) -> None:
    land_exposures(tmp_path, MARCH_2, {})
    ingest_exposures(tables, on(MARCH_2))
    land_profiles(tmp_path, MARCH_2, {})
    ingest_profiles(tables, on(MARCH_2))
    ingest_exposures(tables, on(MARCH_2))
    assert [row["tenure_days"] for row in tables.read("exposures").collect()] == [60]


def test_the_rows_quarantined_are_recorded_by_source_and_reason_and_too_many_fail_the_audit(
    tables: Tables, tmp_path: Path
) -> None:
    """The kinds of sources share a day's results, in whatever order their jobs run."""
    day = date(2026, 3, 2)
    good = [{"event_id": f"e{n}", "app": "9.1"} for n in range(30)]
    land_events(tmp_path, MARCH_2, *good, "{", {"event_id": None, "event_type": "dance"}, hour="11")
    land_events(tmp_path, MARCH_2, {}, hour="12").write_bytes(b"no gzip")
    land_profiles(tmp_path, MARCH_2, {}, {"profile_id": 2, "household_id": None})
    with pytest.raises(
        AuditFailed,
        match=r"events_quarantine, day 2026-03-02: .*events.playback_rows_kept failed: 2 of 32 rows: .*malformed 1",
    ):
        audit_landed(tables, ingest_events(tables, on(MARCH_2)).landed)
    with pytest.raises(
        AuditFailed,
        match=r"profiles.snapshot_rows_kept failed: 1 of 2 rows: household_id_missing 1; expected at most",
    ):
        ingest_profiles(tables, on(MARCH_2))
    results = tables.read_days("data_quality_results", [day]).collect()
    seen = {row["expectation"]: (row["severity"], row["success"], row["unexpected_count"]) for row in results}
    assert seen == {
        "events.playback_rows_kept": ("critical", False, 2),
        "events.playback_malformed": ("warning", True, 1),
        "events.playback_event_id_missing": ("warning", True, 1),
        "events.playback_event_type_unknown": ("warning", True, 1),
        "events.playback_files_whole": ("warning", False, 1),
        "events.playback_columns_new": ("warning", True, 1),
        "profiles.snapshot_rows_kept": ("critical", False, 1),
        "profiles.snapshot_household_id_missing": ("warning", False, 1),
        "profiles.snapshot_files_whole": ("warning", True, 0),
    }
    assert tables.read("profiles").isEmpty()  # a bad snapshot does not take the place of what is there
