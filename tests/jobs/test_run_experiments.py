"""The order of the experiments' steps, without Spark."""

from datetime import date
from typing import Any

import pytest

from jobs import run_experiments


def test_what_a_day_rolls_back_does_not_run_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = date(2026, 3, 2), date(2026, 3, 3)
    done: list[date] = []
    monkeypatch.setattr(run_experiments, "import_expectations", lambda: None)
    monkeypatch.setattr(run_experiments, "running", lambda _, day: [] if done and day == second else ["one"])
    monkeypatch.setattr(run_experiments, "_run", lambda _, days: done.extend(days.all))
    tables: Any = None
    run_experiments.run_analyses(tables, [second, first])
    assert done == [first]
