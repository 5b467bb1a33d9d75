"""Section 5: the sample-ratio trigger, read every hour for 14 days in 16 slices of profiles and of households."""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from metrics.statistics.moments import Floats, Integers
from metrics.statistics.srm import TRIGGER_ALPHA, e_bh, log_e_value, srm_test
from scripts.calibration.coverage import Share, share_of
from scripts.calibration.sizes import Sizes, generator

PLACE = 5
HOURS = 14 * 24
# Shares of 15 strata; with all of them together 16 slices, each of profiles and of households.
STRATA = np.array([20, 15, 12, 10, 8, 7, 6, 5, 4, 4, 3, 2, 2, 1, 1]) / 100
HYPOTHESES = 2 * (1 + len(STRATA))
SHARES = np.array([0.5, 0.5])
PROFILES = 500_000
# Of the arriving profiles, those that are the first of their household.
FIRST = 0.45
# The skewed stratum is the first one.
SKEWED_SHARE = 0.513
# From here on the e-value of one hypothesis alone rejects it.
ALONE = float(np.log(HYPOTHESES / TRIGGER_ALPHA))


@dataclass(frozen=True, eq=False)
class Findings:
    """fired: clean experiments in which the trigger ever fired. tested: those in which a chi-square test of all
    profiles at the same level ever did. delays: profiles of the skewed slice when the trigger fired, inf where it did
    not, (n,). delays_alone: when the slice's own e-value reached 3,200.
    """

    fired: Share
    tested: Share
    delays: Floats
    delays_alone: Floats


def run(sizes: Sizes, seed: int) -> Findings:
    clean = np.full(len(STRATA), SHARES[0])
    skewed = np.append(SKEWED_SHARE, clean[1:])
    fired, tested, delays, alone = [], [], [], []
    for experiment in range(sizes.services):
        counts = hourly_counts(clean, generator(seed, PLACE, 0, experiment))
        fired.append(first_trigger(counts) is not None)
        if experiment < sizes.slowed:
            tested.append(ever_significant(counts))
    for experiment in range(sizes.slowed):
        counts = hourly_counts(skewed, generator(seed, PLACE, 1, experiment))
        delays.append(_profiles_at(counts, first_trigger(counts)))
        alone.append(_profiles_at(counts, first_alone(counts)))
    return Findings(
        fired=share_of(np.array(fired), TRIGGER_ALPHA, "at most"),
        tested=share_of(np.array(tested), TRIGGER_ALPHA, "at most"),
        delays=np.array(delays),
        delays_alone=np.array(alone),
    )


def hourly_counts(control: Floats, rng: np.random.Generator) -> Integers:
    """Cumulative units at each hour's end, (hours, 2, slices, arms), of profiles and of households.

    control: the control's true share by stratum. A household counts in the arm of its first profile. More arrive by
    evening than by night.
    """
    evening = 1 + 0.8 * np.sin(2 * np.pi * (np.arange(HOURS) - 12) / 24)
    arriving = rng.poisson(np.outer(evening / evening.sum(), STRATA) * PROFILES)
    first = rng.binomial(arriving, FIRST)
    in_control = rng.binomial(first, control)
    households = np.stack([in_control, first - in_control], axis=-1)
    others = rng.binomial(arriving - first, control)
    profiles = households + np.stack([others, arriving - first - others], axis=-1)
    strata = np.stack([profiles, households], axis=1)
    every_slice = np.concatenate([strata.sum(axis=2, keepdims=True), strata], axis=2)
    counts: Integers = np.cumsum(every_slice, axis=0)
    return counts


def first_trigger(counts: Integers) -> int | None:
    """The first hour at which e-BH rejects any hypothesis.

    No Bayes factor exceeds the largest likelihood ratio. Where that is below 1 / alpha neither value can be rejected,
    or help another to be: it stands in for the e-value, which makes most hours cheap.
    """
    bounds = largest_log_ratio(counts).reshape(len(counts), -1)
    least = -np.log(TRIGGER_ALPHA)
    for hour in np.flatnonzero((bounds >= least).any(axis=1)):
        values = bounds[hour].copy()
        for hypothesis in np.flatnonzero(values >= least):
            values[hypothesis] = log_e_value(counts[hour].reshape(-1, 2)[hypothesis], SHARES)
        if values.max() >= e_bh(values.tolist(), TRIGGER_ALPHA):
            return int(hour)
    return None


def first_alone(counts: Integers) -> int | None:
    """The first hour at which the e-value of the first stratum's profiles would be rejected alone."""
    stratum = counts[:, 0, 1]
    for hour in np.flatnonzero(largest_log_ratio(stratum) >= ALONE):
        if log_e_value(stratum[hour], SHARES) >= ALONE:
            return int(hour)
    return None


def ever_significant(counts: Integers) -> bool:
    """Whether a chi-square test of all profiles at the trigger's level is significant at any hour."""
    everybody = counts[:, 0, 0]
    return any(srm_test(each, SHARES.tolist()).p_value < TRIGGER_ALPHA for each in everybody if each.sum())


def largest_log_ratio(counts: Integers) -> Floats:
    """Log likelihood ratio of the observed shares against the planned ones, over the last axis."""
    totals = counts.sum(axis=-1, keepdims=True)
    ratio: Floats = (xlogy(counts, counts) - xlogy(counts, np.maximum(totals, 1) * SHARES)).sum(axis=-1)
    return ratio


def _profiles_at(counts: Integers, hour: int | None) -> float:
    return np.inf if hour is None else float(counts[hour, 0, 1].sum())
