"""Who is in an experiment, and in which arm: one pure rule for the simulator, the pipeline and every service.

A layer's 10,000 buckets are dealt out to its experiments, each bucket to one of them at most, so that experiments in
one layer never share a unit; layers have salts of their own, so that they are independent of each other. A share grows
by taking further buckets: who was in stays in, with the same arm. The last buckets of a layer are its holdout.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from metrics.bucketing import (
    BUCKETS,
    arm_column,
    arm_of,
    arm_salt,
    bucket,
    bucket_column,
    layer_salt,
)
from metrics.configuration.experiment import Experiment
from metrics.errors import InputError
from metrics.rows import row_of

# [from, to) of a layer's buckets, ascending.
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Allocation:
    """A row of `allocations`: from `effective_from` on a unit is exposed iff its layer bucket lies in `layer_buckets`.

    `shares`: of the arms, in the order of the experiment's file.
    """

    experiment_id: str
    effective_from: datetime
    layer: str
    layer_salt: str
    layer_buckets: Ranges
    exposed_share: float
    shares: Mapping[str, float]
    arm_salt: str

    def holds(self, unit_id: int) -> bool:
        """Whether a unit is in the experiment."""
        place = bucket(self.layer_salt, unit_id)
        return any(first <= place < end for first, end in self.layer_buckets)

    def arm_of(self, unit_id: int) -> str | None:
        """The arm of a unit; None where it is not in the experiment."""
        return arm_of(bucket(self.arm_salt, unit_id), self.shares) if self.holds(unit_id) else None

    def arm_column(self, unit_id: Column | str) -> Column:
        """The same as `arm_of` for a BIGINT column."""
        place = bucket_column(self.layer_salt, unit_id)
        inside = F.lit(False)
        for first, end in self.layer_buckets:
            inside |= (place >= first) & (place < end)
        return F.when(inside, arm_column(bucket_column(self.arm_salt, unit_id), self.shares))

    def is_same(self, other: "Allocation | None") -> bool:
        """Whether it exposes the same units to the same arms, whenever it began."""
        return other is not None and (self.layer_buckets, self.shares, self.arm_salt, self.layer_salt) == (
            other.layer_buckets,
            other.shares,
            other.arm_salt,
            other.layer_salt,
        )


def allocate(
    experiment: Experiment,
    share: float,
    effective_from: datetime,
    own: Allocation | None = None,
    others: Iterable[Allocation] = (),
    holdout: float = 0.0,
) -> Allocation:
    """The experiment at a share of its layer: what it has stays, and it takes the lowest free buckets beside it.

    own: what is in force, None at first. others: in force, of experiments in the same layer that still run. A share of
    0 gives all buckets back. Raises InputError where the share is less than before, or the layer has no room.
    """
    wanted = round(share * BUCKETS)
    held = buckets_of(own.layer_buckets) if own else set()
    if 0 < wanted < len(held):
        raise InputError(
            f"share {share:g} of '{experiment.id}' is below {len(held) / BUCKETS:g}, which is in force: shares grow, "
            "or go to 0; give one of these"
        )
    held_out = set(range(BUCKETS - round(holdout * BUCKETS), BUCKETS))
    taken = held_out.union(*(buckets_of(other.layer_buckets) for other in others))
    free = sorted(set(range(BUCKETS)) - taken - held)
    missing = wanted - len(held)
    if missing > len(free):
        raise InputError(
            f"share {share:g} of '{experiment.id}' does not fit into layer '{experiment.layer}': "
            f"{(len(free) + len(held)) / BUCKETS:g} is free; end another of its experiments, or lower the share"
        )
    return Allocation(
        experiment_id=experiment.id,
        effective_from=effective_from,
        layer=experiment.layer,
        layer_salt=layer_salt(experiment.layer),
        layer_buckets=ranges_of([*held, *free[:missing]] if wanted else ()),
        exposed_share=wanted / BUCKETS,
        shares=dict(experiment.arms),
        arm_salt=arm_salt(experiment.id, experiment.epoch),
    )


def in_force(allocations: Iterable[Allocation], at: datetime) -> dict[str, Allocation]:
    """The latest allocation of each experiment that has begun by then."""
    begun = [each for each in allocations if each.effective_from <= at]
    return {each.experiment_id: each for each in sorted(begun, key=lambda each: each.effective_from)}


def buckets_of(ranges: Ranges) -> set[int]:
    return {number for first, end in ranges for number in range(first, end)}


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Ascending [from, to) that hold exactly these numbers."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)


def allocation_of(row: Mapping[str, Any]) -> Allocation:
    """From a row of the table, read with or without Spark."""
    found = row_of(Allocation, row)
    return replace(found, layer_buckets=tuple((first, end) for first, end in found.layer_buckets))
