"""Section 1, continued: two intervals that are too narrow under a strong effect, traced to what they take as given."""

from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics.estimators import Comparison, difference_in_means
from metrics.statistics.layout import MISSING, ColumnRecipe, code_of
from metrics.statistics.lin import fit_lin
from metrics.statistics.moments import Floats
from metrics.statistics.passes import RawRows
from metrics.statistics.results import Result
from scripts.calibration.experiment import (
    COVARIATES,
    CUT_WATCH,
    LEVEL,
    TREATMENT,
    finished,
    prepare,
    service_group,
)
from scripts.calibration.population import DEVICE, EVENLY, Effects, draw_experiment, winsorized_means
from scripts.calibration.sizes import Sizes, generator

PLACE = 6
STRONG = Effects(plays=1.0)
FIXED_CUT = "fixed_cut"


@dataclass(frozen=True)
class Reasons:
    """Mean standard error over the spread of the estimates.

    own_cut, fixed_cut: winsorized at the sample's own quantile, and at the superpopulation's. lin: of lin.
    lin_given_covariates: of lin less what the sample's mix of covariates adds to its effect.
    """

    experiments: int
    own_cut: float
    fixed_cut: float
    lin: float
    lin_given_covariates: float


def run(sizes: Sizes, seed: int) -> Reasons:
    many = sizes.truth_households // 10
    _, cut = winsorized_means(STRONG, EVENLY.share, many, generator(seed, PLACE, 0))
    slopes, average = effect_slopes(draw_experiment(many, EVENLY, STRONG, generator(seed, PLACE, 1)))
    numbers: dict[str, list[tuple[float, float]]] = {"own": [], "fixed": [], "lin": [], "given": []}
    for experiment in range(sizes.traced):
        raw = draw_experiment(sizes.households, EVENLY, STRONG, generator(seed, PLACE, 2, experiment))
        own, fixed, lin = estimates(raw, cut)
        mix = float((design(raw).mean(axis=0) - average) @ slopes)
        for name, (effect, std_error) in {
            "own": own,
            "fixed": fixed,
            "lin": lin,
            "given": (lin[0] - mix, lin[1]),
        }.items():
            numbers[name].append((effect, std_error))
    ratios = {name: _error_over_spread(np.array(found)) for name, found in numbers.items()}
    return Reasons(sizes.traced, ratios["own"], ratios["fixed"], ratios["lin"], ratios["given"])


def estimates(raw: RawRows, cut: float) -> list[tuple[float, float]]:
    """Effect and standard error of minutes at their own cut and at a given one, and of plays by lin."""
    group = service_group(raw)
    fixed = ColumnRecipe(FIXED_CUT, "watch", float(np.minimum(raw.columns["watch"], cut).mean()), cut)
    prepared = prepare(raw, replace(group, columns=(*group.columns, fixed)))
    whole, comparison = prepared.whole, Comparison(TREATMENT, level=LEVEL)
    covariates = COVARIATES + ((MISSING,) if group.has_missing else ())
    fits = {("plays", "lin"): fit_lin(whole, "plays", covariates, comparison)}
    return [
        _numbers(difference_in_means(whole, CUT_WATCH, comparison)),
        _numbers(difference_in_means(whole, FIXED_CUT, comparison)),
        _numbers(finished(prepared, fits, comparison)["plays", "lin"]),
    ]


def effect_slopes(raw: RawRows) -> tuple[Floats, Floats]:
    """How the effect on plays changes with the covariates, from a regression in each arm, and their averages."""
    x, y = design(raw), raw.columns["plays"]
    control, arm = (np.linalg.lstsq(x[raw.arm == a], y[raw.arm == a], rcond=None)[0] for a in (0, 1))
    return arm - control, x.mean(axis=0)


def design(raw: RawRows) -> Floats:
    """A one, lin's covariates with gaps filled by the mean, and the indicator of gaps, (n, 5)."""
    missing = np.isnan(raw.columns["pre_plays"])
    filled = [
        np.where(missing, np.nanmean(raw.columns[name]), raw.columns[name])
        for name in ("pre_plays", "pre_watch")
    ]
    return np.column_stack([np.ones(len(raw)), *filled, raw.columns[code_of(DEVICE)], missing])


def _numbers(result: Result) -> tuple[float, float]:
    assert result.effect is not None and result.std_error is not None
    return result.effect, result.std_error


def _error_over_spread(numbers: Floats) -> float:
    return float(numbers[:, 1].mean() / numbers[:, 0].std(ddof=1))
