"""Nothing lost, nothing doubled, in whatever order things arrive, fail and are repeated."""

import pytest

from jobs.tables import Tables
from scripts.faults.schedules import run_schedule


@pytest.mark.slow
def test_a_random_schedule_ends_in_what_the_last_files_say(tables: Tables) -> None:
    """`make faults` runs twenty of them."""
    steps, lost, doubled = run_schedule(tables, seed=4)
    assert (lost, doubled) == (0, 0), steps
