"""Analysis days are estimated again when their data changed, and only then."""

from datetime import date
from typing import Any

from jobs.restatement import audited_inputs, stale_days
from jobs.tables import Tables
from metrics.enrollment import end_of

_WHY = "5eed"  # the fingerprint of what was decided


def _day(number: int) -> date:
    return date(2026, 3, number)


def test_only_the_days_that_rest_on_a_changed_one_are_stale(tables: Tables) -> None:
    experiment = tables.project.experiments[0]
    days = [_day(number) for number in (4, 5, 6, 7, 8, 10)]
    _audited(tables, _day(6), "first")
    inputs = {day: audited_inputs(tables, experiment, day) for day in days[1:3]}
    rows = [
        _row(
            tables,
            "estimates",
            analysis_day=day,
            audited_inputs=inputs[min(max(day, _day(5)), _day(6))],
            input_version="version",
        )
        for day in days
    ]
    tables.replace("estimates", tables.frame("estimates", rows), {"analysis_day": days})
    assert stale_days(tables) == days  # as if a run had died each time before the decision
    _decided(tables, days, "version")
    assert stale_days(tables) == []
    _audited(tables, _day(6), "again")
    assert stale_days(tables) == [_day(6), _day(7), _day(8), _day(10)]
    _audited(tables, _day(6), "first")
    assert stale_days(tables) == []


def test_estimates_of_other_rows_than_the_decision_are_stale(tables: Tables) -> None:
    day = _day(4)
    inputs = audited_inputs(tables, tables.project.experiments[0], day)
    row = _row(tables, "estimates", analysis_day=day, audited_inputs=inputs, input_version="late-rows")
    tables.replace("estimates", tables.frame("estimates", [row]), {"analysis_day": [day]})
    _decided(tables, [day], "version")
    assert stale_days(tables) == [day]
    _decided(tables, [day], "late-rows")
    assert stale_days(tables) == []


def _decided(tables: Tables, days: list[date], version: str) -> None:
    """A decision on each day, beside those that were made of other rows."""
    made = [
        _row(tables, "rollout_decisions", decided_for=end_of(day), input_version=f"{version}-{_WHY}")
        for day in days
    ]
    tables.insert_rows("rollout_decisions", made, {"experiment_id": [tables.project.experiments[0].id]})


def _audited(tables: Tables, day: date, run: str) -> None:
    row = _row(tables, "data_quality_results", table="profile_days", day=day, expectation="e", run_id=run)
    frame = tables.frame("data_quality_results", [row])
    tables.replace("data_quality_results", frame, {"table": ["profile_days"], "day": [day]})


def _row(tables: Tables, name: str, **values: Any) -> dict[str, Any]:
    key = {"experiment_id": tables.project.experiments[0].id, "epoch": 0}
    others = dict.fromkeys(("metric", "estimator", "segment", "segment_value", "arm"), "x")
    columns = tables.declared[name].columns
    return {
        **dict.fromkeys(columns),
        **{k: v for k, v in {**key, **others, **values}.items() if k in columns},
    }
