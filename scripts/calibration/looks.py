"""Section 4: how often looking every day finds an effect that is not there, and whether the intervals last."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from metrics.sequential.boundaries import alpha_spent, boundaries
from metrics.sequential.confidence_sequences import asymptotic_interval, best_rho
from metrics.sequential.designs import equally_spaced
from metrics.statistics.estimators import Comparison, cuped, ratio
from metrics.statistics.moments import Floats
from metrics.statistics.results import Result
from scripts.calibration.coverage import NOMINAL, Share, share_of
from scripts.calibration.experiment import FAILURE_RATE, LEVEL, TREATMENT, plain_group, prepare
from scripts.calibration.population import EVENLY, Assignment, Effects, draw_experiment
from scripts.calibration.sizes import Sizes, generator

PLACE = 4
SPENDINGS = ("pocock", "obrien_fleming")
UNADJUSTED = float(-ndtri(LEVEL / 2))
RULES = (*SPENDINGS, *(f"fault: {spending}" for spending in SPENDINGS), "fault: unadjusted")
# Share of the profiles that is first exposed on each of 14 days: the eager come first.
ENROLLED = np.array([16, 12, 10, 9, 8, 7, 7, 6, 6, 5, 4, 4, 3, 3]) / 100
DAYS = len(ENROLLED)
INFORMATION = np.cumsum(ENROLLED)
FINE_LOOKS = 1_000
# Profiles at the planned end, where the confidence sequence shall be narrowest.
PLANNED = 4_000
NO_EFFECT = Effects(plays=0.0, failures=0.0, delays=0.0)
_CHUNK = 100_000
_PILOT_PLACE = 99


@dataclass(frozen=True)
class Setting:
    name: str
    n_households: int
    assignment: Assignment = EVENLY


@dataclass(frozen=True)
class Paths:
    """On normal increments: chance that a rule ever rejects, by rule and number of looks; chance that all intervals of
    the confidence sequence hold the truth, by number of looks."""

    rejections: Mapping[tuple[str, int], Share]
    coverages: Mapping[int, Share]


@dataclass(frozen=True)
class Looked:
    """On estimates over accumulating data, the same at 14 looks.

    dependence: correlations between two looks less those of independent increments, on average over pairs.
    """

    setting: Setting
    estimator: str
    rejections: Mapping[str, Share]
    coverage: Share
    dependence: float


@dataclass(frozen=True)
class Findings:
    paths: Paths
    looked: tuple[Looked, ...]


@dataclass(frozen=True, eq=False)
class Series:
    """Estimates of n experiments at every look, (n, looks), nan where there was none.

    z: estimate over standard error. corrected: the normal score of the p-value, which is on t.
    """

    z: Floats
    corrected: Floats
    std_error: Floats
    profiles: Floats


def run(sizes: Sizes, seed: int) -> Findings:
    settings = (
        Setting("profiles", sizes.looked_households),
        Setting("households", sizes.looked_households, Assignment(by_household=True)),
        Setting("few households", sizes.few_looked_households),
    )
    looked = [
        each
        for number, setting in enumerate(settings)
        for each in look_at(setting, sizes, (seed, PLACE, 1 + number))
    ]
    return Findings(on_paths(sizes, (seed, PLACE, 0)), tuple(looked))


def on_paths(sizes: Sizes, place: tuple[int, ...]) -> Paths:
    daily = normal_paths(INFORMATION, sizes.paths, generator(*place, 0))
    five = equally_spaced(5)
    few = normal_paths(np.array(five), sizes.paths, generator(*place, 1))
    fine = np.array(equally_spaced(FINE_LOOKS))
    many = normal_paths(fine, sizes.fine_paths, generator(*place, 2))
    rejections = {
        **{
            (rule, DAYS): share_of(crossed(daily, limits), LEVEL)
            for rule, limits in rules(INFORMATION).items()
        },
        **{(rule, 5): share_of(crossed(few, limits), LEVEL) for rule, limits in rules(five).items()},
    }
    coverages = {
        DAYS: share_of(~crossed(daily, sequence_limits(INFORMATION * PLANNED)), NOMINAL, "at least"),
        FINE_LOOKS: share_of(~crossed(many, sequence_limits(fine * PLANNED)), NOMINAL, "at least"),
    }
    return Paths(rejections, coverages)


def normal_paths(information: Floats, n: int, rng: np.random.Generator) -> Floats:
    """z of n paths of independent normal increments at each look, (n, looks)."""
    steps = np.sqrt(np.diff(information, prepend=0.0))
    z = rng.standard_normal((n, len(steps)))
    z *= steps
    np.cumsum(z, axis=1, out=z)
    z /= np.sqrt(information)
    return z


def rules(information: Sequence[float] | Floats) -> dict[str, Floats]:
    """What |z| must reach at each look, by rule: the product's, and faults that are known."""
    fractions = list(map(float, information))
    found = {spending: product_limits(fractions, spending) for spending in SPENDINGS}
    for spending in SPENDINGS:
        spent = alpha_spent(fractions, LEVEL, 2, spending, final=True)
        found[f"fault: {spending}"] = -ndtri(np.array(spent) / 2)
    found["fault: unadjusted"] = np.full(len(fractions), UNADJUSTED)
    return found


def product_limits(fractions: Sequence[float], spending: str) -> Floats:
    looks = boundaries(fractions, LEVEL, 2, spending, final=True)
    return np.array([math.inf if look.z_boundary is None else look.z_boundary for look in looks])


def sequence_limits(profiles: Floats, planned: float = PLANNED) -> Floats:
    """Half-width of the asymptotic confidence sequence in standard errors after so many profiles."""
    rho = best_rho(planned, LEVEL)
    return np.array([asymptotic_interval(0.0, 1.0, float(t), rho, LEVEL).high for t in profiles])


def crossed(z: Floats, limits: Floats) -> np.ndarray:
    """Which paths reach a limit at any look, (n,)."""
    return np.asarray((np.abs(z) >= limits).any(axis=1))


def look_at(setting: Setting, sizes: Sizes, place: tuple[int, ...]) -> tuple[Looked, ...]:
    """Experiments without effect, estimated every day, against boundaries at the information of their own errors."""
    planned = {
        estimator: float((pilot.std_error[:, -1] ** -2.0).mean())
        for estimator, pilot in series_of(setting, sizes.pilot, (*place, _PILOT_PLACE)).items()
    }
    found = series_of(setting, sizes.looked, place)
    return tuple(_looked(setting, name, series, planned[name]) for name, series in found.items())


def series_of(setting: Setting, experiments: int, place: tuple[int, ...]) -> dict[str, Series]:
    """By estimator."""
    numbers = [daily_numbers(setting, generator(*place, i)) for i in range(experiments)]
    return {
        name: Series(*np.array([each[name] for each in numbers]).transpose(2, 0, 1)) for name in numbers[0]
    }


def daily_numbers(setting: Setting, rng: np.random.Generator) -> dict[str, list[tuple[float, ...]]]:
    """By estimator, the numbers of `Series` at each look. Profiles of one household come on different days."""
    raw = draw_experiment(setting.n_households, setting.assignment, NO_EFFECT, rng)
    day = rng.choice(DAYS, len(raw), p=ENROLLED)
    found: dict[str, list[tuple[float, ...]]] = {"cuped": [], "ratio": []}
    for look in range(DAYS):
        so_far = raw.where(day <= look)
        names = ("plays", "failures", "pre_plays", "pre_watch")
        moments = prepare(so_far, plain_group(so_far, names)).whole
        comparison = Comparison(TREATMENT, level=LEVEL)
        results = {
            "cuped": cuped(moments, "plays", ("pre_plays", "pre_watch"), comparison),
            "ratio": ratio(moments, *FAILURE_RATE, comparison),
        }
        for name, result in results.items():
            found[name].append((*_scores(result), len(so_far)))
    return found


def _scores(result: Result) -> tuple[float, float, float]:
    if result.statistic is None or result.p_value is None or result.std_error is None:
        return math.nan, math.nan, math.nan
    corrected = math.copysign(-float(ndtri(result.p_value / 2)), result.statistic)
    return result.statistic, corrected, result.std_error


def _looked(setting: Setting, estimator: str, series: Series, planned: float) -> Looked:
    information = series.std_error**-2.0 / planned
    limits = [rules_where_known(*each) for each in zip(information, series.z, strict=True)]
    rejections = {
        rule: share_of(crossed(series.z, np.array([each[rule] for each in limits])), LEVEL) for rule in RULES
    }
    for rule in SPENDINGS:
        reached = crossed(series.corrected, np.array([each[rule] for each in limits]))
        rejections[f"{rule}, z of the p-value"] = share_of(reached, LEVEL)
    expected = float(series.profiles[:, -1].mean())
    lasting = sequence_limits(series.profiles.ravel(), expected).reshape(series.z.shape)
    return Looked(
        setting=setting,
        estimator=estimator,
        rejections=rejections,
        coverage=share_of(~crossed(series.z, lasting), NOMINAL, "at least"),
        dependence=_dependence(series.z, np.nanmean(information, axis=0)),
    )


def rules_where_known(information: Floats, z: Floats) -> dict[str, Floats]:
    """`rules` of the looks that gave a number; the others have none to reach.

    No rule rejects below the unadjusted limit: paths that stay under it are spared the integration.
    """
    known = np.isfinite(information)
    if not (np.abs(z[known]) >= UNADJUSTED).any():
        return {rule: np.full(len(information), math.inf) for rule in RULES}
    found = {}
    for rule, limits in rules(information[known]).items():
        found[rule] = np.full(len(information), math.inf)
        found[rule][known] = limits
    return found


def _dependence(z: Floats, information: Floats) -> float:
    root = np.sqrt(information)
    independent = np.minimum.outer(root, root) / np.maximum.outer(root, root)
    correlations = np.ma.corrcoef(np.ma.masked_invalid(z), rowvar=False)
    return float((correlations - independent)[np.triu_indices(len(root), 1)].mean())
