"""SIGKILL of the driver at random moments of every job."""

import random

from scripts.faults.comparison import difference
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run
from scripts.faults.service import JOBS, STEPS, Service, lines_logged


def kill_driver(service: Service, job: str, kills: int) -> Outcome:
    """Two kills, one after the other, in a folder as it was before the job, which is then run to its end; and so on.

    The second meets what the first has left, as a retry does. A moment is up to half a second after a random one of the
    lines that the job logs.
    """
    before, after = _states(service, job)
    draw, hits, outcome = random.Random(job), 0, Outcome("")
    for first in range(0, kills, 2):
        tables = service.copy(before, "killed")
        for _ in range(first, min(first + 2, kills)):
            run = Run(tables, job, service.last.last)
            hits += run.kill_after(draw.randrange(service.lines[job]), draw.uniform(0, 0.5))
            outcome.runs += 1
        JOBS[job](tables, service.last)
        outcome.runs += 1
        outcome.add(difference(tables, service.tables(after), growing=()))
    outcome.fault = f"SIGKILL of the driver, {job}: {hits} kills, {kills - hits} after its end"
    return outcome


def _states(service: Service, job: str) -> tuple[str, str]:
    """Folders as they are before and after the job on the last day; what other steps left is used again."""
    if job not in STEPS:
        return {"run_day": ("before", "rolled_up"), "run_experiments": ("rolled_up", "loaded")}[job]
    steps = list(STEPS)[: list(STEPS).index(job) + 1]
    states = ["before", *(f"after_{step}" for step in steps)]
    for step, before, after in zip(steps, states[:-1], states[1:], strict=True):
        if not (service.folder / after).exists():
            service.lines[step] = lines_logged(STEPS[step], service.copy(before, after), service.last)
    return states[-2], states[-1]
