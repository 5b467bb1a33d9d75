"""Moments and score sums of a pandas frame, and the numbers of the reference cases."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.statistics.estimators import Comparison
from metrics.statistics.lin import fit_lin
from metrics.statistics.moments import FEW_HOUSEHOLDS, UNLIMITED, Moments, moments_of
from metrics.statistics.ols import fit_ols
from metrics.statistics.regression import Fit, Rows, result_of, score_sums
from metrics.statistics.results import Result

ARMS = ("control", "treatment")
COVARIATES = ["pre_plays", "pre_watch", "tenure_days", "pre_active_days"]
PRECISION = 1e-9


@cache
def cases(shared: Path) -> dict[str, Any]:
    return {case["name"]: case for case in json.loads((shared / "reference" / "cases.json").read_text())}


def reference(shared: Path, name: str) -> Any:
    return cases(shared)[name]["expected"]


def profiles(shared: Path) -> pd.DataFrame:
    """profiles.csv with missing covariates filled by their means, `is_new` where they were, and dummies."""
    rows = pd.read_csv(shared / "reference" / "profiles.csv")
    is_new = rows["pre_plays"].isna().astype(float)
    filled = rows.fillna({name: rows[name].mean() for name in COVARIATES}).assign(is_new=is_new)
    dummies = pd.get_dummies(rows[["region", "device"]], drop_first=True).astype(float)
    return pd.concat([filled, dummies], axis=1)


def moments(
    rows: pd.DataFrame,
    columns: Sequence[str],
    arms: Sequence[str] = ARMS,
    arm: str = "arm",
    cluster: str = "household_id",
    shift: Sequence[float] | None = None,
    detail_limit: int = FEW_HOUSEHOLDS,
) -> Moments:
    """Moments of a frame's columns around their means, or around `shift`."""
    prepared = _sorted(rows, columns, arms, arm, cluster)
    centre = prepared.values.mean(axis=0) if shift is None else np.array(shift, dtype=float)
    x = np.column_stack([np.ones(len(prepared.values)), prepared.values - centre])
    uncut = (np.full(len(columns), -np.inf), np.full(len(columns), np.inf))
    return moments_of(
        tuple(columns), tuple(arms), centre, uncut, x, prepared.arm, prepared.household, detail_limit
    )


def regression(
    rows: pd.DataFrame,
    outcome: str,
    covariates: Sequence[str],
    comparison: Comparison,
    arms: Sequence[str] = ARMS,
    arm: str = "arm",
    estimator: str = "ols",
) -> Result:
    """One arm against the control: coefficients from moments, then one pass for the scores."""
    columns = [outcome, *covariates]
    sums = moments(rows, columns, arms, arm, detail_limit=UNLIMITED)
    fitted = {"ols": fit_ols, "lin": fit_lin}[estimator](sums, outcome, covariates, comparison)
    if isinstance(fitted, Result):
        return fitted
    return second_pass(fitted, rows, columns, sums, comparison, arms, arm)


def second_pass(
    fitted: Fit,
    rows: pd.DataFrame,
    columns: Sequence[str],
    sums: Moments,
    comparison: Comparison,
    arms: Sequence[str] = ARMS,
    arm: str = "arm",
    level: str | None = None,
) -> Result:
    """The result of a fit whose levels, if any, are the positions in column `level`."""
    found = rows_of(rows, columns, sums, arms, arm, level)
    return result_of(fitted, score_sums(fitted, found), comparison.level)


def rows_of(
    rows: pd.DataFrame,
    columns: Sequence[str],
    sums: Moments,
    arms: Sequence[str] = ARMS,
    arm: str = "arm",
    level: str | None = None,
) -> Rows:
    names = [*columns, level] if level else list(columns)
    prepared = _sorted(rows, names, arms, arm, "household_id")
    values = prepared.values[:, : len(columns)]
    x = np.column_stack([np.ones(len(values)), values - sums.shift])
    positions = prepared.values[:, -1] if level else np.zeros(len(values))
    return Rows(x, prepared.arm, prepared.household, positions.astype(np.int64))


def assert_matches(result: Result, expected: Any, vcov: str, precision: float = PRECISION) -> None:
    """A result against a reference case's estimate and the block of one covariance."""
    block = expected[vcov]
    assert result.status == "ok"
    assert result.vcov == vcov
    found = [result.effect, result.std_error, result.df, result.p_value, result.ci_low, result.ci_high]
    numbers = [expected["estimate"], *(block[name] for name in ("se", "df", "p", "ci_low", "ci_high"))]
    np.testing.assert_allclose(np.array(found, dtype=float), numbers, rtol=precision)


class _Sorted:
    def __init__(self, values: np.ndarray, arm: np.ndarray, household: np.ndarray) -> None:
        order = np.lexsort((arm, household))
        self.values, self.arm, self.household = values[order], arm[order], household[order]


def _sorted(
    rows: pd.DataFrame, columns: Sequence[str], arms: Sequence[str], arm: str, cluster: str
) -> _Sorted:
    inside = rows[rows[arm].isin(arms)]
    positions = inside[arm].map({name: i for i, name in enumerate(arms)}).to_numpy(dtype=np.int64)
    households = pd.factorize(inside[cluster])[0].astype(np.int64)
    return _Sorted(inside[list(columns)].to_numpy(dtype=float), positions, households)
