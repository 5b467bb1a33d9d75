"""Covariances of linear estimates from moments, robust to household clusters.

An estimate is a sum over households of weights times z (moments.py), so that its household scores are linear in z.
Names follow Bell and McCaffrey (2002), Pustejovsky and Tipton (2018) and the reference cases: cr0 has no factor,
cr1 is G/(G-1), cr1s is Stata's G/(G-1) * (N-1)/(N-K).
"""

import numpy as np

from metrics.statistics.moments import FEW_HOUSEHOLDS, Floats, Moments

# 1 - leverage below this is rounding error of a leverage of one.
LEVERAGE_TOLERANCE = 1e-10


def choose_vcov(setting: str, n_households: int) -> str:
    """The experiment's `vcov`; auto is CR2 under 50 clusters, else cr1s."""
    if setting != "auto":
        return setting
    return "cr2" if n_households < FEW_HOUSEHOLDS else "cr1s"


def cr1_factor(n_households: int) -> float:
    return n_households / (n_households - 1)


def cr1s_factor(n_households: int, n_rows: int, n_coefficients: int) -> float:
    return cr1_factor(n_households) * (n_rows - 1) / (n_rows - n_coefficients)


def cr0(moments: Moments, weights: Floats) -> Floats:
    """Meat of q estimates, (q, q): the sum over households of their scores' products. weights: (q, A, 1+p)."""
    flat = weights.reshape(len(weights), -1)
    size = flat.shape[1]
    meat: Floats = flat @ moments.household_products.reshape(size, size) @ flat.T
    return meat


def cancellation(moments: Moments, weights: Floats) -> float:
    """How large the first estimate's variance would be without cancelling: what its rounding error scales with."""
    flat = np.abs(weights[0]).ravel()
    size = len(flat)
    return float(flat @ np.abs(moments.household_products).reshape(size, size) @ flat)


def cr2(moments: Moments, weights: Floats, arm: int) -> Floats:
    """Bell-McCaffrey covariance (q, q) of estimates that regress on the dummies of the control and `arm` only.

    There the hat matrix of household g averages within arms: its eigenvalues are n_ga / N_a, so the adjusted score
    is s_ga / sqrt(1 - n_ga / N_a). Needs every household of the comparison in detail.
    """
    pair = [0, arm]
    details = moments.details[:, pair, :]
    leverage = details[:, :, 0] / moments.row_products[pair, 0, 0]
    scores = np.einsum("gai,qai->gqa", details, weights[:, pair, :], optimize=True)
    adjusted = (scores / np.sqrt(1 - leverage)[:, None, :]).sum(axis=2)
    covariance: Floats = adjusted.T @ adjusted
    return covariance


def satterthwaite_df(moments: Moments, arm: int) -> float:
    """Degrees of freedom of `cr2` for arm less control, from the households' row counts alone."""
    pair = [0, arm]
    counts = moments.details[:, pair, 0]
    totals = moments.row_products[pair, 0, 0]
    weights = counts / (totals * np.sqrt(1 - counts / totals))
    own = (weights**2 / np.where(counts > 0, counts, 1)).sum(axis=1)
    shared = weights / np.sqrt(totals)
    overlap = own @ (shared**2).sum(axis=1)
    return degrees_of_freedom(own.sum(), own @ own, overlap, shared.T @ shared)


def degrees_of_freedom(own: float, own_squared: float, overlap: float, shared: Floats) -> float:
    """(tr P)^2 / tr(P^2) of the symmetric G x G matrix P = diag(d) - F F', from sums over its rows.

    own: sum of d. own_squared: of d^2. overlap: of d f'f. shared: of f f', (k, k).
    """
    trace = own - np.trace(shared)
    return float(trace**2 / (own_squared - 2 * overlap + (shared**2).sum()))


def hc2(moments: Moments, weights: Floats, arm: int) -> Floats:
    """White's HC2 covariance (q, q), each row its own cluster: residuals over sqrt(1 - 1/N_a)."""
    covariance = np.zeros((len(weights), len(weights)))
    for position in (0, arm):
        products = moments.row_products[position]
        shrink = 1 - 1 / products[0, 0]
        covariance += weights[:, position] @ products @ weights[:, position].T / shrink
    return covariance
