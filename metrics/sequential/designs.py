"""What a planned group sequential test costs and gains: classical constants, power by look, inflation (DESIGN §6).

Power counts rejections on the right side only. Information is in fractions of the maximum, which is 1.
Source: Jennison and Turnbull (2000), chapters 2 and 19; Wang and Tsiatis (1987) for the family of the constants.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from metrics.errors import InputError
from metrics.sequential.boundaries import boundaries, check_level, region
from metrics.sequential.integration import Survivors, exit_above, exit_below, survivors_before


@dataclass(frozen=True)
class Crossing:
    """Chances of first crossing at each look, above and below (0 with one side)."""

    above: tuple[float, ...]
    below: tuple[float, ...]


@dataclass(frozen=True)
class Characteristics:
    """A sequential test beside the fixed-sample test of the same alpha and power.

    inflation: maximum information over the fixed one. shift: the squared mean of Z at the maximum information under
    the effect to detect. asn_*: expected information over the fixed one, without effect, at half of it, and at it.
    """

    inflation: float
    shift: float
    power_by_look: tuple[float, ...]
    asn_h0: float
    asn_half: float
    asn_h1: float


@dataclass(frozen=True)
class Plan:
    """The looks that can reject, and who comes to them: crossing chances under any drift need no new integration."""

    information: tuple[float, ...]
    critical: tuple[float, ...]
    sides: int
    before: tuple[Survivors | None, ...]

    def crossing(self, theta: float) -> Crossing:
        """Chances of first crossing when the mean of Z is theta sqrt(information)."""
        looks = list(zip(self.before, self.information, self.critical, strict=True))
        above = tuple(exit_above(*look, theta) for look in looks)
        below = tuple(exit_below(before, at, -critical, theta) for before, at, critical in looks)
        return Crossing(above, below if self.sides == 2 else (0.0,) * len(looks))


def integrate(information: Sequence[float], critical: Sequence[float | None], sides: int = 2) -> Plan:
    """Integrate a test's looks, once for every drift. A look without boundary cannot reject and is left out."""
    looks = [(at, limit) for at, limit in zip(information, critical, strict=True) if limit is not None]
    if not looks:
        raise InputError("no look can reject; raise alpha or the looks' information")
    regions = [region(at, limit, sides) for at, limit in looks]
    before = survivors_before(regions[:-1], regions[-1].information)
    return Plan(tuple(at for at, _ in looks), tuple(limit for _, limit in looks), sides, tuple(before))


def wang_tsiatis_constant(alpha: float, looks: int, delta: float, sides: int = 2) -> float:
    """c of the boundary c (k / looks)^(delta - 1/2) at equally spaced looks that has type I error alpha."""
    check_level(alpha, sides)
    information = equally_spaced(looks)
    shape = [at ** (delta - 0.5) for at in information]

    def excess(constant: float) -> float:
        crossing = integrate(information, [constant * s for s in shape], sides).crossing(0.0)
        return sum(crossing.above + crossing.below) - alpha

    # At the lower end the last look alone spends alpha; at the upper all looks together spend less (Bonferroni).
    lowest, highest = -ndtri(alpha / sides), -ndtri(alpha / sides / looks) / min(shape)
    return float(lowest if looks == 1 else brentq(excess, lowest, highest, xtol=1e-12))


pocock_constant = partial(wang_tsiatis_constant, delta=0.5)
obrien_fleming_constant = partial(wang_tsiatis_constant, delta=0.0)


def equally_spaced(looks: int) -> list[float]:
    """Information fractions 1/K, 2/K, … 1. Raises InputError unless there is a look."""
    if looks < 1:
        raise InputError(f"looks is {looks}; expected 1 or more")
    return [(k + 1) / looks for k in range(looks)]


def inflation(
    information: Sequence[float], spending: str, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float:
    """Maximum information over that of a fixed-sample test, for a spending function at planned fractions."""
    looks = boundaries(information, alpha, sides, spending)
    return characteristics(information, [look.z_boundary for look in looks], alpha, power, sides).inflation


def characteristics(
    information: Sequence[float],
    critical: Sequence[float | None],
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
) -> Characteristics:
    """Inflation, power by look and expected information of boundaries at planned fractions, the last of which is 1."""
    if not math.isclose(information[-1], 1):
        raise InputError(f"the last planned look has information {information[-1]}; plan it at 1")
    fixed = fixed_drift(alpha, power, sides)
    plan = integrate(information, critical, sides)
    theta = _drift_of_power(plan, power)
    ratio = (theta / fixed) ** 2
    return Characteristics(
        inflation=ratio,
        shift=theta**2,
        power_by_look=tuple(map(float, np.cumsum(plan.crossing(theta).above))),
        asn_h0=ratio * _expected_information(plan, 0.0),
        asn_half=ratio * _expected_information(plan, theta / 2),
        asn_h1=ratio * _expected_information(plan, theta),
    )


def fixed_drift(alpha: float, power: float, sides: int = 2) -> float:
    """Mean of Z at which a fixed-sample test has the power: z_{1-alpha/sides} + z_power."""
    check_level(alpha, sides)
    if not alpha / sides < power < 1:
        raise InputError(f"power is {power}; expected above {alpha / sides:g} and below 1")
    return float(ndtri(power) - ndtri(alpha / sides))


def _drift_of_power(plan: Plan, power: float) -> float:
    looks = zip(plan.information, plan.critical, strict=True)
    # One look alone has the power at the upper end.
    highest = min((critical + float(ndtri(power))) / math.sqrt(at) for at, critical in looks)
    return float(
        brentq(lambda theta: sum(plan.crossing(theta).above) - power, 0.0, highest + 1e-6, xtol=1e-12)
    )


def _expected_information(plan: Plan, theta: float) -> float:
    """What is saved by stopping early, taken from the maximum."""
    crossing = plan.crossing(theta)
    return float(1 - (1 - np.array(plan.information)) @ np.add(crossing.above, crossing.below))
