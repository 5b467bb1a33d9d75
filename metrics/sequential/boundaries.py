"""Boundaries of a group sequential test that spends alpha at the information found, not at that planned (DESIGN §6)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from metrics.errors import InputError
from metrics.sequential.integration import Region, Survivors, exit_above, exit_below, survivors
from metrics.sequential.spending import spending_function

# A smaller increment of alpha is zero in double precision: the look cannot reject.
SMALLEST_INCREMENT = 1e-14
# A look must bring this share of new information to be more than a second reading of the last.
NEW_INFORMATION = 1e-8


@dataclass(frozen=True)
class Look:
    """One look: reject where Z >= z_boundary (sides 1) or |Z| >= z_boundary (sides 2).

    alpha_spent is cumulative and total over the sides; nominal_p is the p-value at the boundary, with as many sides.
    No boundary means that the look cannot reject. The repeated interval is in the effect's unit.
    """

    look: int
    information_fraction: float
    alpha_spent: float
    z_boundary: float | None
    nominal_p: float | None
    repeated_ci_low: float | None = None
    repeated_ci_high: float | None = None


def boundaries(
    information: Sequence[float],
    alpha: float = 0.05,
    sides: int = 2,
    spending: str = "pocock",
    final: bool = False,
) -> tuple[Look, ...]:
    """Boundaries at the looks' information, given as fractions of the planned maximum, in the order of the looks.

    A look that brings no new information spends nothing. A look at or above 1 spends all that is left, and so does
    the last one with `final`. Raises InputError on impossible fractions, alpha, sides or spending.
    """
    check_level(alpha, sides)
    check_information(information)
    spent = alpha_spent(information, alpha, sides, spending, final)
    spending_looks = {k: x for k, x in enumerate(_increments(spent)) if x >= SMALLEST_INCREMENT}
    solved = solve_boundaries([information[k] for k in spending_looks], list(spending_looks.values()), sides)
    found = dict(zip(spending_looks, solved, strict=True))
    return tuple(_look(k, fraction, spent[k], found.get(k), sides) for k, fraction in enumerate(information))


def alpha_spent(
    information: Sequence[float], alpha: float, sides: int, spending: str, final: bool = False
) -> list[float]:
    """Alpha spent up to and with each look."""
    function = spending_function(spending)
    spent: list[float] = []
    so_far, most = 0.0, 0.0
    for i, fraction in enumerate(information):
        if brings_information(fraction, most):
            at_end = final and i == len(information) - 1
            so_far = alpha if at_end else max(so_far, function(fraction, alpha, sides))
            most = fraction
        spent.append(so_far)
    return spent


def brings_information(fraction: float, most: float) -> bool:
    """Whether a look's information exceeds the most that was seen before."""
    return fraction > most * (1 + NEW_INFORMATION)


def solve_boundaries(
    information: Sequence[float], increments: Sequence[float], sides: int = 2
) -> list[float]:
    """Boundaries at which the chance of first crossing at look k, under H0, is increments[k]; information ascends."""
    before: Survivors | None = None
    found: list[float] = []
    for k, (at, increment) in enumerate(zip(information, increments, strict=True)):
        found.append(_solve(before, at, increment, sides))
        if k + 1 < len(information):
            before = survivors(before, region(at, found[-1], sides), information[k + 1])
    return found


def region(information: float, boundary: float, sides: int) -> Region:
    """Where one goes on after a look."""
    return Region(information, -boundary if sides == 2 else -math.inf, boundary)


def check_level(alpha: float, sides: int) -> None:
    """Raises InputError unless there are one or two sides and alpha suits them."""
    if sides not in (1, 2):
        raise InputError(f"sides is {sides}; expected 1 (upper) or 2")
    most = sides / 2
    if not 0 < alpha < most:
        raise InputError(f"alpha is {alpha}; expected above 0 and below {most:g} with sides {sides}")


def check_information(information: Sequence[float]) -> None:
    """Raises InputError unless there is a look, and each look's information is positive and finite."""
    if not information:
        raise InputError("no information given; give each look's share of the planned maximum, such as 0.5 1")
    for fraction in information:
        if not 0 < fraction < math.inf:
            raise InputError(
                f"information {fraction} is not a positive number; give shares of the planned maximum"
            )


def _increments(spent: Sequence[float]) -> list[float]:
    """What each look has to spend; a look with next to nothing leaves it to the next one."""
    increments, used = [], 0.0
    for total in spent:
        increments.append(total - used)
        if increments[-1] >= SMALLEST_INCREMENT:
            used = total
    return increments


def _solve(before: Survivors | None, information: float, increment: float, sides: int) -> float:
    # Without earlier looks the boundary would be this; those who left before can only lower the chance of crossing.
    highest = float(-ndtri(increment / sides))
    if before is None:
        return highest

    def excess(boundary: float) -> float:
        crossing = exit_above(before, information, boundary)
        if sides == 2:
            crossing += exit_below(before, information, -boundary)
        return math.log(max(crossing, 1e-300) / increment)

    lowest = 0.0 if sides == 2 else -9.0
    if excess(highest) >= 0:
        return highest
    return float(brentq(excess, lowest, highest, xtol=1e-13, rtol=1e-14))


def _look(position: int, fraction: float, spent: float, boundary: float | None, sides: int) -> Look:
    nominal_p = None if boundary is None else float(sides * ndtr(-boundary))
    return Look(position + 1, float(fraction), spent, boundary, nominal_p)
