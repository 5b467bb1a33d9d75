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

    `unit` names the id that is hashed; `arms` are in the order of the experiment's file, which their bounds follow, and
    which the map of `shares` does not keep in a table.
    """

    experiment_id: str
    effective_from: datetime
    layer: str
    layer_salt: str
    layer_buckets: Ranges
    exposed_share: float
    unit: str
    arms: tuple[str, ...]
    shares: Mapping[str, float]
    arm_salt: str

    @property
    def shares_in_order(self) -> dict[str, float]:
        return {arm: self.shares[arm] for arm in self.arms}

    def holds(self, unit_id: int) -> bool:
        """Whether a unit is in the experiment."""
        place = bucket(self.layer_salt, unit_id)
        return any(first <= place < end for first, end in self.layer_buckets)

    def arm_of(self, unit_id: int) -> str | None:
        """The arm of a unit; None where it is not in the experiment."""
        return arm_of(bucket(self.arm_salt, unit_id), self.shares_in_order) if self.holds(unit_id) else None

    def arm_column(self, unit_id: Column | str) -> Column:
        """The same as `arm_of` for a BIGINT column."""
        place = bucket_column(self.layer_salt, unit_id)
        inside = F.lit(False)
        for first, end in self.layer_buckets:
            inside |= (place >= first) & (place < end)
        return F.when(inside, arm_column(bucket_column(self.arm_salt, unit_id), self.shares_in_order))

    def overlaps(self, other: "Allocation") -> bool:
        return bool(buckets_of(self.layer_buckets) & buckets_of(other.layer_buckets))

    def is_same(self, other: "Allocation | None") -> bool:
        """Whether it exposes the same units to the same arms, whenever it began."""
        return other is not None and replace(other, effective_from=self.effective_from) == self


def allocate(
    experiment: Experiment,
    share: float,
    effective_from: datetime,
    own: Allocation | None = None,
    others: Iterable[Allocation] = (),
    holdout: float = 0.0,
) -> Allocation:
    """The experiment at a share of its layer: what it has stays, and it takes the lowest free buckets beside it.

    own: what is in force, None at first. others: of other experiments in the layer, in force or yet to come. A share of
    0 gives all buckets back. Raises InputError where the share is less than before or less than a bucket, or where the
    layer has no room.
    """
    wanted, name = round(share * BUCKETS), experiment.id
    held = buckets_of(own.layer_buckets) if own else set()
    if share and not wanted:
        raise InputError(
            f"share {share:g} of '{name}' is less than a bucket; give at least {1 / BUCKETS:g}, or 0"
        )
    if 0 < wanted < len(held):
        raise InputError(
            f"share {share:g} of '{name}' is below {len(held) / BUCKETS:g}, which is in force: shares grow, "
            "or go to 0; give one of these"
        )
    unit = experiment.drawn_by
    others = [other for other in others if other.layer_buckets]
    if wanted and (strange := [other.experiment_id for other in others if other.unit != unit]):
        raise InputError(
            f"'{name}' draws by {unit}, unlike '{strange[0]}' in layer '{experiment.layer}': they would share "
            "profiles; give it another layer, or close that one by `watchlift allocate … --share 0`"
        )
    held_out = set(range(BUCKETS - round(holdout * BUCKETS), BUCKETS))
    taken = held_out.union(*(buckets_of(other.layer_buckets) for other in others))
    if wanted and held & taken:
        raise InputError(
            f"'{name}' has buckets of layer '{experiment.layer}' that are another's or the holdout's by now; "
            "give it 0, then the share again, and restart it: its units change"
        )
    free = sorted(set(range(BUCKETS)) - taken - held)
    missing = wanted - len(held)
    if missing > len(free):
        holders = ", ".join(sorted({other.experiment_id for other in others}))
        raise InputError(
            f"share {share:g} of '{name}' does not fit into layer '{experiment.layer}': "
            f"{(len(free) + len(held)) / BUCKETS:g} is free; lower it"
            + (f", or close another ({holders}) by `watchlift allocate … --share 0`" if holders else "")
        )
    return Allocation(
        experiment_id=name,
        effective_from=effective_from,
        layer=experiment.layer,
        layer_salt=layer_salt(experiment.layer),
        layer_buckets=ranges_of([*held, *free[:missing]] if wanted else ()),
        exposed_share=wanted / BUCKETS,
        unit=unit,
        arms=tuple(experiment.arms),
        shares=dict(experiment.arms),
        arm_salt=arm_salt(name, experiment.epoch),
    )


def in_force(allocations: Iterable[Allocation], at: datetime) -> Allocation | None:
    """The latest of one experiment's allocations that has begun by then."""
    begun = [each for each in allocations if each.effective_from <= at]
    return max(begun, key=lambda each: each.effective_from, default=None)


def share_before(allocations: Iterable[Allocation], at: datetime, share: float) -> float:
    """The share from which people set one experiment's from `at` on; 0 where it had none.

    Where it has that share from then on already, as after a run that was killed on its way: the share until then.
    """
    known = list(allocations)
    now = in_force(known, at)
    if now and now.effective_from == at and abs(now.exposed_share - share) < 0.5 / BUCKETS:
        now = in_force((each for each in known if each.effective_from < at), at)
    return now.exposed_share if now else 0.0


def is_closed(allocations: Iterable[Allocation], at: datetime) -> bool:
    """Whether one experiment's share is 0 then: rolled back, or closed by people."""
    now = in_force(allocations, at)
    return now is not None and not now.exposed_share


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
