"""Section 5: the sample-ratio trigger, read every hour for 14 days in 24 slices of profiles and of households."""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from metrics.statistics.moments import Floats, Integers
from metrics.statistics.srm import TRIGGER_ALPHA, e_bh, log_e_value, srm_test
from scripts.calibration.coverage import Share, share_of
from scripts.calibration.sizes import Sizes, generator

PLACE = 5
HOURS = 14 * 24
# Shares of 15 strata, by region and platform. Slices are everybody, each stratum, region and platform; each is asked of
# profiles and of households, and everybody of crossovers, too.
STRATA = np.array([[20, 15, 12, 10, 8], [7, 6, 5, 4, 4], [3, 2, 2, 1, 1]]) / 100
SLICES = 1 + STRATA.size + sum(STRATA.shape)
HYPOTHESES = 2 * SLICES + 1
EVERYBODY, FIRST_STRATUM, FIRST_PLATFORM = 0, 1, 1 + STRATA.size + len(STRATA)
CROSSING = 0.02
SHARES = np.array([0.5, 0.5])
PROFILES = 500_000
# Of the arriving profiles, those that are the first of their household.
FIRST = 0.45
# Skewed is the first stratum, or the first platform in every region.
SKEWED_SHARE = 0.513
# From here on the e-value of one hypothesis alone rejects it.
ALONE = float(np.log(HYPOTHESES / TRIGGER_ALPHA))


@dataclass(frozen=True, eq=False)
class Findings:
    """fired: clean experiments in which the trigger ever fired. tested: those in which a chi-square test of all
    profiles at the same level ever did. delays: profiles of the skewed stratum when the trigger fired, inf where it did
    not, (n,). delays_alone: when the stratum's own e-value would have been enough. delays_platform: profiles of the
    skewed platform.
    """

    fired: Share
    tested: Share
    delays: Floats
    delays_alone: Floats
    delays_platform: Floats


def run(sizes: Sizes, seed: int) -> Findings:
    clean = np.full(STRATA.shape, SHARES[0])
    skewed, platform = clean.copy(), clean.copy()
    skewed[0, 0] = platform[:, 0] = SKEWED_SHARE
    fired, tested, delays, alone, of_platform = [], [], [], [], []
    for experiment in range(sizes.services):
        counts = hourly_counts(clean, generator(seed, PLACE, 0, experiment))
        fired.append(first_trigger(counts) is not None)
        if experiment < sizes.slowed:
            tested.append(ever_significant(counts))
    for experiment in range(sizes.slowed):
        counts = hourly_counts(skewed, generator(seed, PLACE, 1, experiment))
        delays.append(_units_at(counts, FIRST_STRATUM, first_trigger(counts)))
        alone.append(_units_at(counts, FIRST_STRATUM, first_alone(counts)))
        counts = hourly_counts(platform, generator(seed, PLACE, 2, experiment))
        of_platform.append(_units_at(counts, FIRST_PLATFORM, first_trigger(counts)))
    return Findings(
        fired=share_of(np.array(fired), TRIGGER_ALPHA, "at most"),
        tested=share_of(np.array(tested), TRIGGER_ALPHA, "at most"),
        delays=np.array(delays),
        delays_alone=np.array(alone),
        delays_platform=np.array(of_platform),
    )


def hourly_counts(control: Floats, rng: np.random.Generator) -> Integers:
    """Cumulative units at each hour's end, (hours, HYPOTHESES, arms): profiles, then households by slice; crossovers.

    control: the control's true share by region and platform. A household counts in the arm of its first profile. More
    arrive by evening than by night.
    """
    evening = 1 + 0.8 * np.sin(2 * np.pi * (np.arange(HOURS) - 12) / 24)
    arriving = rng.poisson(np.multiply.outer(evening / evening.sum(), STRATA) * PROFILES)
    first = rng.binomial(arriving, FIRST)
    in_control = rng.binomial(first, control)
    households = np.stack([in_control, first - in_control], axis=-1)
    others = rng.binomial(arriving - first, control)
    profiles = households + np.stack([others, arriving - first - others], axis=-1)
    crossed = rng.binomial(profiles.sum(axis=(1, 2)), CROSSING)[:, np.newaxis]
    every_unit = np.concatenate([_sliced(profiles), _sliced(households), crossed], axis=1)
    counts: Integers = np.cumsum(every_unit, axis=0)
    return counts


def _sliced(units: Integers) -> Integers:
    """(hours, slices, arms) of units by hour, region, platform and arm."""
    strata = units.reshape(len(units), STRATA.size, -1)
    everybody = strata.sum(axis=1, keepdims=True)
    slices: Integers = np.concatenate([everybody, strata, units.sum(axis=2), units.sum(axis=1)], axis=1)
    return slices


def first_trigger(counts: Integers) -> int | None:
    """The first hour at which e-BH rejects any hypothesis.

    No Bayes factor exceeds the largest likelihood ratio. Where that is below 1 / alpha neither value can be rejected,
    or help another to be: it stands in for the e-value, which makes most hours cheap.
    """
    bounds = largest_log_ratio(counts)
    least = -np.log(TRIGGER_ALPHA)
    for hour in np.flatnonzero((bounds >= least).any(axis=1)):
        values = bounds[hour].copy()
        for hypothesis in np.flatnonzero(values >= least):
            values[hypothesis] = log_e_value(counts[hour, hypothesis], SHARES)
        if values.max() >= e_bh(values.tolist(), TRIGGER_ALPHA):
            return int(hour)
    return None


def first_alone(counts: Integers) -> int | None:
    """The first hour at which the e-value of the first stratum's profiles would be rejected alone."""
    stratum = counts[:, FIRST_STRATUM]
    for hour in np.flatnonzero(largest_log_ratio(stratum) >= ALONE):
        if log_e_value(stratum[hour], SHARES) >= ALONE:
            return int(hour)
    return None


def ever_significant(counts: Integers) -> bool:
    """Whether a chi-square test of all profiles at the trigger's level is significant at any hour."""
    everybody = counts[:, EVERYBODY]
    return any(srm_test(each, SHARES.tolist()).p_value < TRIGGER_ALPHA for each in everybody if each.sum())


def largest_log_ratio(counts: Integers) -> Floats:
    """Log likelihood ratio of the observed shares against the planned ones, over the last axis."""
    totals = counts.sum(axis=-1, keepdims=True)
    ratio: Floats = (xlogy(counts, counts) - xlogy(counts, np.maximum(totals, 1) * SHARES)).sum(axis=-1)
    return ratio


def _units_at(counts: Integers, hypothesis: int, hour: int | None) -> float:
    return np.inf if hour is None else float(counts[hour, hypothesis].sum())
