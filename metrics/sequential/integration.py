"""Recursive integration of a statistic over unequally spaced looks (DESIGN §6).

Z_k is normal with mean theta sqrt(I_k) and variance 1, and corr(Z_j, Z_k) = sqrt(I_j / I_k). The density of the paths
that have not crossed yet is carried from look to look on Gauss-Legendre nodes (Armitage, McPherson and Rowe 1969;
Jennison and Turnbull 2000, chapter 19). It is computed once, without drift: the likelihood ratio
exp(theta sqrt(I) z - theta^2 I / 2) turns its masses into those under any theta, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

# A region without a limit ends here: room for a drift of 5 standard errors against it, at an error below 1e-15.
_FAR = 13.0
# Standard deviations of one step beyond which a source adds nothing to a target: 1e-21.
_REACH = 9.5
# 16 nodes on 3 standard deviations of the narrower step integrate its kernel to rounding error.
_PANEL = 3.0
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# Elements of one block of the kernel matrix: 16 MB.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Region:
    """The values of Z at one look with which one goes on; limits may be infinite."""

    information: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Survivors:
    """Where Z is after a look without having crossed, when theta is 0: masses on ascending nodes."""

    information: float
    z: Floats
    mass: Floats

    def masses_under(self, theta: float) -> Floats:
        """Masses when the mean of Z is theta sqrt(I)."""
        if theta == 0:
            return self.mass
        drift = theta * np.sqrt(self.information)
        return np.asarray(self.mass * np.exp(drift * (self.z - drift / 2)))


def exit_above(before: Survivors | None, information: float, boundary: float, theta: float = 0.0) -> float:
    """P(not crossed before, Z >= boundary) at a look; `before` is None at the first."""
    return _beyond(before, information, boundary, theta, 1)


def exit_below(before: Survivors | None, information: float, boundary: float, theta: float = 0.0) -> float:
    """P(not crossed before, Z <= boundary) at a look; `before` is None at the first."""
    return _beyond(before, information, boundary, theta, -1)


def survivors(before: Survivors | None, region: Region, next_information: float) -> Survivors:
    """Those within the region at a look, on nodes dense enough for the step to the next look."""
    own_step = _step(before.information, region.information)[1] if before else 1.0
    next_step = _step(region.information, next_information)[1]
    z, weights = _panels(max(region.lower, -_FAR), min(region.upper, _FAR), _PANEL * min(own_step, next_step))
    density = _normal_density(z) if before is None else _density(before, region.information, z)
    return Survivors(region.information, z, weights * density)


def survivors_before(regions: Sequence[Region], information: float) -> list[Survivors | None]:
    """Survivors before each of the regions' looks, and before a further look at `information`."""
    following_looks = [*(region.information for region in regions), information][1:]
    found: list[Survivors | None] = [None]
    for region, following in zip(regions, following_looks, strict=True):
        found.append(survivors(found[-1], region, following))
    return found


def _step(earlier: float, later: float) -> tuple[float, float]:
    """r and s of Z_later = r Z_earlier + s epsilon."""
    return float(np.sqrt(earlier / later)), float(np.sqrt((later - earlier) / later))


def _beyond(before: Survivors | None, information: float, boundary: float, theta: float, side: int) -> float:
    root = float(np.sqrt(information))
    if before is None:
        return float(ndtr(side * (theta * root - boundary)))
    r, s = _step(before.information, information)
    mean = r * before.z + theta * s * s * root
    return float(before.masses_under(theta) @ ndtr(side * (mean - boundary) / s))


def _panels(lower: float, upper: float, width: float) -> tuple[Floats, Floats]:
    """Nodes and weights of composite Gauss-Legendre quadrature; none where the interval is empty."""
    if upper <= lower:
        return np.empty(0), np.empty(0)
    edges = np.linspace(lower, upper, int(np.ceil((upper - lower) / width)) + 1)
    half = np.diff(edges)[:, None] / 2
    nodes = edges[:-1, None] + half * (1 + _POINTS)
    return nodes.ravel(), (half * _WEIGHTS).ravel()


def _density(before: Survivors, information: float, targets: Floats) -> Floats:
    """Density of Z at ascending targets, from the sources that can reach them.

    Without boundaries the source of a target z is normal around r z with sd s, and boundaries only take mass away: so
    the window r z -/+ _REACH s loses nothing, at any drift.
    """
    r, s = _step(before.information, information)
    if not len(before.z):
        return np.zeros(len(targets))
    first = np.searchsorted(before.z, r * targets - _REACH * s)
    last = np.searchsorted(before.z, r * targets + _REACH * s)
    width = max(1, int((last - first).max(initial=0)))
    # Windows have one width; what a window holds beyond its target's reach is exact too.
    first = np.minimum(first, len(before.z) - width)
    density = np.empty(len(targets))
    rows = max(1, _BLOCK // width)
    for start in range(0, len(targets), rows):
        block = slice(start, start + rows)
        sources = first[block, None] + np.arange(width)
        kernel = _normal_density((targets[block, None] - r * before.z[sources]) / s)
        density[block] = np.einsum("ij,ij->i", kernel, before.mass[sources]) / s
    return density


def _normal_density(z: Floats) -> Floats:
    return np.asarray(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
