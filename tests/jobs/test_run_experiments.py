"""The order of the experiments' steps, without Spark."""

from datetime import date
from typing import Any

import pytest

from jobs import run_experiments
from jobs.arguments import Days, WorkFailed


def test_what_a_day_rolls_back_does_not_run_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = date(2026, 3, 2), date(2026, 3, 3)
    done: list[date] = []
    monkeypatch.setattr(run_experiments, "import_expectations", lambda: None)
    monkeypatch.setattr(run_experiments, "running", lambda _, day: [] if done and day == second else ["one"])
    monkeypatch.setattr(run_experiments, "_run", lambda _, days: done.extend(days.all))
    tables: Any = None
    run_experiments.run_analyses(tables, [second, first])
    assert done == [first]


def test_a_day_that_fails_keeps_no_later_day_from_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)]
    done: list[date] = []

    def day_run(_: Any, of: Days) -> None:
        if of.first < days[2]:
            raise WorkFailed(f"the audit of {of} failed")
        done.extend(of.all)

    monkeypatch.setattr(run_experiments, "import_expectations", lambda: None)
    monkeypatch.setattr(run_experiments, "running", lambda *_: ["one"])
    monkeypatch.setattr(run_experiments, "_run", day_run)
    tables: Any = None
    with pytest.raises(WorkFailed, match="of 2026-03-02 failed"):
        run_experiments.run_analyses(tables, days)
    assert done == [days[2]]
