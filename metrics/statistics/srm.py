"""Sample ratio mismatch: are units split over the arms as planned? (DESIGN §6)

The chi-square test is for reading once. What is looked at every hour is the multinomial e-process of Lindon and
Malek (2022): the Bayes factor of a Dirichlet mixture centred on the planned shares against those shares. Its value is
an e-value at every look, so that 1/alpha bounds false alarms however often one looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, gammaln, log_ndtr, xlog1py, xlogy

from metrics.checks import check_positive
from metrics.errors import InputError

PRIOR_K = 1000.0
TRIGGER_ALPHA = 0.01
# Below this the p-value loses digits on its way to 0.
_SMALLEST_P = 1e-290
# Bernoulli numbers over 2j (2j − 1): Stirling's series of log Γ in 1/x, 1/x³, …
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


@dataclass(frozen=True)
class SrmTest:
    """`p_value` may underflow to 0 and the e-value overflow: their natural logarithms do not."""

    chi_square: float
    df: int
    p_value: float
    log_p_value: float
    log_e_value: float
    expected: tuple[float, ...]


def srm_test(counts: Sequence[int], shares: Sequence[float], prior_k: float = PRIOR_K) -> SrmTest:
    """Test counts by arm against planned shares, which are scaled to add up to 1.

    Raises InputError on fewer than two arms, negative counts, shares or a prior_k that are not positive, or no
    units.
    """
    _check(counts, shares, prior_k)
    observed = np.asarray(counts, dtype=np.float64)
    planned = np.asarray(shares, dtype=np.float64) / math.fsum(shares)
    expected = observed.sum() * planned
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    df = len(observed) - 1
    return SrmTest(
        chi_square=chi_square,
        df=df,
        p_value=float(chdtrc(df, chi_square)),
        log_p_value=log_chi_square_tail(chi_square, df),
        log_e_value=log_e_value(observed, planned, prior_k),
        expected=tuple(map(float, expected)),
    )


def log_e_value(counts: np.ndarray, shares: np.ndarray, prior_k: float = PRIOR_K) -> float:
    """Log Bayes factor of Dirichlet(k w) against w, for cumulative counts n: with a = k w, N = Σn,

        log Γ(k) − log Γ(k + N) + Σ [log Γ(a + n) − log Γ(a) − n log w].

    Summed as it stands, that loses as many digits as N is larger than it. With Stirling's series, Γ(x) is taken as its
    leading part, whose logarithms cancel by algebra (Σ(n − N w) = 0), and a remainder that is small.
    """
    n_units, prior = counts.sum(), prior_k * shares
    planned = (prior_k + n_units) * shares  # of a + n
    away = (counts - n_units * shares) / planned
    degrees = 0.5 * (1 - len(counts)) * np.log1p(n_units / prior_k) - 0.5 * np.log1p(away).sum()
    divergence = (planned * _relative_entropy(away)).sum()
    remainders = (_stirling(prior + counts) - _stirling(prior)).sum()
    of_total = _stirling(np.array([prior_k + n_units, prior_k]))
    return float(degrees + divergence + remainders - of_total[0] + of_total[1])


def _relative_entropy(x: np.ndarray) -> np.ndarray:
    """(1 + x) log(1 + x) − x, by its series Σ (−x)^j / (j (j − 1)) where the terms would cancel."""
    near = np.where(np.abs(x) < 0.05, x, 0.0)
    series = sum((-near) ** j / (j * (j - 1)) for j in range(2, 14))
    return np.where(np.abs(x) < 0.05, series, xlog1py(1 + x, x) - x)


def _stirling(x: np.ndarray) -> np.ndarray:
    """log Γ(x) − [(x − ½) log x − x + ½ log 2π], by its series from 10 on."""
    inverse = 1 / np.maximum(x, 10.0)
    series = sum(c * inverse ** (2 * j + 1) for j, c in enumerate(_STIRLING))
    near = np.minimum(x, 10.0)
    direct = gammaln(near) - (xlogy(near - 0.5, near) - near + 0.5 * math.log(2 * math.pi))
    return np.where(x >= 10.0, series, direct)


def log_chi_square_tail(chi_square: float, df: int) -> float:
    """Natural logarithm of P(X > chi_square), also where that underflows."""
    if df == 1:
        return float(np.log(2) + log_ndtr(-math.sqrt(chi_square)))
    tail = float(chdtrc(df, chi_square))
    if tail > _SMALLEST_P:
        return math.log(tail)
    return _log_upper_gamma(df / 2, chi_square / 2)


def e_bh(log_e_values: Sequence[float], alpha: float = TRIGGER_ALPHA) -> float:
    """Log of the e-value from which hypotheses are rejected by e-BH (Wang and Ramdas 2022).

    With K hypotheses and the k-th largest e-value, k* is the largest k with e_(k) >= K / (alpha k); the threshold is
    K / (alpha k*), or K / alpha where there is no such k.
    """
    ordered = sorted(log_e_values, reverse=True)
    thresholds = [math.log(len(ordered) / (alpha * k)) for k in range(1, len(ordered) + 1)]
    met = [limit for value, limit in zip(ordered, thresholds, strict=True) if value >= limit]
    return min(met) if met else thresholds[0]


def _log_upper_gamma(a: float, x: float) -> float:
    """log Q(a, x) for x far above a, by the continued fraction of Legendre (Lentz's method)."""
    b = x + 1 - a
    c, d = math.inf, 1 / b
    fraction = d
    for i in range(1, 1000):
        numerator = -i * (i - a)
        b += 2
        d = 1 / (numerator * d + b)
        c = b + numerator / c
        step = c * d
        fraction *= step
        if abs(step - 1) < 1e-16:
            break
    return float(-x + a * math.log(x) - gammaln(a) + math.log(fraction))


def _check(counts: Sequence[int], shares: Sequence[float], prior_k: float) -> None:
    if len(counts) != len(shares) or len(counts) < 2:
        raise InputError(
            f"{len(counts)} counts and {len(shares)} shares; give one of each for two or more arms"
        )
    if min(counts) < 0 or sum(counts) == 0:
        raise InputError(f"counts are {list(counts)}; expected none negative and at least one unit")
    if min(shares) <= 0:
        raise InputError(f"shares are {list(shares)}; each must be above 0")
    check_positive("prior k", prior_k)
