"""Sums that add over disjoint sets of households, and from which the estimates follow exactly (DESIGN §2).

Per row let x = (1, v): a one, then the group's columns, each less a fixed shift that keeps sums of squares from
losing digits. Per household g and arm a, z_ga is the sum of x over the household's rows in that arm. A cell keeps the
sum of x x' by arm (row products), the sum of z_ga z_gb' for every pair of arms (household products: profiles of one
household may be in different arms), and counts. Where households are few it also keeps each household's own z, which
CR2 needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEW_HOUSEHOLDS = 50
UNLIMITED = 2**62


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments of one cell, for A arms and p columns; `arms[0]` is the control.

    shift: (p,) what was subtracted from each column. cap, floor: (p,) where its tails were cut first (inf: nowhere).
    row_products: (A, 1+p, 1+p). household_products: (A, 1+p, A, 1+p). household_counts: (A, A), households with rows
    in both arms, so the diagonal counts those with rows in one. details: (D, A, 1+p), z of the households that belong
    to a comparison of fewer than `detail_limit` households.
    """

    columns: tuple[str, ...]
    arms: tuple[str, ...]
    shift: Floats
    cap: Floats
    floor: Floats
    row_products: Floats
    household_products: Floats
    household_counts: Integers
    n_households: int
    details: Floats
    detail_limit: int = FEW_HOUSEHOLDS

    @property
    def n_profiles(self) -> Integers:
        """Rows by arm, (A,)."""
        return np.rint(self.row_products[:, 0, 0]).astype(np.int64)

    def households_of(self, arm: int) -> int:
        """Households in the comparison of this arm with the control."""
        counts = self.household_counts
        return int(counts[0, 0] + counts[arm, arm] - counts[0, arm])

    def column(self, name: str) -> int:
        """Position of a column in x. Raises ValueError where there is none of that name."""
        return 1 + self.columns.index(name)

    def __add__(self, other: Self) -> Self:
        """The moments of both sets of households, which must be disjoint, around the left one's shift.

        Raises ValueError where columns, arms, caps or detail limits differ.
        """
        self._check_same_kind(other)
        moved = other.shifted_to(self.shift)
        return replace(
            self,
            row_products=self.row_products + moved.row_products,
            household_products=self.household_products + moved.household_products,
            household_counts=self.household_counts + moved.household_counts,
            n_households=self.n_households + moved.n_households,
            details=np.concatenate([self.details, moved.details]),
        )._without_many()

    def shifted_to(self, shift: Floats) -> Self:
        """The same rows around another shift: (1, v) T with T = [[1, d'], [0, I]] and d the difference."""
        if np.array_equal(self.shift, shift):
            return self
        step = np.eye(1 + len(self.columns))
        step[0, 1:] = self.shift - shift
        products = np.einsum("ji,ajbk,kl->aibl", step, self.household_products, step, optimize=True)
        return replace(
            self,
            shift=shift,
            row_products=step.T @ self.row_products @ step,
            household_products=products,
            details=self.details @ step,
        )

    def to_bytes(self) -> bytes:
        """A self-describing payload: one Arrow record, the same bytes for the same numbers."""
        arrays = {name: np.ravel(getattr(self, name)) for name in _ARRAYS}
        lists = {name: pa.array([values]) for name, values in arrays.items()}
        names = {"columns": [list(self.columns)], "arms": [list(self.arms)]}
        texts = {name: pa.array(value, pa.list_(pa.string())) for name, value in names.items()}
        numbers = {
            "n_households": pa.array([self.n_households]),
            "detail_limit": pa.array([self.detail_limit]),
        }
        batch = pa.RecordBatch.from_pydict({**texts, **numbers, **lists})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        payload: bytes = sink.getvalue().to_pybytes()
        return payload

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        with pa.ipc.open_stream(payload) as reader:
            batch = reader.read_next_batch()
        record = {name: batch.column(name)[0] for name in batch.schema.names}
        flat = {name: record[name].values.to_numpy(zero_copy_only=False) for name in _ARRAYS}
        columns, arms = tuple(record["columns"].as_py()), tuple(record["arms"].as_py())
        a, width = len(arms), 1 + len(columns)
        return cls(
            columns=columns,
            arms=arms,
            shift=flat["shift"],
            cap=flat["cap"],
            floor=flat["floor"],
            row_products=flat["row_products"].reshape(a, width, width),
            household_products=flat["household_products"].reshape(a, width, a, width),
            household_counts=flat["household_counts"].reshape(a, a),
            n_households=record["n_households"].as_py(),
            details=flat["details"].reshape(-1, a, width),
            detail_limit=record["detail_limit"].as_py(),
        )

    def _check_same_kind(self, other: Self) -> None:
        for name in ("columns", "arms", "detail_limit"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"moments differ in {name}: {getattr(self, name)} and {getattr(other, name)}"
                )
        for name in ("cap", "floor"):
            mine, its = getattr(self, name), getattr(other, name)
            if not np.array_equal(mine, its):
                raise ValueError(f"moments differ in {name}: {mine} and {its}")

    def _without_many(self) -> Self:
        """Households stay in detail only where a comparison they belong to has few; it only ever grows."""
        few = [arm for arm in range(1, len(self.arms)) if self.households_of(arm) < self.detail_limit]
        present = self.details[:, :, 0] > 0
        needed = np.zeros(len(self.details), dtype=bool)
        for arm in few:
            needed |= present[:, 0] | present[:, arm]
        return replace(self, details=self.details[needed])


_ARRAYS = ("shift", "cap", "floor", "row_products", "household_products", "household_counts", "details")


def moments_of(
    columns: tuple[str, ...],
    arms: tuple[str, ...],
    shift: Floats,
    cut: tuple[Floats, Floats],
    rows: Floats,
    arm: Integers,
    household: Integers,
    detail_limit: int = FEW_HOUSEHOLDS,
) -> Moments:
    """Moments of rows x = (1, v), (n, 1+p), sorted by household.

    cut: (p,) floors and (p,) caps of the columns. arm: (n,) positions in `arms`. household: (n,) any integers that
    tell households apart.
    """
    by_arm = [rows[arm == position] for position in range(len(arms))]
    totals = household_totals(by_arm, arm, household)
    present = totals.present.astype(np.int64)
    moments = Moments(
        columns=columns,
        arms=arms,
        shift=shift,
        cap=cut[1],
        floor=cut[0],
        row_products=np.array([own.T @ own for own in by_arm]),
        household_products=totals.products(),
        household_counts=present.T @ present,
        n_households=len(totals.place),
        details=np.zeros((0, len(arms), 1 + len(columns))),
        detail_limit=detail_limit,
    )
    few = [a for a in range(1, len(arms)) if moments.households_of(a) < detail_limit]
    return replace(moments, details=totals.detailed(few))


def merged(parts: list[Moments]) -> Moments:
    """The sum of one or more parts, left to right."""
    return reduce(lambda left, right: left + right, parts)


@dataclass(frozen=True, eq=False)
class HouseholdTotals:
    """z of every household and arm that has rows: of each arm the sums (m, 1+p), and their `place` (G, A) by household.

    Where a household has no rows of an arm its place is -1.
    """

    sums: tuple[Floats, ...]
    place: Integers

    @property
    def present(self) -> NDArray[np.bool_]:
        return self.place >= 0

    def products(self) -> Floats:
        """Sum over households of z z', (A, 1+p, A, 1+p)."""
        n_arms, width = len(self.sums), self.sums[0].shape[1]
        products = np.zeros((n_arms, width, n_arms, width))
        for a, own in enumerate(self.sums):
            products[a, :, a, :] = own.T @ own
            for b in range(a + 1, n_arms):
                both = self.place[self.present[:, a] & self.present[:, b]]
                block = own[both[:, a]].T @ self.sums[b][both[:, b]]
                products[a, :, b, :] = block
                products[b, :, a, :] = block.T
        return products

    def detailed(self, few: list[int]) -> Floats:
        """z of the households in the comparisons of the control with these arms, (D, A, 1+p)."""
        needed = np.zeros(len(self.place), dtype=bool)
        for arm in few:
            needed |= self.present[:, 0] | self.present[:, arm]
        chosen = self.place[needed]
        details = np.zeros((*chosen.shape, self.sums[0].shape[1]))
        for a, own in enumerate(self.sums):
            has_rows = chosen[:, a] >= 0
            details[has_rows, a] = own[chosen[has_rows, a]]
        return details


def begins(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where each value differs from the one before it, (n,); the first does."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = values[1:] != values[:-1]
    return new


def household_totals(by_arm: Sequence[Floats], arm: Integers, household: Integers) -> HouseholdTotals:
    """Sums by household of each arm's rows; arm and household (n,) are those of all rows, sorted by household."""
    number = np.cumsum(begins(household)) - 1
    place = np.full((number[-1] + 1 if len(number) else 0, len(by_arm)), -1, dtype=np.int64)
    sums = []
    for position, rows in enumerate(by_arm):
        own = number[arm == position]
        starts = np.flatnonzero(begins(own))
        place[own[starts], position] = np.arange(len(starts))
        sums.append(run_sums(rows, starts))
    return HouseholdTotals(tuple(sums), place)


def run_sums(rows: Floats, starts: Integers) -> Floats:
    """Sums (m, k) of the runs of rows (n, k) that begin at `starts`: a product with a matrix of zeros and ones.

    Of runs as short as households np.add.reduceat takes ten times as long.
    """
    n = len(rows)
    ones = sparse.csr_matrix((np.ones(n), np.arange(n), np.append(starts, n)), shape=(len(starts), n))
    sums: Floats = ones @ rows
    return sums
