"""SIGKILL of the driver at random moments of every job."""

import logging
import random

from jobs.tables import Tables
from scripts.faults.comparison import difference
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run
from scripts.faults.service import JOBS, STEPS, Service


def kill_driver(service: Service, job: str, kills: int) -> Outcome:
    """Each kill in a folder as it was before the job, which is then run to its end.

    A moment is up to half a second after a random one of the lines that the job logs.
    """
    before, after = _states(service, job)
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
    return outcome


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


def _states(service: Service, job: str) -> tuple[str, str]:
    """Folders as they are before and after the job on the last day; what other steps left is used again."""
    if job not in STEPS:
        return {"run_day": ("before", "rolled_up"), "run_experiments": ("rolled_up", "loaded")}[job]
    steps = list(STEPS)[: list(STEPS).index(job) + 1]
    states = ["before", *(f"after_{step}" for step in steps)]
    for step, before, after in zip(steps, states[:-1], states[1:], strict=True):
        if not (service.folder / after).exists():
            STEPS[step](service.copy(before, after), service.last)
    return states[-2], states[-1]
