from dataclasses import asdict, replace
from datetime import UTC, date, datetime

from metrics.configuration.experiment import Restart
from metrics.enrollment import Restarts, row_of_restart
from tests.metrics.rollup.frames import EXPERIMENT

FIRST, SECOND = Restart(1, date(2026, 3, 6), "salt reused"), Restart(2, date(2026, 3, 10), "bots")


def known(*restarts: Restart) -> Restarts:
    return Restarts.of(asdict(row_of_restart("x", restart)) for restart in restarts)


def test_a_day_falls_into_the_epoch_that_the_last_restart_before_it_began() -> None:
    restarts = known(SECOND, FIRST)
    days = {
        date(2026, 3, 1): (None, FIRST),
        date(2026, 3, 5): (None, FIRST),
        date(2026, 3, 6): (FIRST, SECOND),
        date(2026, 3, 9): (FIRST, SECOND),
        date(2026, 3, 10): (SECOND, None),
        date(2027, 1, 1): (SECOND, None),
    }
    for day, epoch in days.items():
        found = restarts.as_of(EXPERIMENT, day)
        assert (found.restart, found.ended) == epoch
        assert restarts.as_of(found, date(2026, 3, 1)) == replace(EXPERIMENT, ended=FIRST)
    assert restarts.as_of(replace(EXPERIMENT, id="y"), date(2026, 3, 10)) == replace(EXPERIMENT, id="y")


def test_an_epoch_has_enrolment_and_covariates_of_its_own() -> None:
    again = known(FIRST).as_of(EXPERIMENT, date(2026, 3, 6))
    assert (again.epoch, again.opens, again.last_enrollment_day) == (1, date(2026, 3, 6), date(2026, 3, 8))
    assert again.first_covariate_day == date(2026, 2, 20)
    assert again.start == EXPERIMENT.start


def test_the_row_of_a_restart_is_open_from_its_first_moment() -> None:
    row = row_of_restart("x", FIRST)
    assert (row.status, row.since) == ("open", datetime(2026, 3, 6, tzinfo=UTC))
