"""Which covariates say something new, judged from their cross-products in file order."""

from collections.abc import Sequence

import numpy as np

from metrics.statistics.moments import Floats

# Share of a column's variance that earlier columns must leave unexplained. Cross-products carry about 16 digits,
# so what remains below this has fewer than six of them.
TOLERANCE = 1e-10


def independent(products: Floats, columns: Sequence[int]) -> list[int]:
    """The columns that are neither constant nor a linear function of earlier ones; products (1+p, 1+p) of (1, v)."""
    kept: list[int] = []
    for column in columns:
        if _unexplained(products, kept, column) > TOLERANCE * products[column, column]:
            kept.append(column)
    return kept


def explained_by(pair: Floats, covariates: Sequence[int]) -> bool:
    """Whether the arm is a linear function of the covariates; pair (2, 1+p, 1+p) of control and arm."""
    both, arm = pair.sum(axis=0), pair[1]
    extended = np.block([[both, arm[0][:, None]], [arm[0][None, :], arm[0, 0].reshape(1, 1)]])
    dummy = len(both)
    kept = independent(extended, covariates)
    alone = _unexplained(extended, [], dummy)
    return bool(_unexplained(extended, kept, dummy) <= TOLERANCE * alone)


def _unexplained(products: Floats, kept: Sequence[int], column: int) -> float:
    """Sum of squares of a column after regression on a constant and the kept columns."""
    basis = [0, *kept]
    scale = np.sqrt(products[basis, basis])
    among = products[np.ix_(basis, basis)] / np.outer(scale, scale)
    along = products[basis, column] / scale
    return float(products[column, column] - along @ np.linalg.solve(among, along))
