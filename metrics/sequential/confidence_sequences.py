"""Intervals and p-values that hold at every sample size at once, for looks that nobody planned.

They need an estimate and its standard error, so that these may be clustered. Sources: Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas (2024) for the asymptotic confidence sequence; Johari, Koomen, Pekelis and Walsh (2022) for the
mixture sequential probability ratio test (mSPRT).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.checks import check_positive, check_share


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class MixtureTest:
    """One look of the mSPRT; the interval has the null values that this look alone does not reject."""

    log_likelihood_ratio: float
    p_always_valid: float
    ci_low: float
    ci_high: float


def best_rho(t_star: float, alpha: float = 0.05) -> float:
    """The rho that makes the asymptotic sequence narrowest after about t_star observations."""
    check_share("alpha", alpha)
    check_positive("t_star", t_star)
    spread = -2 * math.log(alpha)
    return math.sqrt((spread + math.log(spread + 1)) / t_star)


def asymptotic_interval(
    estimate: float, std_error: float, t: float, rho: float, alpha: float = 0.05
) -> Interval:
    """The two-sided asymptotic confidence sequence after t observations.

    For a mean std_error is sd / sqrt t; for a difference t counts the observations of both arms.
    """
    check_share("alpha", alpha)
    for name, value in (("standard error", std_error), ("t", t), ("rho", rho)):
        check_positive(name, value)
    growth = t * rho**2
    radius = math.sqrt(2 * (growth + 1) / growth * (math.log1p(growth) / 2 - math.log(alpha)))
    return Interval(estimate - radius * std_error, estimate + radius * std_error)


def mixture_tests(
    estimates: Sequence[float], std_errors: Sequence[float], tau_squared: float, alpha: float = 0.05
) -> tuple[MixtureTest, ...]:
    """mSPRT of an effect of 0 with mixture N(0, tau_squared), at each look in order.

    The p-value is the smallest 1 / likelihood ratio so far, at most 1.
    """
    check_share("alpha", alpha)
    check_positive("tau_squared", tau_squared)
    found: list[MixtureTest] = []
    p_value = 1.0
    for estimate, std_error in zip(estimates, std_errors, strict=True):
        check_positive("standard error", std_error)
        log_ratio = _log_likelihood_ratio(estimate, std_error**2, tau_squared)
        p_value = min(p_value, math.exp(min(0.0, -log_ratio)))
        radius = _mixture_radius(std_error**2, tau_squared, alpha)
        found.append(MixtureTest(log_ratio, p_value, estimate - radius, estimate + radius))
    return tuple(found)


def _log_likelihood_ratio(estimate: float, variance: float, tau_squared: float) -> float:
    total = variance + tau_squared
    return math.log(variance / total) / 2 + tau_squared * estimate**2 / (2 * variance * total)


def _mixture_radius(variance: float, tau_squared: float, alpha: float) -> float:
    total = variance + tau_squared
    return math.sqrt(variance * total / tau_squared * (math.log(total / variance) - 2 * math.log(alpha)))
