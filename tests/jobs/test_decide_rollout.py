"""Decisions and what is allocated: opened by hand, grown and closed by the gate, never opened by it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pyspark.sql import SparkSession

from jobs.allocations import keep_allocation, keep_override
from jobs.arguments import Days
from jobs.commands.decisions import replay
from jobs.decide_rollout import decide_rollout
from jobs.delta_reader import allocations_of
from jobs.list_alerts import alerts_of
from jobs.tables import Tables
from metrics.configuration.experiment import Restart
from metrics.configuration.project import load_project
from metrics.enrollment import row_of_restart
from metrics.enrollment import start_of as at
from metrics.rows import RolloutDecision, row_of
from tests.jobs.conftest import CONF
from tests.jobs.result_tables import write_estimates, write_rows, write_srm
from tests.result_rows import crash_rate, srm_check, usual_estimates

ID = "homepage_ranking"
START = date(2026, 3, 2)
METRICS = ("play_starts_7d", "crash_rate")
BREACH = crash_rate(effect=0.01, half_width=0.001)


def decide(tables: Tables, day: date, *changed: dict[str, Any], input_version: str = "v1") -> str:
    """The action for a day on which guardrails are as `changed` says, else well.

    Every decision that the table holds is found again from its row alone.
    """
    names = {row["metric"] for row in changed}
    rows = [*(row for row in usual_estimates() if row["metric"] not in names), *changed]
    identity = {"experiment_id": ID, "analysis_day": day, "input_version": input_version, "spec_hash": None}
    write_estimates(tables.project.data_dir, [{**row, **identity} for row in rows])
    write_srm(tables.project.data_dir, [srm_check(window_end=at(day + timedelta(1)), experiment_id=ID)])
    decide_rollout(tables, Days(day, day))
    made = tables.read("rollout_decisions").where("action != 'override'").collect()
    assert all(replay(row_of(RolloutDecision, row.asDict())).is_same for row in made)
    return "/".join(
        sorted({row["action"] for row in made if row["decided_for"].date() == day + timedelta(1)})
    )


def shares(tables: Tables) -> dict[date, float]:
    return {each.effective_from.date(): each.exposed_share for each in allocations_of(tables.project, ID)}


@pytest.fixture
def tables(spark: SparkSession, empty_tables: Path, tmp_path: Path) -> Tables:
    """What a decision writes is Spark's; what it reads, delta-rs writes in a tenth of the time."""
    for name in ("allocations", "enrollment_status", "looks", "rollout_decisions"):
        shutil.copytree(empty_tables / "tables" / name, tmp_path / "tables" / name)
    return Tables(spark, load_project(CONF, tmp_path))


@pytest.fixture
def opened(tables: Tables) -> Tables:
    (experiment,) = tables.project.experiments
    keep_allocation(tables, experiment, 0.01, at(START))
    return tables


def looked(tables: Tables) -> dict[tuple[str, int], int]:
    """How many versions the looks at the primary and at crashes have."""
    made = tables.read("looks").groupBy("metric", "look").count().collect()
    return {(row["metric"], row["look"]): row["count"] for row in made if row["metric"] in METRICS}


def on_day(day: date, version: str = "v1", **changed: Any) -> list[dict[str, Any]]:
    identity = {"experiment_id": ID, "analysis_day": day, "input_version": version, "spec_hash": None}
    return [{**row, **identity, **changed} for row in usual_estimates()]


def test_a_look_is_kept_once_and_late_data_add_a_version_of_it_and_of_those_after_it(tables: Tables) -> None:
    days = [START, START + timedelta(1), START + timedelta(2)]
    rows = {day: on_day(day, std_error=0.4 - 0.1 * k) for k, day in enumerate(days)}

    def decide_all(from_day: date = START) -> None:
        write_estimates(tables.project.data_dir, [row for of_day in rows.values() for row in of_day])
        for day in days:
            if day >= from_day:
                decide_rollout(tables, Days(day, day))

    write_srm(tables.project.data_dir, [srm_check(window_end=at(START), experiment_id=ID)])
    decide_all()
    once = {("crash_rate", look): 1 for look in (1, 2, 3)}
    assert looked(tables) == once  # the primary has no registered maximum, and waits for the planned end
    decide_all()
    assert looked(tables) == once
    rows[days[1]] = on_day(days[1], "late", std_error=0.29)
    decide_all(days[1])
    assert looked(tables) == once | {("crash_rate", 2): 2, ("crash_rate", 3): 2}
    last = tables.read("looks").where("metric = 'crash_rate' and look = 3").collect()
    assert len({row["input_version"] for row in last}) == 2
    assert {round(row["alpha_spent"], 12) for row in last} == {round(last[0]["alpha_spent"], 12)}


def test_a_registered_primary_is_looked_at_every_day(tables: Tables) -> None:
    registered = {"experiment_id": ID, "metric": "play_starts_7d", "stratum": "all", "max_information": 400.0}
    write_rows(tables.project.data_dir, "power", [registered], ["experiment_id"])
    day = START + timedelta(7)
    assert decide(tables, day) == "hold"  # some guardrails have no estimates here
    (look,) = tables.read("looks").where("metric = 'play_starts_7d'").collect()
    assert (look["look"], look["information_fraction"], look["crossed"]) == (8, pytest.approx(0.25), True)
    (made,) = tables.read("rollout_decisions").collect()
    (primary,) = json.loads(made["inputs"])["primaries"]
    assert (primary["verdict"], primary["look"]["z_boundary"]) == ("better", look["z_boundary"])


def test_what_nobody_opened_stays_closed(tables: Tables) -> None:
    assert decide(tables, START) == "hold"
    assert shares(tables) == {}


def test_the_allocation_follows_the_ramp(opened: Tables) -> None:
    assert decide(opened, START) == "hold"  # min_days is 2
    assert shares(opened) == {START: 0.01}
    assert decide(opened, START + timedelta(1)) == "advance"
    assert shares(opened) == {START: 0.01, START + timedelta(2): 0.05}
    assert decide(opened, START + timedelta(2)) == "hold"
    assert decide(opened, START + timedelta(1)) == "advance"  # again, a day of before
    assert shares(opened) == {START: 0.01, START + timedelta(2): 0.05}


def test_a_breach_closes_at_once_whatever_was_planned_and_stays_closed(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    keep_allocation(opened, experiment, 0.2, at(START + timedelta(9)))
    assert decide(opened, START, BREACH) == "rollback"
    closed = {START: 0.01, START + timedelta(1): 0.0}
    assert shares(opened) == closed
    assert decide(opened, START, input_version="v2") == "hold/rollback"  # late data; the more careful counts
    assert shares(opened) == closed
    assert decide(opened, START + timedelta(1)) == ""  # nobody is treated any more
    assert shares(opened) == closed


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`decide` in a run that dies once the decision is there, and before the allocation follows it."""

    def decided(*arguments: Any, **others: Any) -> None:
        with monkeypatch.context() as died:
            died.setattr("jobs.decide_rollout.keep_allocation", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                decide(*arguments, **others)

    return decided


def test_a_rollback_whose_run_died_before_it_closed_anything_is_followed_by_the_next(
    opened: Tables, killed: Callable[..., None]
) -> None:
    (experiment,) = opened.project.experiments
    killed(opened, START, BREACH)
    assert shares(opened) == {START: 0.01}
    decide(opened, START + timedelta(1))  # on which all is well
    closed = {START: 0.01, START + timedelta(2): 0.0}
    assert shares(opened) == closed
    again = START + timedelta(3)
    keep_allocation(opened, experiment, 0.01, at(again))
    decide(opened, again)
    assert shares(opened) == closed | {again: 0.01}


def test_so_is_one_that_was_found_late_at_an_earlier_stage_whatever_is_planned(
    opened: Tables, killed: Callable[..., None]
) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    assert decide(opened, START + timedelta(1)) == "advance"
    keep_allocation(opened, experiment, 0.0, at(START + timedelta(9)))  # the planned end
    killed(opened, START, BREACH, input_version="late")
    decide(opened, START + timedelta(2))
    assert shares(opened) == {START: 0.01, START + timedelta(2): 0.05, START + timedelta(3): 0.0}


def test_so_is_one_of_an_experiment_that_was_never_opened_here(
    tables: Tables, killed: Callable[..., None]
) -> None:
    killed(tables, START, BREACH)
    decide(tables, START + timedelta(1))
    assert shares(tables) == {START + timedelta(2): 0.0}


def test_no_rollback_of_the_last_day_before_a_restart_closes_the_next_epoch(
    opened: Tables, killed: Callable[..., None]
) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    killed(opened, START + timedelta(1), BREACH)
    restart = Restart(1, START + timedelta(2), "the salt was reused")
    opened.insert_rows("enrollment_status", [asdict(row_of_restart(ID, restart))], {"experiment_id": [ID]})
    again = replace(experiment, restart=restart)
    keep_allocation(opened, again, 0.01, at(restart.valid_from))
    decide(opened, START, input_version="late")
    assert shares(opened) == {START: 0.01, restart.valid_from: 0.01}


def test_a_breach_closes_what_was_never_opened_here(tables: Tables) -> None:
    assert decide(tables, START, BREACH) == "rollback"
    assert shares(tables) == {START + timedelta(1): 0.0}


def test_shares_that_people_set_are_the_stage_that_the_gate_goes_on_from(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    keep_allocation(opened, experiment, 0.2, at(START + timedelta(1)))
    assert decide(opened, START + timedelta(1)) == "hold"
    assert decide(opened, START + timedelta(2)) == "advance"
    assert shares(opened) == {START: 0.01, START + timedelta(1): 0.2, START + timedelta(3): 0.5}
    keep_allocation(opened, experiment, 0.0, at(START + timedelta(4)))
    assert decide(opened, START + timedelta(4)) == ""
    assert shares(opened)[START + timedelta(4)] == 0.0


def test_what_people_set_before_the_decision_for_the_same_moment_stands(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    keep_allocation(opened, experiment, 0.0, at(START + timedelta(2)))  # an emergency, at night
    assert decide(opened, START + timedelta(1)) == "advance"  # the run for the day before, in the morning
    assert shares(opened) == {START: 0.01, START + timedelta(2): 0.0}


def test_deciding_a_rollback_again_does_not_close_what_was_reopened(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START, BREACH)
    keep_allocation(opened, experiment, 0.05, at(START + timedelta(5)))
    reopened = shares(opened)
    decide(opened, START, BREACH, input_version="v2")
    decide(opened, START, input_version="v3")
    assert shares(opened) == reopened == {START: 0.01, START + timedelta(1): 0.0, START + timedelta(5): 0.05}


def test_a_breach_found_late_closes_from_the_newest_day_and_leaves_what_was_in_force(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    decide(opened, START + timedelta(1))
    decide(opened, START + timedelta(2))
    keep_allocation(opened, experiment, 0.2, at(START + timedelta(9)))  # planned
    until_now = {START: 0.01, START + timedelta(2): 0.05}
    assert decide(opened, START, BREACH, input_version="v2") == "hold/rollback"
    assert shares(opened) == until_now | {START + timedelta(3): 0.0}
    keep_allocation(opened, experiment, 0.05, at(START + timedelta(3)))
    keep_allocation(opened, experiment, 0.0, at(START + timedelta(4)))
    keep_allocation(opened, experiment, 0.05, at(START + timedelta(5)))
    decide(opened, START + timedelta(5))
    by_people = shares(opened)
    decide(opened, START, BREACH, input_version="v3")
    assert shares(opened) == by_people


def test_what_people_reopened_stays_open_when_the_rolled_back_day_is_decided_again(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    assert decide(opened, START, BREACH) == "rollback"
    for day in (START + timedelta(3), START + timedelta(1)):
        keep_allocation(opened, experiment, 0.05, at(day))
        keep_override(opened, experiment, (0.0, 0.05), at(day), "a broken counter", ("crash_rate",))
        decide(opened, day, BREACH)
        reopened = shares(opened)
        decide(opened, START, BREACH, input_version=f"late on {day}")
        assert shares(opened) == reopened
        opened.delete("allocations", f"effective_from = TIMESTAMP'{START + timedelta(3)} 00:00:00'")


def test_people_hold_a_stage_that_the_gate_would_leave(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    keep_allocation(opened, experiment, 0.01, at(START + timedelta(2)))
    keep_override(opened, experiment, (0.01, 0.01), at(START + timedelta(2)), "a holiday", ())
    assert decide(opened, START + timedelta(1)) == "advance"
    assert shares(opened) == {START: 0.01}
    assert decide(opened, START + timedelta(2)) == "hold"  # the stage's days count anew
    assert decide(opened, START + timedelta(3)) == "advance"
    assert shares(opened) == {START: 0.01, START + timedelta(4): 0.05}


def test_a_decision_at_another_stage_is_none_to_compare_with(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START)
    assert decide(opened, START + timedelta(1), BREACH) == "rollback"
    opened.delete("allocations", "exposed_share = 0")
    keep_allocation(opened, experiment, 0.2, at(START + timedelta(1)))
    assert decide(opened, START + timedelta(1), input_version="v2") == "hold/rollback"
    assert shares(opened) == {START: 0.01, START + timedelta(1): 0.2}


def test_people_override_the_gate_with_a_reason_and_may_take_a_harm_on(opened: Tables) -> None:
    (experiment,) = opened.project.experiments
    decide(opened, START, BREACH)
    again = at(START + timedelta(3))
    for _ in range(2):
        keep_allocation(opened, experiment, 0.05, again)
        keep_override(opened, experiment, (0.0, 0.05), again, "crashes of a test device", ("crash_rate",))
    assert decide(opened, START + timedelta(3), BREACH) == "hold"  # the stage's minimum of days
    assert decide(opened, START + timedelta(4), BREACH) == "advance"
    (made,) = opened.read("rollout_decisions").where("action = 'override'").collect()
    assert (made["stage_from"], made["stage_to"], made["reasons"]) == (
        0.0,
        0.05,
        ["crashes of a test device"],
    )
    (hold,) = opened.read("rollout_decisions").where("action = 'hold'").collect()
    assert hold["reasons"][-1] == (
        "Crash rate rolls nothing back, as people decided: crashes of a test device."
    )
    other = crash_rate(effect=0.01, half_width=0.001, metric="start_failure_rate")
    assert decide(opened, START + timedelta(5), BREACH, other) == "rollback"


def test_a_layer_without_room_is_an_alarm_and_no_end_of_the_run(
    opened: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    (experiment,) = opened.project.experiments
    project = replace(opened.project, holdouts={experiment.layer: 0.97})
    full = Tables(opened.spark, project, reason="this run")
    decide(full, START)
    assert decide(full, START + timedelta(1)) == "advance"
    assert shares(full) == {START: 0.01}
    assert "ALERT homepage_ranking: its share stays: share 0.05" in caplog.text
    (alert,) = alerts_of(project, "this run")
    expected = "homepage_ranking: its share stays at 0.01 of its layer instead of 0.05: share 0.05 of"
    assert alert["message"].startswith(expected)


def test_a_rollback_is_an_alert_of_the_run_that_found_it_and_of_no_later_day(opened: Tables) -> None:
    this, next_one = (Tables(opened.spark, opened.project, reason=run) for run in ("this run", "the next"))
    decide(this, START, BREACH)
    decide(next_one, START, BREACH)
    decide(next_one, START + timedelta(1))
    (alert,) = alerts_of(opened.project, "this run")
    assert alert["message"].startswith(f"homepage_ranking: rolled back on {START}: ")
    assert "crash" in alert["message"].lower()
    assert alerts_of(opened.project, "the next") == []
