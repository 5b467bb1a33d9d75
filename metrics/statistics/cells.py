"""The one pass over households: the moments of every group and segment cell at once, in numpy per partition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.statistics.layout import ALL, Group, code_of, population
from metrics.statistics.moments import Floats, Integers, Moments, merged, moments_of
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows


@dataclass(frozen=True)
class Cell:
    """One population: a maturity group's rows in one level of a segmentation, or `all`."""

    group: str
    segment: str = ALL
    value: str = ALL


@dataclass(frozen=True)
class Plan:
    """What the pass builds: every group in `all` and in every level of every segmentation."""

    arms: tuple[str, ...]
    groups: tuple[Group, ...]
    levels: Mapping[str, tuple[str, ...]]
    detail_limit: int

    @property
    def slices(self) -> tuple[tuple[str, str], ...]:
        """(segment, value) of `all` and of every level."""
        return ((ALL, ALL), *((name, value) for name, values in self.levels.items() for value in values))

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(Cell(group.name, *slice_) for group in self.groups for slice_ in self.slices)


def cell_moments(rows: HouseholdRows, plan: Plan) -> dict[Cell, Moments]:
    """Moments of every cell of the plan, those without rows included."""
    found = rows.summed(_kernel(plan), _added_up)
    groups = {group.name: group for group in plan.groups}
    return {
        cell: Moments.from_bytes(found[i]) if i in found else _empty_moments(groups[cell.group], plan)
        for i, cell in enumerate(plan.cells)
    }


def partition_moments(raw: RawRows, plan: Plan) -> Iterator[tuple[int, Moments]]:
    """Moments of the plan's cells that have rows, by position. Numpy only."""
    positions = {cell: i for i, cell in enumerate(plan.cells)}
    for group in plan.groups:
        inside, rows = population(group, raw)
        yield positions[Cell(group.name)], _moments(group, plan, rows, inside.arm, inside.household)
        for segment, values in plan.levels.items():
            code = inside.columns[code_of(segment)]
            for i, value in enumerate(values):
                chosen = code == i
                if chosen.any():
                    part = (rows[chosen], inside.arm[chosen], inside.household[chosen])
                    yield positions[Cell(group.name, segment, value)], _moments(group, plan, *part)


def _moments(group: Group, plan: Plan, rows: Floats, arm: Integers, household: Integers) -> Moments:
    return moments_of(
        group.names, plan.arms, group.shift, (group.floor, group.cap), rows, arm, household, plan.detail_limit
    )


def _empty_moments(group: Group, plan: Plan) -> Moments:
    nobody = np.zeros(0, dtype=np.int64)
    return _moments(group, plan, np.zeros((0, 1 + len(group.columns))), nobody, nobody)


def _kernel(plan: Plan) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, moments in partition_moments(raw, plan):
            yield position, moments.to_bytes()

    return kernel


def _added_up(parts: Sequence[bytes]) -> bytes:
    return merged([Moments.from_bytes(part) for part in parts]).to_bytes()
