"""SIGKILL of the driver at random moments of every job."""

import random
from threading import Lock

from jobs.arguments import WorkFailed
from jobs.tables import Tables
from metrics.errors import InputError
from scripts.faults.comparison import difference
from scripts.faults.jobs import JOBS, begun, done
from scripts.faults.outcome import Outcome
from scripts.faults.processes import Run
from scripts.faults.service import Service

_ONE_AT_A_TIME = Lock()  # Great Expectations is not made for threads


def kill_driver(service: Service, job: str, kills: int) -> Outcome:
    """Two kills, one after the other, in a folder as it was before the job, which is then run to its end; and so on.

    The second meets what the first has left, as a retry does. A moment is up to half a second after a random one of the
    lines that the job logs. Jobs may be killed at the same time once each of them is `done`.
    """
    expected, arguments = done(service, job), JOBS[job].arguments(service)
    draw, hits, outcome = random.Random(job), 0, Outcome("")
    for first in range(0, kills, 2):
        tables = begun(service, job, f"killed_{job}")
        for _ in range(first, min(first + 2, kills)):
            run = Run(tables, job, arguments)
            hits += run.kill_after(draw.randrange(service.lines[job]), draw.uniform(0, 0.5))
            outcome.runs += 1
        _finish(outcome, job, tables, service)
        outcome.add(difference(tables, expected, growing=()))
    outcome.fault = f"SIGKILL of the driver, {job}: {hits} kills, {kills - hits} after its end"
    return outcome


def _finish(outcome: Outcome, job: str, tables: Tables, service: Service) -> None:
    """Run the job to its end."""
    outcome.runs += 1
    try:
        with _ONE_AT_A_TIME:
            JOBS[job].work(tables, service)
    except (InputError, WorkFailed) as error:
        outcome.failed += 1
        outcome.say(str(error))
