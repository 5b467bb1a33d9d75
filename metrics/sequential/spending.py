"""Lan-DeMets spending functions: how much of alpha is spent when a share t of the planned information is in.

alpha is the total over the sides. Every function gives 0 at t = 0, does not fall, and gives all alpha from t = 1 on.
Sources: Lan and DeMets (1983); Hwang, Shih and DeCani (1990).
"""

import math
from collections.abc import Callable

from scipy.special import ndtr, ndtri

from metrics.errors import InputError

# (information fraction, alpha, sides) -> alpha spent up to there
Spending = Callable[[float, float, int], float]


def pocock(fraction: float, alpha: float, sides: int) -> float:  # noqa: ARG001
    """alpha ln(1 + (e - 1) t): close to Pocock's constant boundary."""
    return alpha * min(1.0, math.log1p((math.e - 1) * fraction))


def obrien_fleming(fraction: float, alpha: float, sides: int) -> float:
    """2 (1 - Phi(z_{1-a/2} / sqrt t)) on each side, a = alpha / sides: close to O'Brien and Fleming's boundary."""
    if fraction >= 1:
        return alpha
    return float(sides * 2 * ndtr(ndtri(alpha / sides / 2) / math.sqrt(fraction)))


def linear(fraction: float, alpha: float, sides: int) -> float:  # noqa: ARG001
    """alpha t."""
    return alpha * min(1.0, fraction)


def hwang_shih_decani(gamma: float) -> Spending:
    """alpha (1 - exp(-gamma t)) / (1 - exp(-gamma)): early spending for gamma > 0, late for gamma < 0, linear at 0."""
    if gamma == 0:
        return linear

    def spent(fraction: float, alpha: float, sides: int) -> float:  # noqa: ARG001
        t, steepness = min(1.0, fraction), abs(gamma)
        share = math.expm1(-steepness * t) / math.expm1(-steepness)
        # With gamma < 0 the same ratio times exp(steepness (t - 1)), which cannot overflow.
        return alpha * (share if gamma > 0 else share * math.exp(steepness * (t - 1)))

    return spent


_NAMED: dict[str, Spending] = {"pocock": pocock, "obrien_fleming": obrien_fleming, "linear": linear}
_FAMILY = "hsd:"


EXPECTED = ", ".join([*_NAMED, f"{_FAMILY}GAMMA (a number, as in {_FAMILY}-4)"])


def spending_function(name: str) -> Spending:
    """The function of a name: pocock, obrien_fleming, linear or hsd:GAMMA. Raises InputError for any other."""
    found = known_spending(name)
    if found is None:
        raise InputError(f"spending is '{name}'; expected one of {EXPECTED}")
    return found


def known_spending(name: str) -> Spending | None:
    """The same, None for any other."""
    if name in _NAMED:
        return _NAMED[name]
    gamma = _number(name.removeprefix(_FAMILY)) if name.startswith(_FAMILY) else None
    return None if gamma is None else hwang_shih_decani(gamma)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
