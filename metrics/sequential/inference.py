"""What may be said at any look (repeated intervals and p-values) and at the end (stage-wise ordering), DESIGN §6.

Sources: Jennison and Turnbull (2000), chapters 8 and 9; stage-wise ordering after Armitage (1957) and Tsiatis, Rosner
and Mehta (1984).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scipy.optimize import brentq

from metrics.errors import InputError
from metrics.sequential.boundaries import (
    SMALLEST_INCREMENT,
    Look,
    boundaries,
    brings_information,
    check_level,
)
from metrics.sequential.integration import (
    Region,
    Survivors,
    exit_above,
    exit_below,
    survivors_before,
)

# The largest repeated p-value that is told, per side: no design has a larger alpha.
_LARGEST_P = 0.5
# Beyond it a drift of one standard error is no longer told from none in floating point.
_LARGEST_STATISTIC = 1e12


@dataclass(frozen=True)
class FinalInference:
    """After stopping: p-value, interval and median-unbiased estimate, in the effect's unit.

    With one side the p-value is that of an effect above 0 and the interval has level 1 - 2 alpha; with two sides the
    p-value is twice the smaller one, at most 1, and the level is 1 - alpha. No interval without a standard error.
    """

    p_value: float
    ci_low: float | None
    ci_high: float | None
    median_unbiased: float | None


@dataclass(frozen=True)
class StageWise:
    """Stage-wise ordering around one outcome: upper crossings before it are above it, lower ones below it.

    Everything is seen from a drift of `reference` at the stopping look, so that masses stay in the range of floating
    point around it: regions and statistic are shifted by it.
    """

    regions: tuple[Region, ...]
    before: tuple[Survivors | None, ...]
    information: float
    statistic: float
    reference: float

    def p_above(self, drift: float) -> float:
        """P(an outcome at or above this one) when the mean of Z at the stopping look is `drift`."""
        return self._beyond(exit_above, [region.upper for region in self.regions], drift)

    def p_below(self, drift: float) -> float:
        """P(an outcome at or below this one)."""
        return self._beyond(exit_below, [region.lower for region in self.regions], drift)

    def _beyond(self, leaving: Callable[..., float], limits: Sequence[float], drift: float) -> float:
        theta = (drift - self.reference) / math.sqrt(self.information)
        information = [*(region.information for region in self.regions), self.information]
        looks = zip(self.before, information, [*limits, self.statistic], strict=True)
        return min(1.0, sum(leaving(*look, theta) for look in looks))


def with_repeated_intervals(
    looks: Sequence[Look], statistics: Sequence[float], std_errors: Sequence[float]
) -> tuple[Look, ...]:
    """Looks with estimate -/+ z_boundary std_error, the estimate being statistic times std_error.

    There may be fewer statistics than looks; a look without boundary has no interval.
    """
    check_statistics(len(looks), statistics, std_errors)
    seen = list(zip(statistics, std_errors, strict=False))
    found = [_with_interval(look, *result) for look, result in zip(looks, seen, strict=False)]
    return (*found, *looks[len(found) :])


def repeated_p_values(
    information: Sequence[float],
    statistics: Sequence[float],
    sides: int = 2,
    spending: str = "pocock",
    final: bool = False,
) -> tuple[float | None, ...]:
    """For each statistic, the smallest alpha whose design would reject at that look.

    None above 0.5 per side, and where no design can. Designs with too little alpha to spend at a look cannot reject
    there, however large the statistic.
    """
    check_statistics(len(information), statistics, ())

    def of_look(k: int, statistic: float) -> float | None:
        last = final and k == len(information) - 1
        seen = information[: k + 1]
        return _smallest_alpha(
            lambda alpha: boundaries(seen, alpha, sides, spending, last)[k].z_boundary,
            abs(statistic) if sides == 2 else statistic,
            sides,
        )

    return tuple(of_look(k, statistic) for k, statistic in enumerate(statistics))


def final_inference(
    looks: Sequence[Look],
    statistics: Sequence[float],
    std_errors: Sequence[float] = (),
    alpha: float = 0.05,
    sides: int = 2,
) -> FinalInference:
    """Inference at the last look with a statistic, taken as the one at which the experiment stopped.

    Looks of later or equal information play no part: a look at the same data stands in for the earlier one.
    """
    check_level(alpha, sides)
    check_statistics(len(looks), statistics, std_errors)
    if not statistics:
        raise InputError("no statistic given; give one for each look up to the last one taken")
    taken, statistic = looks[: len(statistics)], statistics[-1]
    under_h0 = stage_wise(taken, statistic, sides)
    above, below = under_h0.p_above(0.0), under_h0.p_below(0.0)
    p_value = above if sides == 1 else min(1.0, 2 * min(above, below))
    if not std_errors:
        return FinalInference(p_value, None, None, None)
    # Two-sided regions are bounded, so that no drift moves mass out of reach; one-sided ones are open below.
    order = stage_wise(taken, statistic, sides, min(0.0, statistic)) if sides == 1 else under_h0
    tail = alpha / sides
    low, high, middle = (
        std_errors[-1] * _drift_at(order.p_above, statistic, target) for target in (tail, 1 - tail, 0.5)
    )
    return FinalInference(p_value, low, high, middle)


def stage_wise(looks: Sequence[Look], statistic: float, sides: int, reference: float = 0.0) -> StageWise:
    """The ordering of outcomes around `statistic` at the last of the looks."""
    last = looks[-1].information_fraction
    regions = [
        _seen_from(reference * math.sqrt(look.information_fraction / last), look, sides)
        for look in looks[:-1]
        if look.z_boundary is not None and brings_information(last, look.information_fraction)
    ]
    before = survivors_before(regions, last)
    return StageWise(tuple(regions), tuple(before), last, statistic - reference, reference)


def check_statistics(looks: int, statistics: Sequence[float], std_errors: Sequence[float]) -> None:
    """Raises InputError unless statistics are numbers, no more than looks, with as many standard errors or none."""
    if len(statistics) > looks:
        raise InputError(f"{len(statistics)} statistics for {looks} looks; give at most one for each look")
    if std_errors and len(std_errors) != len(statistics):
        raise InputError(f"{len(std_errors)} standard errors for {len(statistics)} statistics; give as many")
    for statistic in statistics:
        if not abs(statistic) <= _LARGEST_STATISTIC:
            raise InputError(
                f"statistic {statistic} is not a z of at most {_LARGEST_STATISTIC:g}; correct it"
            )
    for std_error in std_errors:
        if not 0 < std_error < math.inf:
            raise InputError(f"standard error {std_error} is not a positive number; correct it")


def _with_interval(look: Look, statistic: float, std_error: float) -> Look:
    if look.z_boundary is None:
        return look
    return replace(
        look,
        repeated_ci_low=(statistic - look.z_boundary) * std_error,
        repeated_ci_high=(statistic + look.z_boundary) * std_error,
    )


def _smallest_alpha(
    boundary_of: Callable[[float], float | None], statistic: float, sides: int
) -> float | None:
    def excess(log_alpha: float) -> float:
        boundary = boundary_of(math.exp(log_alpha))
        return math.inf if boundary is None else boundary - statistic

    smallest, largest = math.log(SMALLEST_INCREMENT), math.log(_LARGEST_P * sides * (1 - 1e-12))
    if excess(largest) > 0:
        return None
    if excess(smallest) <= 0:
        return SMALLEST_INCREMENT
    # Bounded, because root finding cannot step from an infinite value.
    return math.exp(brentq(lambda x: min(excess(x), 40.0), smallest, largest, xtol=1e-13, rtol=1e-14))


def _drift_at(p_above: Callable[[float], float], statistic: float, target: float) -> float:
    """The drift at which P(an outcome at or above this one) is `target`; p_above rises with the drift."""
    reach = 5.0
    while p_above(statistic - reach) > target or p_above(statistic + reach) < target:
        reach *= 2
    lowest, highest = statistic - reach, statistic + reach
    return float(brentq(lambda drift: p_above(drift) - target, lowest, highest, xtol=1e-12, maxiter=500))


def _seen_from(drift: float, look: Look, sides: int) -> Region:
    assert look.z_boundary is not None
    lower = -look.z_boundary if sides == 2 else -math.inf
    return Region(look.information_fraction, lower - drift, look.z_boundary - drift)
