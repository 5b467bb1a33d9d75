"""Adjusted p-values, and which estimates form a family (DESIGN §6)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from scipy.special import stdtrit
from statsmodels.stats.multitest import multipletests

from metrics.checks import check_share
from metrics.configuration.catalogue import Catalogue
from metrics.configuration.design import Design
from metrics.errors import InputError
from metrics.evidence import decision_estimator
from metrics.rows import Estimate
from metrics.statistics.layout import ALL

_STATSMODELS_NAMES = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "bh": "fdr_bh",
    "by": "fdr_by",
}


def adjust(method: str, p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given, each at most 1. Raises InputError for an unknown method or no p-value."""
    if method not in _STATSMODELS_NAMES:
        raise InputError(f"method is '{method}'; expected one of {', '.join(_STATSMODELS_NAMES)}")
    for p_value in p_values:
        if not 0 <= p_value <= 1:
            raise InputError(f"p-value {p_value} is outside 0 to 1; correct it")
    if len(p_values) < 2:  # one is as it is; the library collects all of Python's garbage at each call
        return [float(p_value) for p_value in p_values]
    adjusted = multipletests(p_values, method=_STATSMODELS_NAMES[method])[1]
    return [float(min(p_value, 1.0)) for p_value in adjusted]


def bonferroni_interval(
    effect: float, std_error: float, df: float, alpha: float, family_size: int
) -> tuple[float, float]:
    """One of `family_size` intervals that all hold at once with 1 - alpha: each at 1 - alpha / family_size, by t(df).

    It leaves out 0 exactly where the p-value adjusted by bonferroni is below alpha. The step-wise methods (holm,
    hochberg, hommel) and those for the false discovery rate (bh, by) have no such intervals.
    """
    if family_size < 1:
        raise InputError(f"family size is {family_size}; expected 1 or more")
    check_share("alpha", alpha)
    reach = std_error * float(stdtrit(df, 1 - alpha / family_size / 2))
    return effect - reach, effect + reach


def with_adjusted_p_values(
    rows: Sequence[Estimate], design: Design, catalogue: Catalogue, method: str = "holm"
) -> tuple[Estimate, ...]:
    """Rows with adjusted_p_value within their family; None outside one and where there is no p-value."""
    families: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        family = _family(row, design, catalogue)
        if family and row.p_value is not None:
            families[family].append(position)
    adjusted: dict[int, float] = {}
    for members in families.values():
        p_values = [rows[i].p_value or 0.0 for i in members]
        adjusted.update(zip(members, adjust(method, p_values), strict=True))
    return tuple(replace(row, adjusted_p_value=adjusted.get(i)) for i, row in enumerate(rows))


def _family(row: Estimate, design: Design, catalogue: Catalogue) -> tuple[str, ...] | None:
    """Secondaries x arms; and per metric, all levels of a segmentation x arms. Decision estimator only."""
    deciding = decision_estimator(design, catalogue.metrics[row.metric])
    if row.segment != ALL:
        # ols is for `all` only; in segments cuped adjusts for the same covariates.
        in_segments = "cuped" if deciding == "ols" else deciding
        return (row.metric, row.segment) if row.estimator == in_segments else None
    return ("secondary",) if row.role == "secondary" and row.estimator == deciding else None
