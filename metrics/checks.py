"""Numbers that formulas cannot take are refused by name."""

import math

from metrics.errors import InputError


def check_share(name: str, value: float) -> None:
    """Raises InputError unless the value is between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise InputError(f"{name} is {value}; expected above 0 and below 1")


def check_positive(name: str, value: float) -> None:
    """Raises InputError unless the value is positive and finite."""
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value}; expected a positive number")
