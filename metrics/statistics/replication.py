"""Bootstrap rows: the same differences as from moments, with the spread of their replicates as their error."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from metrics.configuration.catalogue import Metric
from metrics.statistics.basis import Basis, moments_with_status
from metrics.statistics.bootstrap import Interval, interval_of, ratios, replicate_totals
from metrics.statistics.bucket_pass import BucketPlan, BucketSums, bucket_sums, outcomes_only
from metrics.statistics.cells import Cell
from metrics.statistics.estimators import ROUNDING, Comparison, difference_in_means, ratio
from metrics.statistics.layout import ALL, Group, bins_of, outcome_names
from metrics.statistics.moments import Floats
from metrics.statistics.passes import HouseholdRows, one_thread
from metrics.statistics.quantile import Slice, count_slices, replicate_quantiles
from metrics.statistics.questions import Question
from metrics.statistics.results import NO_DATA, NO_VARIANCE, OK, Result, counts_of

BOOTSTRAP = "bootstrap"
# Columns of sums that are replicated at once: 128 MiB of them.
_COLUMNS_AT_ONCE = 256


def seed_of(experiment_id: str, epoch: int) -> int:
    """Of an experiment's epoch: the same whenever, and wherever, its interval is computed."""
    digest = hashlib.sha256(f"bootstrap:{experiment_id}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def bootstrap_results(
    rows: HouseholdRows, basis: Basis, asked: Sequence[Question], replicates: int, seed: int
) -> dict[Question, Result]:
    """Every bootstrap question answered; one pass over the rows (none without questions)."""
    results: dict[Question, Result] = {}
    open_questions: list[Question] = []
    for question in asked:
        moments, status = moments_with_status(question, basis)
        if status == OK:
            open_questions.append(question)
        else:
            results[question] = Result(status, counts_of(moments, question.arm))
    quantiles = [question for question in open_questions if question.estimator == "quantile"]
    plain = [question for question in open_questions if question.estimator != "quantile"]
    results |= quantile_results(rows, basis, quantiles, replicates, seed)
    if not plain:
        return results
    plan = _plan(basis, plain)
    with one_thread():
        totals = _replicated(bucket_sums(rows, plan), replicates, seed)
    for question in plain:
        group = plan.groups[question.cell.group]
        results[question] = _result(question, basis, group, totals[question.cell])
    return results


def quantile_results(
    rows: HouseholdRows, basis: Basis, asked: Sequence[Question], replicates: int, seed: int
) -> dict[Question, Result]:
    """Differences of the arms' quantiles; two passes over the rows (none without questions)."""
    needed = {
        question: (_slice(question, basis, 0), _slice(question, basis, question.arm)) for question in asked
    }
    slices = list(dict.fromkeys(slice_ for pair in needed.values() for slice_ in pair))
    counts = count_slices(rows, slices)
    with one_thread():
        replicated = replicate_quantiles(counts, seed, replicates)
    results = {}
    for question, (control, arm) in needed.items():
        if not {control, arm} <= counts.keys():  # profiles there are, but not one event
            results[question] = Result(NO_DATA, counts_of(basis.cells[question.cell], question.arm))
            continue
        values = [counts[slice_].quantile(slice_.probability) for slice_ in (control, arm)]
        plain = Result(
            OK,
            counts_of(basis.cells[question.cell], question.arm),
            control_mean=values[0],
            arm_mean=values[1],
            effect=values[1] - values[0],
            relative_effect=values[1] / values[0] - 1 if values[0] else None,
        )
        results[question] = _with_intervals(plain, replicated[control], replicated[arm], basis.design.alpha)
    return results


def _slice(question: Question, basis: Basis, arm: int) -> Slice:
    metric = basis.catalogue.metrics[question.metric]
    group = basis.home[question.metric]
    level = _level(question.cell, basis)
    source = bins_of(metric) if metric.of_events else metric.outcome_columns[0]
    return Slice(source, question.cell, level, arm, metric.quantile or 0.5, group)


def _plan(basis: Basis, asked: Sequence[Question]) -> BucketPlan:
    cells = tuple(dict.fromkeys(question.cell for question in asked))
    used = {question.cell.group: outcomes_only(basis.home[question.metric]) for question in asked}
    return BucketPlan(used, tuple((cell, _level(cell, basis)) for cell in cells), len(basis.plan.arms))


def _level(cell: Cell, basis: Basis) -> int:
    return 0 if cell.segment == ALL else basis.plan.levels[cell.segment].index(cell.value)


def _replicated(sums: dict[Cell, BucketSums], replicates: int, seed: int) -> dict[Cell, Floats]:
    """Replicated totals (R, A, 1+q) of every cell; weights are drawn once for many columns."""
    found: dict[Cell, Floats] = {}
    for cells in _batches(sums):
        flat = np.concatenate([sums[cell].dense() for cell in cells], axis=1)
        totals = replicate_totals(flat, seed, replicates)
        start = 0
        for cell in cells:
            shape = sums[cell].sums.shape[1:]
            size = int(np.prod(shape))
            found[cell] = totals[:, start : start + size].reshape(replicates, *shape)
            start += size
    return found


def _batches(sums: dict[Cell, BucketSums]) -> Iterator[list[Cell]]:
    """Cells that are replicated together."""
    batch: list[Cell] = []
    columns = 0
    for cell, each in sums.items():
        size = int(np.prod(each.sums.shape[1:]))
        if batch and columns + size > _COLUMNS_AT_ONCE:
            yield batch
            batch, columns = [], 0
        batch.append(cell)
        columns += size
    if batch:
        yield batch


def _result(question: Question, basis: Basis, group: Group, totals: Floats) -> Result:
    """The plain difference, and the percentile intervals of its replicates."""
    metric = basis.catalogue.metrics[question.metric]
    plain = _plain(question, basis, metric)
    if plain.status != OK:
        return plain
    control, arm = (_arm_values(metric, group, totals[:, position]) for position in (0, question.arm))
    return _with_intervals(plain, control, arm, basis.design.alpha)


def _with_intervals(plain: Result, control: Floats, arm: Floats, level: float) -> Result:
    """The point estimates with the spread (R,) of both arms' replicates."""
    effect = interval_of(arm - control, level)
    if effect is None or effect.std_error == 0:
        return Result(NO_VARIANCE, plain.counts)
    relative = None
    if plain.control_mean:
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = interval_of(np.where(control != 0, arm / control - 1, np.nan), level)
    return _finished(plain, effect, relative)


def _plain(question: Question, basis: Basis, metric: Metric) -> Result:
    moments = basis.cells[question.cell]
    comparison = Comparison(question.arm, "cr1s", basis.design.alpha)
    names = outcome_names(metric)
    if metric.kind == "ratio":
        return ratio(moments, names[0], names[1], comparison)
    return difference_in_means(moments, names[0], comparison)


def _arm_values(metric: Metric, group: Group, totals: Floats) -> Floats:
    """The metric's value (R,) in an arm's replicates, from totals (R, 1+q) of (1, outcomes less their shift)."""
    positions = [1 + group.names.index(name) for name in outcome_names(metric)]
    about_shift, shifts = totals[:, positions], totals[:, :1] * group.shift[[p - 1 for p in positions]]
    restored = about_shift + shifts
    # A zero but for rounding would make a replicate's ratio, or its relative effect, a huge number.
    restored[np.abs(restored) <= ROUNDING * (np.abs(about_shift) + np.abs(shifts))] = 0.0
    bottom = restored[:, 1] if metric.kind == "ratio" else totals[:, 0]
    return ratios(np.column_stack([restored[:, 0], bottom]))


def _finished(plain: Result, effect: Interval, relative: Interval | None) -> Result:
    return Result(
        status=OK,
        counts=plain.counts,
        vcov=BOOTSTRAP,
        control_mean=plain.control_mean,
        arm_mean=plain.arm_mean,
        effect=plain.effect,
        std_error=effect.std_error,
        ci_low=effect.low,
        ci_high=effect.high,
        relative_effect=plain.relative_effect,
        relative_std_error=relative.std_error if relative else None,
        relative_ci_low=relative.low if relative else None,
        relative_ci_high=relative.high if relative else None,
        p_value=effect.p_value,
    )
