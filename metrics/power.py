"""Sample size, minimum detectable effect and power of a planned experiment (DESIGN §6).

Normal quantiles throughout; numbers of units are not rounded. Each treatment is compared with the control, two-sided
at alpha over the number of treatments. What CUPED saves, what clusters cost and what looking early costs multiply the
variance: (1 - rho^2) x design effect x inflation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from metrics.checks import check_positive, check_share
from metrics.errors import InputError
from metrics.sequential.designs import equally_spaced, fixed_drift, inflation
from metrics.sequential.spending import spending_function


@dataclass(frozen=True)
class Clusters:
    """Clusters that are randomized whole: intra-cluster correlation, and the mean and sd/mean of their sizes."""

    icc: float
    mean_size: float
    cv: float = 0.0


@dataclass(frozen=True)
class Design:
    """What is planned. `allocation` has one entry for the control and one per treatment, in any scale.

    `looks` are equally spaced in information; `clusters` only where they, not units, are randomized.
    """

    alpha: float = 0.05
    power: float = 0.8
    allocation: tuple[float, ...] = (1.0, 1.0)
    rho: float = 0.0
    looks: int = 1
    spending: str = "pocock"
    clusters: Clusters | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Units of each treatment per unit of the control."""
        return tuple(share / self.allocation[0] for share in self.allocation[1:])

    @property
    def comparison_alpha(self) -> float:
        return self.alpha / len(self.ratios)


@dataclass(frozen=True)
class Factors:
    """What multiplies the variance of an estimate beside the plain one."""

    variance_reduction: float
    design_effect: float
    inflation: float

    @property
    def product(self) -> float:
        return (1 - self.variance_reduction) * self.design_effect * self.inflation


@dataclass(frozen=True)
class Requirement:
    """Units by arm, control first, and the effect that they detect. Relative to a baseline of 0 there is none."""

    n_per_arm: tuple[float, ...]
    mde_absolute: float
    mde_relative: float | None
    factors: Factors


def units_for_mean(design: Design, mean: float, sd: float, mde_relative: float) -> Requirement:
    """Units by which a relative change of a mean is detected: n_control = (1 + 1/r) zz sd^2 / delta^2."""
    _check_mean(mean, sd)
    check_positive("relative MDE", mde_relative)
    if mean == 0:
        raise InputError("mean is 0, so that nothing is relative to it; give --n instead of a relative MDE")
    factors = factors_of(design)
    delta = mde_relative * abs(mean)
    smallest = min(design.ratios)
    n_control = (1 + 1 / smallest) * _zz(design) * (sd / delta) ** 2 * factors.product
    return Requirement(_n_per_arm(design, n_control), delta, mde_relative, factors)


def mde_of_mean(design: Design, mean: float, sd: float, n_control: float) -> Requirement:
    """The change of a mean that n_control units, and as many per treatment as allocated, detect."""
    _check_mean(mean, sd)
    check_positive("n", n_control)
    factors = factors_of(design)
    units = (1 + 1 / min(design.ratios)) / n_control
    delta = sd * math.sqrt(_zz(design) * units * factors.product)
    return Requirement(_n_per_arm(design, n_control), delta, delta / abs(mean) if mean else None, factors)


def units_for_proportions(design: Design, p1: float, p2: float) -> Requirement:
    """Units by which a proportion of p2 is told from p1 in the control; the null variance is pooled.

    n_control = (z_{1-alpha/2} sqrt(p q (1 + 1/r)) + z_power sqrt(p1 q1 + p2 q2 / r))^2 / (p1 - p2)^2 with p the
    share over both arms (Fleiss, Levin and Paik 2003, chapter 4, without continuity correction).
    """
    _check_proportions(p1, p2)
    factors = factors_of(design)
    n_control = _n_of_proportions(design, p1, p2) * factors.product
    delta = abs(p2 - p1)
    return Requirement(_n_per_arm(design, n_control), delta, delta / p1, factors)


def mde_of_proportion(design: Design, p1: float, n_control: float) -> Requirement:
    """The rise of a proportion above p1 that n_control units, and as many per treatment as allocated, detect."""
    _check_proportions(p1)
    check_positive("n", n_control)
    factors = factors_of(design)
    wanted = n_control / factors.product

    def excess(delta: float) -> float:
        return math.log(_n_of_proportions(design, p1, p1 + delta) / wanted)

    lowest, highest = 1e-12 * (1 - p1), (1 - 1e-12) * (1 - p1)
    if excess(highest) > 0:
        raise InputError(f"n {n_control:g} is too small to detect any rise above p1 {p1:g}; raise --n")
    delta = float(brentq(excess, lowest, highest, xtol=1e-300, rtol=1e-14))
    return Requirement(_n_per_arm(design, n_control), delta, delta / p1, factors)


def power_of_mean(
    effect: float, sd: float, n_control: float, n_treatment: float, alpha: float = 0.05
) -> float:
    """Power of the two-sided z test, rejections on both sides counted."""
    for name, value in (("sd", sd), ("n", n_control), ("n", n_treatment)):
        check_positive(name, value)
    check_share("alpha", alpha)
    drift = effect / (sd * math.sqrt(1 / n_control + 1 / n_treatment))
    z = -ndtri(alpha / 2)
    return float(ndtr(drift - z) + ndtr(-drift - z))


def power_for(effect: float, detectable: float, alpha: float, power: float) -> float:
    """Power for an effect of a test that has `power` for `detectable`, counted on the right side only.

    As if looked at once: what several looks cost in information is in what they make detectable.
    """
    drift = fixed_drift(alpha, power)
    return float(ndtr(drift * effect / detectable - (drift - ndtri(power))))


def factors_of(design: Design) -> Factors:
    """Check the design and say what multiplies its variance. Raises InputError."""
    _check_design(design)
    return Factors(
        variance_reduction=design.rho**2,
        design_effect=design_effect(design.clusters) if design.clusters else 1.0,
        inflation=_inflation(design),
    )


def design_effect(clusters: Clusters) -> float:
    """1 + (m (1 + cv^2) - 1) icc: Eldridge, Ashby and Kerry (2006)."""
    if not 0 <= clusters.icc <= 1:
        raise InputError(f"icc is {clusters.icc}; expected 0 to 1")
    if not 1 <= clusters.mean_size < math.inf:
        raise InputError(f"cluster size is {clusters.mean_size}; expected a mean of 1 or more")
    if not 0 <= clusters.cv < math.inf:
        raise InputError(f"cluster cv is {clusters.cv}; expected 0 or more")
    return 1 + (clusters.mean_size * (1 + clusters.cv**2) - 1) * clusters.icc


def max_information(effect: float, design: Design) -> float:
    """Inverse variance of the estimate at the planned end: inflation ((z_{1-alpha/2} + z_power) / effect)^2."""
    check_positive("effect", abs(effect))
    return factors_of(design).inflation * _zz(design) / effect**2


def ratio_sd(
    mean_numerator: float,
    mean_denominator: float,
    variance_numerator: float,
    variance_denominator: float,
    covariance: float,
) -> float:
    """Sd by unit of a ratio of means, for use as `sd` with that ratio as `mean` (delta method)."""
    if mean_denominator == 0:
        raise InputError("mean of the denominator is 0; a ratio needs another")
    ratio = mean_numerator / mean_denominator
    variance = variance_numerator - 2 * ratio * covariance + ratio**2 * variance_denominator
    # A ratio that does not vary may come out as a rounding error below 0.
    return math.sqrt(max(variance, 0.0)) / abs(mean_denominator)


def within_strata_sd(shares: Sequence[float], sds: Sequence[float]) -> float:
    """Sd that is left when estimates are stratified, from the strata's shares of the units and sds within them."""
    return math.sqrt(math.fsum(w * s**2 for w, s in zip(shares, sds, strict=True)) / math.fsum(shares))


def _zz(design: Design) -> float:
    return float((ndtri(design.power) - ndtri(design.comparison_alpha / 2)) ** 2)


# Every look of a ledger asks for that of the same few designs.
@lru_cache(maxsize=256)
def _inflation(design: Design) -> float:
    if design.looks == 1:
        return 1.0
    return inflation(equally_spaced(design.looks), design.spending, design.comparison_alpha, design.power)


def _n_per_arm(design: Design, n_control: float) -> tuple[float, ...]:
    return (n_control, *(ratio * n_control for ratio in design.ratios))


def _n_of_proportions(design: Design, p1: float, p2: float) -> float:
    """Control units for the treatment that needs the most of them."""
    z_alpha, z_power = -ndtri(design.comparison_alpha / 2), ndtri(design.power)

    def needed(r: float) -> float:
        pooled = (p1 + r * p2) / (1 + r)
        null = pooled * (1 - pooled) * (1 + 1 / r)
        alternative = p1 * (1 - p1) + p2 * (1 - p2) / r
        return float((z_alpha * math.sqrt(null) + z_power * math.sqrt(alternative)) ** 2 / (p1 - p2) ** 2)

    return max(map(needed, design.ratios))


def _check_design(design: Design) -> None:
    check_share("alpha", design.alpha)
    if not -1 < design.rho < 1:
        raise InputError(f"rho is {design.rho}; expected above -1 and below 1")
    if len(design.allocation) < 2:
        raise InputError("allocation has no treatment; give control:treatment, such as 1:1")
    for share in design.allocation:
        check_positive("allocation", share)
    if not design.comparison_alpha / 2 < design.power < 1:
        raise InputError(f"power is {design.power}; expected above alpha/2 and below 1")
    if design.looks < 1:
        raise InputError(f"looks is {design.looks}; expected 1 or more")
    spending_function(design.spending)


def _check_mean(mean: float, sd: float) -> None:
    if not math.isfinite(mean):
        raise InputError(f"mean is {mean}; expected a finite number")
    check_positive("sd", sd)


def _check_proportions(*proportions: float) -> None:
    for proportion in proportions:
        check_share("proportion", proportion)
    if len(set(proportions)) < len(proportions):
        raise InputError(f"p1 and p2 are both {proportions[0]}; give two that differ")
