"""What assignment services read: grown, repeated, of long ago, and beside other experiments of the layer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.allocations import keep_allocation
from jobs.delta_reader import allocations_of
from jobs.tables import Tables
from metrics.assignment import buckets_of
from metrics.errors import InputError

DAY = datetime(2026, 3, 4, tzinfo=UTC)
Content = Callable[[str], list[tuple[Any, ...]]]


def test_an_allocation_is_kept_once_grows_and_has_a_history(tables: Tables, content: Content) -> None:
    (experiment,) = tables.project.experiments
    keep_allocation(tables, experiment, 0.05, DAY)
    once = content("allocations")
    keep_allocation(tables, experiment, 0.05, DAY)
    keep_allocation(tables, experiment, 0.05, DAY + timedelta(1))
    assert content("allocations") == once
    keep_allocation(tables, experiment, 0.2, DAY + timedelta(2))
    first, grown = allocations_of(tables.project, experiment.id)
    assert (first.effective_from, grown.effective_from) == (DAY, DAY + timedelta(2))
    assert buckets_of(first.layer_buckets) < buckets_of(grown.layer_buckets)
    # The day of the growth, decided again from late data: no growth, and back where it was.
    keep_allocation(tables, experiment, 0.05, DAY + timedelta(2))
    assert [each.exposed_share for each in allocations_of(tables.project, experiment.id)] == [0.05, 0.05]
    assert keep_allocation(tables, experiment, 0.5, DAY + timedelta(1)) is None
    keep_allocation(tables, experiment, 0.0, DAY + timedelta(3))
    assert allocations_of(tables.project, experiment.id)[-1].layer_buckets == ()


def test_experiments_of_a_layer_get_buckets_of_their_own_while_they_run(tables: Tables) -> None:
    (experiment,) = tables.project.experiments
    beside, later = (
        replace(experiment, id=name, start=day)
        for name, day in (("beside", experiment.start), ("later", experiment.start + timedelta(100)))
    )
    tables = Tables(
        tables.spark,
        replace(tables.project, experiments=(experiment, beside, later), holdouts={experiment.layer: 0.1}),
    )
    one = keep_allocation(tables, experiment, 0.4, DAY)
    two = keep_allocation(tables, beside, 0.5, DAY)
    assert one and two and not buckets_of(one.layer_buckets) & buckets_of(two.layer_buckets)
    with pytest.raises(InputError, match=r"share 0\.5 of 'homepage_ranking' does not fit .*: 0\.4 is free"):
        keep_allocation(tables, experiment, 0.5, DAY + timedelta(1))
    whole = keep_allocation(tables, later, 0.9, DAY + timedelta(100))
    assert whole and whole.layer_buckets == ((0, 9000),)
