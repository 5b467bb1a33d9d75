"""The incident's landing files and its checks: who is exposed, what the log loses, who is in the new epoch."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pandas as pd
import pytest

from metrics.bucketing import arm_of, arm_salt, bucket
from metrics.configuration.experiment import Restart
from metrics.configuration.project import load_project
from metrics.enrollment import EnrollmentSlice
from scripts.environment import ROOT
from scripts.errors import RunError
from scripts.findings import Finding, as_table
from scripts.incident import landing
from scripts.incident.__main__ import EXPERIMENT as EXPERIMENT_ID
from scripts.incident.__main__ import end_of_hour, main
from scripts.incident.checks import Checks, in_words
from scripts.incident.landing import BROKEN_DEVICE, HOURS, Incident
from scripts.incident.webhook import Webhook
from scripts.progress import Progress
from tests.jobs.result_tables import write_configuration, write_results, write_srm
from tests.metrics.rollup.frames import EXPERIMENT
from tests.result_rows import DAY, srm_check

RESTART = Restart(1, EXPERIMENT.start + timedelta(days=1), "broken log")
EXPOSURES = 8_000


def seeded() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def drawn() -> Incident:
    return landing.incident(EXPERIMENT, RESTART, EXPOSURES, seeded())


def exposures(*rows: tuple[int, str, str]) -> pd.DataFrame:
    """(profile, device, arm), one a minute from the first hour on."""
    frame = pd.DataFrame(rows, columns=["profile_id", "device", "arm"])
    first = pd.Timestamp(EXPERIMENT.start, tz="UTC") + pd.Timedelta(hours=HOURS.start)
    return frame.assign(exposed_at=first + pd.to_timedelta(frame.index, unit="min"))


def test_the_control_has_its_share_too_much_on_one_device_alone(drawn: Incident) -> None:
    here = drawn.first["device"] == BROKEN_DEVICE
    assert (drawn.first[here]["arm"] == "control").mean() == pytest.approx(0.513, abs=1 / here.sum())
    # Elsewhere every exposure is there, with the arm of its bucket.
    assert len(drawn.first) + drawn.lost == EXPOSURES
    salt = arm_salt(EXPERIMENT.id)
    due = [arm_of(bucket(salt, int(profile)), EXPERIMENT.arms) for profile in drawn.first["profile_id"]]
    assert drawn.first["arm"].tolist() == due


def test_the_log_loses_treatment_on_the_broken_device_and_nothing_else() -> None:
    shares = {"control": 40, "treatment": 60}
    rows = [
        (0, device, arm) for device in (BROKEN_DEVICE, "ios") for arm, n in shares.items() for _ in range(n)
    ]
    kept = landing.logged(exposures(*rows), EXPERIMENT, seeded())
    # 40 / 0.513 * 0.487 = 37.97
    counts = {key: len(group) for key, group in kept.groupby(["device", "arm"])}
    assert counts == {
        (BROKEN_DEVICE, "control"): 40,
        (BROKEN_DEVICE, "treatment"): 38,
        ("ios", "control"): 40,
        ("ios", "treatment"): 60,
    }


def test_each_profile_is_exposed_once_on_its_day_in_one_of_the_hours(drawn: Incident) -> None:
    for rows, day in ((drawn.first, EXPERIMENT.start), (drawn.second, RESTART.valid_from)):
        assert rows["profile_id"].is_unique
        assert set(rows["exposed_at"].dt.date) == {day}
        assert set(rows["exposed_at"].dt.hour) == set(HOURS)
        assert rows["exposed_at"].is_monotonic_increasing


def test_the_new_epoch_draws_by_its_own_salt_and_finds_old_profiles_that_do_not_count(
    drawn: Incident,
) -> None:
    again = drawn.second["profile_id"].isin(drawn.first["profile_id"])
    assert (len(drawn.second), again.sum()) == (0.3 * EXPOSURES, 0.05 * EXPOSURES)
    salt = arm_salt(EXPERIMENT.id, 1)
    due = [arm_of(bucket(salt, int(profile)), EXPERIMENT.arms) for profile in drawn.second["profile_id"]]
    assert drawn.second["arm"].tolist() == due
    assert sum(drawn.expected.values()) == 0.25 * EXPOSURES
    assert drawn.expected == landing.arms_of(drawn.second[~again])


def test_a_profile_counts_once_in_the_arm_that_it_saw_first_and_not_if_it_was_exposed_before() -> None:
    before = exposures((1, "ios", "control"), (2, "tv", "treatment"))
    of_day = exposures(
        (3, "ios", "control"), (1, "ios", "treatment"), (3, "ios", "treatment"), (4, "tv", "treatment")
    )
    assert landing.newly_exposed(of_day, before) == {"control": 1, "treatment": 1}


def test_up_to_an_hour_is_until_its_end() -> None:
    rows = exposures(*[(n, "ios", "control") for n in range(61)])
    assert [len(landing.up_to(rows, hour)) for hour in (HOURS[0] - 1, HOURS[0], HOURS[1])] == [0, 60, 61]


def test_the_last_hour_ends_with_its_day() -> None:
    assert end_of_hour(EXPERIMENT.start, 23) == datetime(2026, 3, 3, tzinfo=UTC)


def test_the_same_seed_draws_the_same(drawn: Incident) -> None:
    again = landing.incident(EXPERIMENT, RESTART, EXPOSURES, seeded())
    pd.testing.assert_frame_equal(again.first, drawn.first)
    pd.testing.assert_frame_equal(again.second, drawn.second)


def test_where_households_are_randomised_they_share_an_arm() -> None:
    by_household = replace(EXPERIMENT, randomized_by="cluster")
    people = landing.population(100, EXPERIMENT.start, seeded())
    rows = landing.exposed(people, by_household, seeded())
    assert rows.groupby("household_id")["arm"].nunique().max() == 1


def test_plays_are_whole_after_their_visit_and_on_its_day() -> None:
    people = landing.population(500, EXPERIMENT.start, seeded())
    visited = landing.visits(people, EXPERIMENT.start, seeded())
    events = landing.plays(visited, seeded())
    counts = events["event_type"].value_counts()
    assert counts["session_start"] == counts["play_attempt"] == len(visited)
    assert counts["play_start"] + counts["play_failure"] == len(visited)
    assert counts["playback"] == counts["play_start"]
    assert events["event_id"].is_unique
    assert set(events["ts"].dt.date) == {EXPERIMENT.start}
    first = events.groupby("profile_id")["ts"].min() - visited.set_index("profile_id")["visited_at"]
    assert set(first) == {pd.Timedelta(seconds=1)}


def test_hours_land_in_their_folders_as_the_sources_read_them(tmp_path: Path) -> None:
    rows = exposures(*[(n, "ios", "control") for n in range(61)])
    landing.land(rows, "exposed_at", "exposures", tmp_path, [HOURS[0]])
    (file,) = tmp_path.rglob("*.json.gz")
    assert str(file.parent.relative_to(tmp_path)) == "landing/exposures/ingest_day=2026-03-02/hour=12"
    with gzip.open(file, "rt", encoding="utf-8") as text:
        lines = [json.loads(line) for line in text]
    assert len(lines) == 60
    assert lines[1] == {
        "profile_id": 1,
        "device": "ios",
        "arm": "control",
        "exposed_at": "2026-03-02T12:01:00.000Z",
    }


def test_what_lands_has_the_columns_that_the_sources_declare(tmp_path: Path, drawn: Incident) -> None:
    sources = load_project(ROOT / "conf", tmp_path).sources
    events = landing.plays(landing.visits_of(drawn.first, seeded()), seeded())
    for source, rows in (
        (sources.exposures[0], drawn.first),
        (sources.profiles[0], drawn.people),
        (sources.events[0], events),
    ):
        declared = {column.split()[0] for column in source.schema.replace("<STRING, STRING>", "").split(", ")}
        assert set(rows.columns) - declared == set()
        assert declared - set(rows.columns) <= {"attributes"}


def test_a_check_that_does_not_hold_says_so_in_one_line(tmp_path: Path) -> None:
    project = load_project(ROOT / "conf", tmp_path)
    checks = Checks(project, project.experiment(EXPERIMENT_ID))
    checks.findings.expect("alerts", "1", "one", holds=True)
    with pytest.raises(RunError, match=r"^exposures: 3; expected 4$"):
        checks.findings.expect("exposures", "3", "4")
    assert checks.findings.all == [Finding("alerts", "1", "one"), Finding("exposures", "3", "4")]
    assert as_table(checks.findings.all).splitlines() == [
        "step       seen  expected",
        "alerts     1     one",
        "exposures  3     4",
    ]


@pytest.fixture
def day_checks(tmp_path: Path) -> Checks:
    """Of tables with the results of a day of epoch 0: 10,000 profiles in the control, 9,985 in the treatment."""
    project = load_project(write_configuration(tmp_path / "conf"), write_results(tmp_path / "data"))
    return Checks(project, project.experiments[0])


def test_every_blocked_slice_is_told_exactly_once(day_checks: Checks) -> None:
    end = datetime(2026, 3, 2, 20, tzinfo=UTC)
    row = EnrollmentSlice("homepage", 0, "device", BROKEN_DEVICE, "blocked", "sample ratio", end, "run")
    write_srm(day_checks.project.data_dir, [srm_check()], [row])
    told = f"watchlift: {row.alert}"
    day_checks.alerts("alerts", [told])
    for messages in ([], [told, told], ["watchlift: another"]):
        with pytest.raises(
            RunError, match=rf"^alerts: {len(messages)}; expected 1, one for each blocked slice$"
        ):
            day_checks.alerts("alerts", messages)


@pytest.mark.parametrize(
    ("epoch", "control", "error"),
    [
        (1, 10_000, "estimates of epoch: 0; expected 1"),
        (0, 9_999, "profiles in windows: control 10,000, treatment 9,985; expected control 9,999, "),
        (0, 10_000, "metrics known: "),
    ],
)
def test_numbers_of_another_epoch_or_of_other_profiles_are_found(
    day_checks: Checks, epoch: int, control: int, error: str
) -> None:
    with pytest.raises(RunError, match=f"^{DAY}: {error}"):
        day_checks.new_epoch(DAY, epoch, {"control": control, "treatment": 9_985}, ["none"])


def test_counts_are_told_by_arm() -> None:
    assert in_words({"treatment": 1_200, "control": None}) == "control 0, treatment 1,200"


def test_a_folder_of_somebody_else_ends_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").touch()
    assert main(["--data-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"incident: {tmp_path} holds things that the incident did not make")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_webhook_keeps_what_is_posted(capsys: pytest.CaptureFixture[str]) -> None:
    with Webhook(Progress()) as webhook:
        body = json.dumps({"text": "watchlift: blocked"}).encode()
        with build_opener(ProxyHandler({})).open(Request(webhook.address, body)) as answer:
            assert answer.status == 200
    assert webhook.messages == ["watchlift: blocked"]
    assert "webhook: watchlift: blocked" in capsys.readouterr().out
