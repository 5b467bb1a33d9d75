"""The second pass over households: sums of scores at fixed coefficients (DESIGN §2)."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from metrics.statistics.interactions import LevelFit, LevelSums, level_sums
from metrics.statistics.layout import Group, code_of, population
from metrics.statistics.passes import HouseholdRows, Kernel, RawRows
from metrics.statistics.regression import Fit, Rows, ScoreSums, each_score_sums

Key = TypeVar("Key", bound=Hashable)
AnyFit = Fit | LevelFit
AnySums = ScoreSums | LevelSums


def sum_scores(rows: HouseholdRows, fits: Mapping[Key, tuple[Group, AnyFit]]) -> dict[Key, AnySums]:
    """Score sums of every fit over the rows of its group, in one pass (none without fits or rows)."""
    if not fits:
        return {}
    ordered = list(fits.values())
    found = rows.summed(_kernel(ordered), added_up)
    return {key: read_sums(found[i], ordered[i][1]) for i, key in enumerate(fits) if i in found}


def partition_scores(raw: RawRows, fits: Sequence[tuple[Group, AnyFit]]) -> Iterator[tuple[int, AnySums]]:
    """Score sums of one partition by the fit's position. Numpy only."""
    groups = {group.name: group for group, _ in fits}
    for name, group in groups.items():
        inside, x = population(group, raw)
        for (by, arm), own in _alike(fits, name).items():
            level = inside.columns[code_of(by)] if by else np.zeros(len(inside), dtype=np.int64)
            pair = Rows(x, inside.arm, inside.household, level).of_arms(arm)
            regressions = {place: fit for place, fit in own.items() if isinstance(fit, Fit)}
            yield from zip(regressions, each_score_sums(list(regressions.values()), pair), strict=True)
            for position, fit in own.items():
                if isinstance(fit, LevelFit):
                    yield position, level_sums(fit, pair)


def _alike(
    fits: Sequence[tuple[Group, AnyFit]], group: str
) -> dict[tuple[str | None, int], dict[int, AnyFit]]:
    """A group's fits by position, those together that ask the same of the rows: one column's levels, one arm."""
    alike: dict[tuple[str | None, int], dict[int, AnyFit]] = {}
    for position, (own, fit) in enumerate(fits):
        if own.name == group:
            alike.setdefault((fit.by, fit.arm), {})[position] = fit
    return alike


def _kernel(fits: Sequence[tuple[Group, AnyFit]]) -> Kernel:
    def kernel(raw: RawRows) -> Iterator[tuple[int, bytes]]:
        for position, sums in partition_scores(raw, fits):
            yield position, flattened(sums)

    return kernel


def added_up(parts: Sequence[bytes]) -> bytes:
    """All sums add but the first, a maximum."""
    arrays = np.array([np.frombuffer(part) for part in parts])
    total = arrays.sum(axis=0)
    total[0] = arrays[:, 0].max()
    return total.tobytes()


def flattened(sums: AnySums) -> bytes:
    """Score sums as a payload; added_up merges payloads of one fit, and read_sums gives them back."""
    if isinstance(sums, LevelSums):
        return np.concatenate([[0.0, sums.n_households], sums.products.ravel()]).tobytes()
    scalars = [sums.leverage, sums.own, sums.own_squared, sums.overlap]
    return np.concatenate([scalars, sums.products.ravel(), sums.shared.ravel()]).tobytes()


def read_sums(payload: bytes, fit: AnyFit) -> AnySums:
    values = np.frombuffer(payload)
    if isinstance(fit, LevelFit):
        size = len(fit.effects)
        return LevelSums(round(values[1]), values[2:].reshape(size, size))
    k = len(fit.root)
    leverage, own, own_squared, overlap = map(float, values[:4])
    return ScoreSums(values[4:8].reshape(2, 2), own, own_squared, overlap, values[8:].reshape(k, k), leverage)
