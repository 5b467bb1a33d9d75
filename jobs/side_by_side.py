"""Steps of one job beside each other: while one waits for Delta's log, a listing or the driver, another computes."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jobs.arguments import WorkFailed
from jobs.tables import Tables
from metrics.errors import InputError

log = logging.getLogger("watchlift.side_by_side")
Result = TypeVar("Result")


def side_by_side(tables: Tables, *steps: Callable[[Tables], Result]) -> list[Result]:
    """What the steps give, in their order. Each has a session of its own, so that no setting of one meets another.

    All of them have ended when this returns or raises. Of several errors the first step's is raised, the others logged.
    """
    with ThreadPoolExecutor(len(steps)) as pool:
        running = [pool.submit(step, tables.in_own_session()) for step in steps]
    errors = [error for each in running if (error := each.exception())]
    for error in errors[1:]:
        is_expected = isinstance(error, InputError | WorkFailed)
        log.error("beside it: %s: %s", type(error).__name__, error, exc_info=None if is_expected else error)
    return [each.result() for each in running]
