"""The estimates of an experiment as a numpy script would make them, of one row per profile in memory."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from metrics.configuration.catalogue import Metric
from metrics.configuration.experiment import Experiment

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Metric, estimator, segment and level; and what there is of them: the effect and its standard error.
Key = tuple[str, str, str, str]
Estimates = dict[Key, tuple[float, float]]


@dataclass(frozen=True)
class Rows:
    """Profiles of a cell: arm (n,), 0 the control and 1 the treatment; household (n,), numbered from 0 in order."""

    arm: Integers
    household: Integers

    def variance(self, scores: Floats, k: int) -> float:
        """Of an estimate whose errors are the rows' scores (n,), clustered: Stata's factor for k coefficients."""
        n, households = len(self.arm), int(self.household[-1]) + 1
        meat = float((np.bincount(self.household, scores) ** 2).sum())
        return meat * households / (households - 1) * (n - 1) / (n - k)


def estimates(windows: pd.DataFrame, experiment: Experiment, metrics: Sequence[Metric]) -> Estimates:
    """Of every metric, for all and for each level of each segment; regressions for all.

    windows: a row per profile, sorted by household_id, texts as categories; an outcome is missing until it is mature.
    """
    found: Estimates = {}
    for metric in metrics:
        found |= _of_metric(windows[windows[metric.outcome_columns[0]].notna()], experiment, metric)
    return found


def _of_metric(mature: pd.DataFrame, experiment: Experiment, metric: Metric) -> Estimates:
    """mature: the rows whose outcome is known."""
    found: Estimates = {}
    outcomes = [_cut(mature[name], metric) for name in metric.outcome_columns]
    covariates = _covariates(mature, experiment, metric)
    arm = (mature["arm"] != experiment.control).to_numpy().astype(np.int64)
    household = mature["household_id"].to_numpy()
    for segment, level, inside in _cells(mature, experiment):
        rows = Rows(arm[inside], _numbered(household[inside]))
        ys, x = [y[inside] for y in outcomes], covariates[inside]
        of_cell = _ratios(rows, ys[0], ys[1], x) if metric.kind == "ratio" else _means(rows, ys[0], x)
        if segment == "all" and metric.kind != "ratio":
            of_cell |= _regressions(rows, ys[0], x, _any_missing(mature, experiment), mature["stratum"])
        found |= {(metric.name, name, segment, level): each for name, each in of_cell.items()}
    return found


def _cells(mature: pd.DataFrame, experiment: Experiment) -> Iterator[tuple[str, str, npt.NDArray[np.intp]]]:
    """Everybody, and each level of each segment: its rows."""
    yield "all", "all", np.arange(len(mature))
    for segment in experiment.standing_segments:
        codes = mature[segment].cat.codes.to_numpy()
        for code, level in enumerate(mature[segment].cat.categories):
            inside = np.flatnonzero(codes == code)
            if mature["arm"].iloc[inside].nunique() == 2:
                yield segment, level, inside


def _numbered(household: Integers) -> Integers:
    """Sorted ids as 0, 1, … ."""
    numbered: Integers = np.cumsum(np.diff(household, prepend=household[:1]) != 0)
    return numbered


def _means(rows: Rows, y: Floats, x: Floats) -> dict[str, tuple[float, float]]:
    return {
        "difference_in_means": _difference(rows, y),
        "cuped": _difference(rows, *_adjusted(x, y)),
    }


def _ratios(rows: Rows, top: Floats, bottom: Floats, x: Floats) -> dict[str, tuple[float, float]]:
    return {
        "ratio": _difference_of_ratios(rows, top, bottom),
        "ratio_cuped": _difference_of_ratios(rows, *_adjusted(x, top, bottom)),
    }


def _difference(rows: Rows, y: Floats) -> tuple[float, float]:
    n = np.bincount(rows.arm)
    y = y - y.mean()  # a small difference of large sums would lose the digits that are compared
    means = np.bincount(rows.arm, y) / n
    scores = ((y - means[rows.arm]) / n[rows.arm]) * (2 * rows.arm - 1)
    return float(means[1] - means[0]), math.sqrt(rows.variance(scores, k=2))


def _difference_of_ratios(rows: Rows, top: Floats, bottom: Floats) -> tuple[float, float]:
    """Delta method."""
    totals = np.bincount(rows.arm, bottom)
    ratios = np.bincount(rows.arm, top) / totals
    scores = (top - ratios[rows.arm] * bottom) / totals[rows.arm] * (2 * rows.arm - 1)
    return float(ratios[1] - ratios[0]), math.sqrt(rows.variance(scores, k=1))


def _adjusted(x: Floats, *ys: Floats) -> list[Floats]:
    """CUPED: each y less what a pooled regression on the covariates x (n, k) says; constant columns say nothing."""
    centred = x - x.mean(axis=0)
    products = centred.T @ centred
    scale = np.sqrt(np.diag(products))
    scale[scale == 0] = 1
    along = np.column_stack([centred.T @ (y - y.mean()) for y in ys])
    # Least squares of few equations, as correlations: dummies may add up to a constant in a cell.
    correlations, theirs = products / np.outer(scale, scale), along / scale[:, None]
    theta = np.linalg.lstsq(correlations, theirs, rcond=1e-12)[0] / scale[:, None]
    return [y - centred @ each for y, each in zip(ys, theta.T, strict=True)]


def _regressions(
    rows: Rows, y: Floats, x: Floats, missing: Floats, stratum: pd.Series
) -> dict[str, tuple[float, float]]:
    """ANCOVA, Lin (2013), and differences weighted by the strata's sizes."""
    arm = rows.arm.astype(np.float64)[:, None]
    x = np.column_stack([x, missing]) if missing.any() else x
    centred, one = x - x.mean(axis=0), np.ones_like(arm)
    return {
        "ols": _coefficient_of_arm(rows, y, np.hstack([one, arm, centred])),
        "lin": _coefficient_of_arm(rows, y, np.hstack([one, arm, centred, arm * centred])),
        "post_stratified": _post_stratified(rows, y, stratum.cat.codes.to_numpy().astype(np.int64)),
    }


def _coefficient_of_arm(rows: Rows, y: Floats, design: Floats) -> tuple[float, float]:
    """The second coefficient of least squares; design (n, k)."""
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ (design.T @ y)
    scores = (design @ bread[1]) * (y - design @ beta)
    return float(beta[1]), math.sqrt(rows.variance(scores, design.shape[1]))


def _post_stratified(rows: Rows, y: Floats, stratum: Integers) -> tuple[float, float]:
    cell = 2 * stratum + rows.arm
    n = np.bincount(cell, minlength=2 * (stratum.max() + 1))
    means = np.bincount(cell, y, len(n)) / n
    weight = (n[::2] + n[1::2]) / len(y)
    scores = weight[stratum] * (y - means[cell]) / n[cell] * (2 * rows.arm - 1)
    return float(weight @ (means[1::2] - means[::2])), math.sqrt(rows.variance(scores, k=len(n)))


def _cut(values: pd.Series, metric: Metric) -> Floats:
    """The values up to the metric's upper quantile of those that are known, the smallest with as many up to it."""
    known = values.to_numpy(np.float64)
    if not metric.winsorize:
        return known
    found = known[~np.isnan(known)]
    rank = max(math.ceil(len(found) * metric.winsorize[-1] * (1 - 1e-15)), 1)
    capped: Floats = np.minimum(known, np.partition(found, rank - 1)[rank - 1])
    return capped


def _covariates(mature: pd.DataFrame, experiment: Experiment, metric: Metric) -> Floats:
    """(n, k): numbers with the mean where they are missing, the metric's own cut as it is; texts as dummies."""
    columns: list[Floats] = []
    for name in experiment.covariates_of(metric):
        if isinstance(mature[name].dtype, pd.CategoricalDtype):
            codes = mature[name].cat.codes.to_numpy()
            columns += [
                (codes == level).astype(np.float64) for level in range(1, len(mature[name].cat.categories))
            ]
            continue
        own = name == f"pre_{metric.measure}"
        values = _cut(mature[name], metric) if own else mature[name].to_numpy(np.float64)
        columns.append(np.where(np.isnan(values), np.nanmean(values), values))
    return np.column_stack(columns)


def _any_missing(mature: pd.DataFrame, experiment: Experiment) -> Floats:
    numeric = [
        name
        for name in (experiment.covariates.columns if experiment.covariates else ())
        if not isinstance(mature[name].dtype, pd.CategoricalDtype)
    ]
    missing: Floats = mature[numeric].isna().any(axis=1).to_numpy().astype(np.float64)
    return missing
