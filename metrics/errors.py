"""The two errors that somebody handles: bad input, and a fault in the work itself."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input. The message is one line: the thing, the value, the remedy. Commands exit with 2."""


class ConfigurationError(InputError):
    """Every fault found in one configuration file, each a line of its own in `faults`."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        more = (
            f" (and {len(faults) - 1} more: `watchlift validate`, or --format json)"
            if len(faults) > 1
            else ""
        )
        super().__init__(self.faults[0] + more)
