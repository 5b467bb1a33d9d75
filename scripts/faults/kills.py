"""SIGKILL of the driver at random moments of every job."""

import logging
import random
from collections.abc import Iterator, Sequence

from jobs.tables import Tables
from scripts.faults.comparison import difference
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run
from scripts.faults.service import JOBS, STEPS, Service


def kill_drivers(service: Service, kills: int, jobs: Sequence[str] = tuple(JOBS)) -> Iterator[Outcome]:
    """Each kill in a folder as it was before the job, which is then run to its end.

    A moment is up to half a second after a random one of the lines that the job logs.
    """
    for job, (before, after) in _states(service, jobs).items():
        draw, hits, outcome = random.Random(job), 0, Outcome("")
        lines = _lines_logged(job, service.copy(before, "killed"), service)
        for _ in range(kills):
            tables = service.copy(before, "killed")
            run = Run(tables, job, service.last.last)
            hits += run.kill_after(draw.randrange(lines), draw.uniform(0, 0.5))
            JOBS[job](tables, service.last)
            outcome.runs += 2
            outcome.add(difference(tables, service.tables(after)))
        outcome.fault = f"SIGKILL of the driver, {job}: {hits} kills, {kills - hits} after its end"
        yield outcome


class _Counter(logging.Handler):
    """Counts what it is given."""

    records = 0

    def emit(self, _: logging.LogRecord) -> None:
        self.records += 1


def _lines_logged(job: str, tables: Tables, service: Service) -> int:
    """How many lines the job logs."""
    logger, counter = logging.getLogger("watchlift"), _Counter()
    level = logger.level
    logger.addHandler(counter)
    logger.setLevel(logging.INFO)
    JOBS[job](tables, service.last)
    logger.setLevel(level)
    logger.removeHandler(counter)
    return max(counter.records, 1)


def _states(service: Service, jobs: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Folders as they are before and after each of the jobs on the last day."""
    found, state = {"run_day": ("before", "rolled_up"), "run_experiments": ("rolled_up", "loaded")}, "before"
    wanted = [position for position, step in enumerate(STEPS) if step in jobs]
    for step in list(STEPS)[: max(wanted, default=-1) + 1]:
        STEPS[step](service.copy(state, f"after_{step}"), service.last)
        found[step] = (state, f"after_{step}")
        state = f"after_{step}"
    return {job: found[job] for job in jobs}
