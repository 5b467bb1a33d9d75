"""What assignment services read: grown, repeated, of long ago, and beside other experiments of the layer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.allocations import keep_allocation
from jobs.arguments import Conflict
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
    with pytest.raises(InputError, match=r"share 0\.05 .* is below 0\.2, which is in force"):
        keep_allocation(tables, experiment, 0.05, DAY + timedelta(2))
    assert keep_allocation(tables, experiment, 0.5, DAY + timedelta(1)) is None
    keep_allocation(tables, experiment, 0.0, DAY + timedelta(3))
    assert allocations_of(tables.project, experiment.id)[-1].layer_buckets == ()


def test_a_share_of_nothing_ends_what_was_to_come(tables: Tables) -> None:
    (experiment,) = tables.project.experiments
    keep_allocation(tables, experiment, 0.05, DAY)
    keep_allocation(tables, experiment, 0.2, DAY + timedelta(10))
    for _ in range(2):
        keep_allocation(tables, experiment, 0.0, DAY + timedelta(3))
        kept = [
            (each.effective_from, each.exposed_share)
            for each in allocations_of(tables.project, experiment.id)
        ]
        assert kept == [(DAY, 0.05), (DAY + timedelta(3), 0.0)]


def test_experiments_of_a_layer_never_share_a_bucket_until_one_is_closed(tables: Tables) -> None:
    (experiment,) = tables.project.experiments
    beside = replace(experiment, id="beside")
    project = replace(tables.project, experiments=(experiment, beside), holdouts={experiment.layer: 0.1})
    tables = Tables(tables.spark, project)
    keep_allocation(tables, experiment, 0.05, DAY)
    ahead = keep_allocation(tables, beside, 0.3, DAY + timedelta(20))
    grown = keep_allocation(tables, experiment, 0.6, DAY + timedelta(5))
    assert ahead and grown and not buckets_of(ahead.layer_buckets) & buckets_of(grown.layer_buckets)
    with pytest.raises(InputError, match=r"0\.6 is free; lower it, or close another \(beside\) by"):
        keep_allocation(tables, experiment, 0.7, DAY + timedelta(6))
    # Long after its time: services may still expose it.
    with pytest.raises(InputError, match=r"close another \(homepage_ranking\)"):
        keep_allocation(tables, beside, 0.9, DAY + timedelta(300))
    keep_allocation(tables, experiment, 0.0, DAY + timedelta(300))
    whole = keep_allocation(tables, beside, 0.9, DAY + timedelta(301))
    assert whole and whole.layer_buckets == ((0, 9000),)


def test_buckets_that_another_took_meanwhile_are_given_back(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers read the layer before either wrote: here the second's read shows what was there before the first."""
    (experiment,) = tables.project.experiments
    beside = replace(experiment, id="beside")
    keep_allocation(tables, experiment, 0.05, DAY)
    read = tables.few_rows
    stale: list[list[dict[str, Any]]] = [[]]
    monkeypatch.setattr(Tables, "few_rows", lambda _, *arguments: stale.pop() if stale else read(*arguments))
    with pytest.raises(Conflict, match="layer homepage: another experiment took the same buckets meanwhile"):
        keep_allocation(tables, beside, 0.2, DAY)
    assert allocations_of(tables.project, "beside") == []
    kept = keep_allocation(tables, beside, 0.2, DAY)
    assert kept and kept.layer_buckets == ((500, 2500),)
