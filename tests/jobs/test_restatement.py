"""Analysis days are estimated again when their data changed, and only then."""

from datetime import date
from typing import Any

from jobs.restatement import audited_inputs, stale_days
from jobs.tables import Tables


def _day(number: int) -> date:
    return date(2026, 3, number)


def test_only_the_days_that_rest_on_a_changed_one_are_stale(tables: Tables) -> None:
    experiment = tables.project.experiments[0]
    days = [_day(number) for number in (4, 5, 6, 7, 8, 10)]
    _audited(tables, _day(6), "first")
    inputs = {day: audited_inputs(tables, experiment, day) for day in days[1:3]}
    rows = [
        _row(tables, "estimates", analysis_day=day, audited_inputs=inputs[min(max(day, _day(5)), _day(6))])
        for day in days
    ]
    tables.replace("estimates", tables.frame("estimates", rows), {"analysis_day": days})
    assert stale_days(tables) == []
    _audited(tables, _day(6), "again")
    assert stale_days(tables) == [_day(6), _day(7), _day(8), _day(10)]
    _audited(tables, _day(6), "first")
    assert stale_days(tables) == []


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
