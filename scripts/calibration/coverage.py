"""How often intervals hold the truth, beside what chance allows, and what tells why where they do not."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from metrics.statistics.moments import Floats
from metrics.statistics.results import Result

NOMINAL = 0.95
# Monte Carlo standard errors within which a share counts as the nominal one.
ALLOWED = 3.0


def monte_carlo_error(nominal: float, n: int) -> float:
    """Standard error of a share of n independent experiments whose chance is `nominal`."""
    return float(np.sqrt(nominal * (1 - nominal) / n))


@dataclass(frozen=True)
class Share:
    """How many of n experiments did something, beside the share that should: that one, or `at least`, `at most` it."""

    found: float
    nominal: float
    n: int
    promise: str = "exactly"

    @property
    def error(self) -> float:
        return monte_carlo_error(self.nominal, self.n)

    @property
    def as_promised(self) -> bool:
        distance = (self.found - self.nominal) / self.error
        too_small = distance < -ALLOWED and self.promise != "at most"
        too_large = distance > ALLOWED and self.promise != "at least"
        return not too_small and not too_large


def share_of(happened: np.ndarray, nominal: float, promise: str = "exactly") -> Share:
    return Share(float(happened.mean()), nominal, len(happened), promise)


@dataclass(frozen=True, eq=False)
class Intervals:
    """One estimator's numbers in every experiment that gave some, (n,); `silent` counts those that gave none."""

    estimate: Floats
    std_error: Floats
    low: Floats
    high: Floats
    silent: int = 0


def intervals_of(results: Iterable[tuple[float, ...] | None]) -> Intervals:
    """From `absolute` or `relative` numbers of results."""
    everything = list(results)
    numbers = np.array([each for each in everything if each is not None], dtype=np.float64).reshape(-1, 4)
    estimate, std_error, low, high = numbers.T
    return Intervals(estimate, std_error, low, high, len(everything) - len(numbers))


def absolute(result: Result) -> tuple[float, ...] | None:
    return _numbers(result.effect, result.std_error, result.ci_low, result.ci_high)


def relative(result: Result) -> tuple[float, ...] | None:
    return _numbers(
        result.relative_effect,
        result.relative_std_error,
        result.relative_ci_low,
        result.relative_ci_high,
    )


@dataclass(frozen=True)
class Coverage:
    """Of one estimator's intervals.

    below, above: shares of intervals that lie wholly below and above the truth. with_known_sd: coverage of estimates
    -/+ 1.96 times their true spread, so that only their own distribution can spoil it. se_ratio: mean standard error
    over that spread. bias: in units of the spread.
    """

    truth: float
    covered: Share
    below: float
    above: float
    with_known_sd: float
    se_ratio: float
    bias: float
    silent: int


def coverage_of(intervals: Intervals, truth: float) -> Coverage:
    below, above = intervals.high < truth, intervals.low > truth
    spread = float(intervals.estimate.std(ddof=1))
    reach = ndtri((1 + NOMINAL) / 2) * spread
    return Coverage(
        truth=truth,
        covered=share_of(~below & ~above, NOMINAL),
        below=float(below.mean()),
        above=float(above.mean()),
        with_known_sd=float((np.abs(intervals.estimate - truth) <= reach).mean()),
        se_ratio=float(intervals.std_error.mean() / spread),
        bias=float((intervals.estimate.mean() - truth) / spread),
        silent=intervals.silent,
    )


def _numbers(*values: float | None) -> tuple[float, ...] | None:
    return None if None in values else tuple(value for value in values if value is not None)
