"""The ledger of looks (DESIGN §6): what each analysis day spent of alpha, where its boundary was, and what crossed it.

A pure function of an epoch's estimates: a look taken again, in whatever order the days come, is the same look, so that
nothing is spent twice; late data make another version of it and of those after it.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Experiment
from metrics.power import Design, max_information
from metrics.rows import Estimate, LookRow
from metrics.sequential.boundaries import Look, boundaries

# (metric, arm) -> its looks, ascending
Ledger = Mapping[tuple[str, str], Sequence[LookRow]]


@dataclass(frozen=True)
class Comparison:
    """What is looked at: a primary or a guardrail in one arm, at its level, up to a maximum of information.

    Without a maximum it is looked at once, at the planned end.
    """

    metric: str
    arm: str
    alpha: float
    most: float | None
    is_guardrail: bool


def ledger_of(
    experiment: Experiment,
    catalogue: Catalogue,
    rows: Iterable[Estimate],
    planned: Mapping[str, float],
) -> dict[tuple[str, str], tuple[LookRow, ...]]:
    """The looks at each primary and guardrail, by metric and arm; none where nothing could be computed yet.

    rows: the deciding rows of one epoch, of any days. planned: maximum information by metric, as it was registered;
    that of a guardrail follows from its margin where it was not.
    """
    usable: dict[tuple[str, str], list[tuple[date, Estimate]]] = {}
    for row in rows:
        if row.status == "ok" and row.std_error and row.effect is not None and row.analysis_day:
            usable.setdefault((row.metric, row.arm), []).append((row.analysis_day, row))
    return {
        (metric, arm): _looks(
            experiment,
            catalogue,
            _comparison(experiment, catalogue, metric, arm, planned),
            sorted(usable.get((metric, arm), ()), key=lambda dated: dated[0]),
        )
        for metric in (*experiment.primary, *experiment.guardrails)
        for arm in experiment.treatments
    }


def level_of(experiment: Experiment, metric: str) -> float:
    """Of one comparison, over all its looks: design.alpha, split over primaries and arms for a primary."""
    if metric not in experiment.primary:
        return experiment.alpha
    return experiment.alpha / (len(experiment.primary) * len(experiment.treatments))


def last_look(experiment: Experiment, metric: Metric, catalogue: Catalogue) -> date:
    """The first analysis day on which the last enrolled profile has matured for the metric: no more can come."""
    if metric.window is None:
        return experiment.planned_end(catalogue)
    return experiment.last_enrollment_day + timedelta(days=metric.window - 1)


def looks_planned(experiment: Experiment, metric: Metric, catalogue: Catalogue) -> int:
    """Analysis days from the first on which a profile has matured to the last look; a secondary has no ledger."""
    if metric.name in experiment.secondary:
        return 1
    first = experiment.opens + timedelta(days=(metric.window or 1) - 1)
    return (last_look(experiment, metric, catalogue) - first).days + 1


def planned_information(experiment: Experiment, catalogue: Catalogue, metric: str, effect: float) -> float:
    """The maximum information of a comparison that is to detect an effect in the metric's unit with its power."""
    planned = Design(
        alpha=level_of(experiment, metric),
        power=experiment.power,
        looks=looks_planned(experiment, catalogue.metrics[metric], catalogue),
        spending=experiment.spending,
    )
    return max_information(effect, planned)


def critical_value(nominal_p: float, df: float | None) -> float:
    """Standard errors from 0 with this two-sided p-value: of Student's t where there are degrees of freedom."""
    return float(-stdtrit(df, nominal_p / 2) if df else -ndtri(nominal_p / 2))


def boundary_in_force(looks: Sequence[LookRow]) -> LookRow | None:
    """The look by whose boundary a guardrail is read: the last that has one.

    Once the planned information is in and nothing is left to spend, the lowest one: the last may have had next to
    nothing to spend.
    """
    known = [look for look in looks if look.z_boundary is not None]
    if known and looks[-1].information_fraction >= 1:
        return min(known, key=lambda look: look.z_boundary or 0.0)
    return known[-1] if known else None


def drift_of(experiment: Experiment, catalogue: Catalogue, metric: str) -> float:
    """The mean of Z at the maximum information under the effect to detect, in the metric's good direction."""
    size = math.sqrt(planned_information(experiment, catalogue, metric, 1.0))
    return size if catalogue.metrics[metric].better == "higher" else -size


def conditional_power(looks: Sequence[LookRow], alpha: float, spending: str, drift: float) -> float | None:
    """Chance that |Z| crosses in the drift's direction at the maximum information; None without a look before it.

    drift: the mean of Z at the maximum information under the effect to detect. Looks between now and then are left out.
    Source: Jennison and Turnbull (2000), chapter 10.
    """
    if not looks or looks[-1].information_fraction >= 1:
        return None
    fractions = [look.information_fraction for look in looks]
    critical = _boundaries((*fractions, 1.0), alpha, spending, True)[-1].z_boundary
    if critical is None:
        return None
    now, sign = fractions[-1], math.copysign(1.0, drift)
    score = sign * looks[-1].statistic * math.sqrt(now) + abs(drift) * (1 - now)
    return float(ndtr((score - critical) / math.sqrt(1 - now)))


def _comparison(
    experiment: Experiment, catalogue: Catalogue, metric: str, arm: str, planned: Mapping[str, float]
) -> Comparison:
    margin, most = experiment.guardrails.get(metric), planned.get(metric)
    if most is None and margin:
        most = planned_information(experiment, catalogue, metric, margin)
    return Comparison(metric, arm, level_of(experiment, metric), most, margin is not None)


def _looks(
    experiment: Experiment,
    catalogue: Catalogue,
    comparison: Comparison,
    rows: Sequence[tuple[date, Estimate]],
) -> tuple[LookRow, ...]:
    end, is_final = last_look(experiment, catalogue.metrics[comparison.metric], catalogue), False
    if not comparison.is_guardrail:  # harm is looked for as long as there are data
        before = [(day, row) for day, row in rows if day < end]
        last = rows[len(before) : len(before) + 1]
        rows, is_final = [*before, *last], bool(last)
    most = comparison.most
    if most is None:
        rows = rows[-1:] if is_final else ()
        most = _information(rows[0][1]) if rows else None
    if most is None or not rows:
        return ()
    fractions = tuple(_information(row) / most for _, row in rows)
    looks = _boundaries(fractions, comparison.alpha, experiment.spending, is_final)
    told, found = f"{comparison.alpha!r} {experiment.spending} {comparison.most!r}", []
    for number, ((day, row), look) in enumerate(zip(rows, looks, strict=True), start=1):
        told = _fingerprint(told, day, row, is_final and number == len(rows))
        found.append(
            _row(row, look, day, (day - experiment.opens).days + 1, f"{row.input_version}-{told[:8]}")
        )
    return tuple(found)


# A simulation of the gate comes along the same path of information again and again.
@lru_cache(maxsize=1024)
def _boundaries(fractions: tuple[float, ...], alpha: float, spending: str, final: bool) -> tuple[Look, ...]:
    return boundaries(fractions, alpha, 2, spending, final)


def _information(row: Estimate) -> float:
    assert row.std_error
    return 1 / row.std_error**2


def _fingerprint(before: str, day: date, row: Estimate, is_final: bool) -> str:
    """Of what a look rests on: its own estimate, and the looks before it."""
    told = f"{before} {day} {row.input_version} {row.effect!r} {row.std_error!r} {row.df!r} {is_final}"
    return hashlib.sha256(told.encode()).hexdigest()


def _normal_score(statistic: float, df: float | None) -> float:
    """The z with the same two-sided p-value as this t, so that it can be held against boundaries."""
    tail = float(stdtr(df, -abs(statistic))) if df else 0.0
    return math.copysign(-float(ndtri(tail)), statistic) if tail else statistic


def _row(row: Estimate, look: Look, day: date, number: int, version: str) -> LookRow:
    assert row.effect is not None and row.std_error
    low = high = None
    crossed = False
    if look.nominal_p is not None:
        width = critical_value(look.nominal_p, row.df) * row.std_error
        low, high = row.effect - width, row.effect + width
        crossed = low >= 0 or high <= 0
    return LookRow(
        experiment_id=row.experiment_id,
        epoch=row.epoch,
        metric=row.metric,
        arm=row.arm,
        look=number,
        input_version=version,
        analysis_day=day,
        information=_information(row),
        information_fraction=look.information_fraction,
        alpha_spent=look.alpha_spent,
        z_boundary=look.z_boundary,
        nominal_p=look.nominal_p,
        statistic=_normal_score(row.effect / row.std_error, row.df),
        repeated_ci_low=low,
        repeated_ci_high=high,
        crossed=crossed,
    )
