"""The superpopulation of households that experiments are drawn from, and its true effects.

Households of 1 to 5 share a habit and a connection, larger ones play less per profile. Plays are a Poisson mixture over
gamma habits with 30% of profiles idle; minutes are a gamma mixture over plays, so that a few profiles watch most of
them. Profiles that signed up too late lack covariates, play less, and react twice as strongly. The device changes how
much profiles differ, not what they do on average: effects by device are equal.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from metrics.statistics.layout import STRATUM, code_of
from metrics.statistics.moments import Floats, Integers
from metrics.statistics.passes import RawRows
from metrics.statistics.winsorize import type1_quantile

DEVICE = "device"
DEVICES = ("phone", "tv")
REGIONS = ("north", "south", "west")
STRATA = tuple(f"{region}|{device}" for region in REGIONS for device in DEVICES)

_SIZES = np.arange(1, 6)
_SIZE_SHARES = np.array([0.30, 0.30, 0.20, 0.12, 0.08])
_RATE_BY_SIZE = np.array([1.2, 1.1, 1.0, 0.9, 0.8])
_REGION_SHARES = np.array([0.5, 0.3, 0.2])
_RATE_BY_REGION = np.array([1.0, 0.8, 1.3])
_TV_SHARE = 0.4
_NEW_SHARE, _RATE_OF_NEW, _REACTION_OF_NEW = 0.15, 0.7, 2.0
_PLAYS, _ACTIVE = 4.0, 0.7
# Shapes of gamma habits of mean 1: of the household, and of its profiles by device.
_HOUSEHOLD_SHAPE, _PROFILE_SHAPE = 2.0, np.array([3.0, 1.2])
_MINUTES_SHAPE, _MINUTES_SCALE, _BINGE_SHAPE = 0.6, 50.0, 0.8
_FAILURES = (1.0, 19.0)
# Milliseconds until a play starts: log-normal around the median, by the household's connection and by the play.
_DELAY_MS, _DELAY_BY_HOUSEHOLD, _DELAY_BY_PLAY = 800.0, 0.4, 0.6
WINSORIZED = 0.995
_CHUNK = 100_000


@dataclass(frozen=True)
class Effects:
    """What treatment changes, as a share: a profile's plays (a new one's twice that), failures and delays of plays."""

    plays: float = 0.1
    failures: float = -0.1
    delays: float = -0.1


@dataclass(frozen=True)
class Assignment:
    """The treatment's share, and what is randomised: profiles, so that households straddle arms, or households."""

    share: float = 0.5
    by_household: bool = False


USUAL = Effects()
EVENLY = Assignment()


@dataclass(frozen=True, eq=False)
class Profiles:
    """n profiles before assignment: plays to expect, chance that a play fails; pre-period plays and minutes."""

    household: Integers
    region: Integers
    device: Integers
    is_new: NDArray[np.bool_]
    rate: Floats
    failing: Floats
    pre_plays: Floats
    pre_watch: Floats

    def __len__(self) -> int:
        return len(self.rate)


class Outcomes(NamedTuple):
    """Per profile, (n,): plays, minutes, and plays that failed."""

    plays: Floats
    watch: Floats
    failures: Floats


class Means(NamedTuple):
    """True means (or quantiles) without and with treatment."""

    control: float
    arm: float

    @property
    def effect(self) -> float:
        return self.arm - self.control

    @property
    def relative(self) -> float:
        return self.effect / self.control


def draw_profiles(n_households: int, rng: np.random.Generator) -> Profiles:
    """A fresh sample of households with all their profiles, in the households' order."""
    sizes = rng.choice(_SIZES, n_households, p=_SIZE_SHARES)
    household = np.repeat(np.arange(n_households), sizes)
    region = rng.choice(len(REGIONS), n_households, p=_REGION_SHARES)
    habit = rng.standard_gamma(_HOUSEHOLD_SHAPE, n_households) / _HOUSEHOLD_SHAPE
    shared = _PLAYS * habit * _RATE_BY_SIZE[sizes - 1] * _RATE_BY_REGION[region]
    n = len(household)
    device = (rng.random(n) < _TV_SHARE).astype(np.int64)
    is_new = rng.random(n) < _NEW_SHARE
    shape = _PROFILE_SHAPE[device]
    rate = shared[household] * rng.standard_gamma(shape) / shape * np.where(is_new, _RATE_OF_NEW, 1.0)
    pre_plays = rng.poisson(rate * (rng.random(n) < _ACTIVE)).astype(np.float64)
    pre_watch = _minutes(pre_plays, rng)
    pre_plays[is_new] = pre_watch[is_new] = np.nan
    failing = rng.beta(*_FAILURES, n_households)[household]
    return Profiles(household, region[household], device, is_new, rate, failing, pre_plays, pre_watch)


def assign(profiles: Profiles, how: Assignment, rng: np.random.Generator) -> Integers:
    """Each profile's arm, 0 or 1, (n,)."""
    if not how.by_household:
        return (rng.random(len(profiles)) < how.share).astype(np.int64)
    treated = rng.random(profiles.household[-1] + 1) < how.share
    return treated[profiles.household].astype(np.int64)


def outcomes(profiles: Profiles, arm: Integers, effects: Effects, rng: np.random.Generator) -> Outcomes:
    """What profiles do in the arm that they are in."""
    reaction = effects.plays * np.where(profiles.is_new, _REACTION_OF_NEW, 1.0)
    rate = profiles.rate * (1 + arm * reaction) * (rng.random(len(profiles)) < _ACTIVE)
    plays = rng.poisson(rate)
    failures = rng.binomial(plays, profiles.failing * (1 + arm * effects.failures))
    return Outcomes(plays.astype(np.float64), _minutes(plays, rng), failures.astype(np.float64))


def rows_of(profiles: Profiles, arm: Integers, found: Outcomes) -> RawRows:
    """The rows as the product reads them, sorted by household and arm."""
    order = np.lexsort((arm, profiles.household))
    columns = {
        **found._asdict(),
        "pre_plays": profiles.pre_plays,
        "pre_watch": profiles.pre_watch,
        "bucket": profiles.household,
        code_of(DEVICE): profiles.device,
        code_of(STRATUM): profiles.region * len(DEVICES) + profiles.device,
    }
    sorted_columns = {name: values[order] for name, values in columns.items()}
    return RawRows(sorted_columns, profiles.household[order], arm[order])


def draw_experiment(
    n_households: int, how: Assignment, effects: Effects, rng: np.random.Generator
) -> RawRows:
    profiles = draw_profiles(n_households, rng)
    arm = assign(profiles, how, rng)
    return rows_of(profiles, arm, outcomes(profiles, arm, effects, rng))


def start_delays(raw: RawRows, effects: Effects, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """Of every play, its profile's row and the milliseconds until it started, (plays,)."""
    row = np.repeat(np.arange(len(raw)), raw.columns["plays"].astype(np.int64))
    connection = rng.standard_normal(raw.household[-1] + 1)[raw.household[row]]
    z = _DELAY_BY_HOUSEHOLD * connection + _DELAY_BY_PLAY * rng.standard_normal(len(row))
    return row, _DELAY_MS * np.exp(z) * (1 + raw.arm[row] * effects.delays)


def delay_quantiles(effects: Effects, probability: float) -> Means:
    """Of all plays, in closed form: connections have nothing to do with how much is played."""
    control = _DELAY_MS * np.exp(ndtri(probability) * np.hypot(_DELAY_BY_HOUSEHOLD, _DELAY_BY_PLAY))
    return Means(float(control), float(control * (1 + effects.delays)))


def mean_plays(effects: Effects) -> Means:
    """In closed form; a mean over profiles weights households by their size."""
    by_size = _SIZE_SHARES * _SIZES / (_SIZE_SHARES @ _SIZES)
    common = _PLAYS * _ACTIVE * (by_size @ _RATE_BY_SIZE) * (_REGION_SHARES @ _RATE_BY_REGION)
    old, new = 1 - _NEW_SHARE, _NEW_SHARE * _RATE_OF_NEW
    reacted = old * (1 + effects.plays) + new * (1 + _REACTION_OF_NEW * effects.plays)
    return Means(float(common * (old + new)), float(common * reacted))


def mean_watch(effects: Effects) -> Means:
    per_play = _MINUTES_SHAPE * _MINUTES_SCALE
    control, arm = mean_plays(effects)
    return Means(control * per_play, arm * per_play)


def failure_ratios(effects: Effects) -> Means:
    """Failed plays of all plays: failing and habits are unrelated, so that it is the mean chance."""
    chance = _FAILURES[0] / sum(_FAILURES)
    return Means(chance, chance * (1 + effects.failures))


def winsorized_means(
    effects: Effects, share: float, n_households: int, rng: np.random.Generator
) -> tuple[Means, float]:
    """Means of minutes cut at the pooled quantile of the superpopulation, and that quantile, from one large draw."""
    control, arm, observed = draw_minutes(effects, share, n_households, rng)
    cut = type1_quantile(observed, WINSORIZED)
    return Means(float(np.minimum(control, cut).mean()), float(np.minimum(arm, cut).mean())), cut


def draw_minutes(
    effects: Effects, share: float, n_households: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Minutes of everybody without and with treatment, and those that an experiment would see.

    Both outcomes of every profile are drawn, so that they differ by treatment alone and by chance given their habit.
    """
    parts = [
        _both_arms(min(_CHUNK, n_households), effects, share, rng) for _ in range(0, n_households, _CHUNK)
    ]
    control, arm, observed = (np.concatenate(each) for each in zip(*parts, strict=True))
    return control, arm, observed


def _both_arms(
    n_households: int, effects: Effects, share: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Minutes without and with treatment, and those that an experiment would see."""
    profiles = draw_profiles(n_households, rng)
    control, arm = (outcomes(profiles, np.full(len(profiles), each), effects, rng).watch for each in (0, 1))
    return control, arm, np.where(rng.random(len(profiles)) < share, arm, control)


def _minutes(plays: Integers | Floats, rng: np.random.Generator) -> Floats:
    """Minutes of so many plays, stretched by how the profile watches in that period."""
    binge = rng.standard_gamma(_BINGE_SHAPE, len(plays)) / _BINGE_SHAPE
    minutes: Floats = rng.standard_gamma(_MINUTES_SHAPE * plays) * _MINUTES_SCALE * binge
    return minutes
