"""A sample ratio that broke: which slices, the likely culprit among them, and since when (DESIGN §6)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from metrics.enrollment import EnrollmentSlice, Looks, blocked, looks_of
from metrics.rows import CROSSOVER, PROFILE, SrmCheck
from metrics.statistics.layout import ALL
from metrics.statistics.srm import srm_test

# From this p-value on the rest fits the plan: a slice that explains the imbalance leaves nothing else to be found.
FITS_FROM = 0.001


@dataclass(frozen=True)
class Culprit:
    """A slice and what speaks for it, with its check of the last look at which anything triggered.

    p_value_of_rest: of everybody without it against the plan; None where that leaves nobody. off_since: about when its
    split left the plan. triggered_at: the look that told, by which `exposed` units of everybody and `exposed_of_slice`
    of its own were exposed; None where no look so early is known.
    """

    check: SrmCheck
    p_value_of_rest: float | None
    off_since: datetime
    triggered_at: datetime
    exposed: int | None
    exposed_of_slice: int | None

    @property
    def is_everybody(self) -> bool:
        return self.check.slice == ALL and self.check.unit != CROSSOVER

    @property
    def explains(self) -> bool:
        return self.p_value_of_rest is None or self.p_value_of_rest >= FITS_FROM


@dataclass(frozen=True)
class Incident:
    """`broken`: the slices that are blocked or trigger, each since the look that told; `triggers`: whether one still
    does. There is no culprit where no check of a broken slice is known.
    """

    broken: tuple[EnrollmentSlice, ...]
    culprit: Culprit | None
    triggers: bool

    def holds(self, check: SrmCheck) -> bool:
        """Whether the check is of a broken slice."""
        return _slice(check) in {(each.slice, each.slice_value) for each in self.broken}


def incident_of(
    checks: Sequence[SrmCheck], enrollment: Sequence[EnrollmentSlice], opens: datetime
) -> Incident | None:
    """None where all is well. `checks` and `enrollment`, the blocked slices: of one epoch, which `opens` then."""
    looks = looks_of(checks)
    triggering = {_slice(found[-1]) for found in looks.values() if found[-1].triggered}
    broken = _broken(looks, triggering, enrollment)
    return Incident(broken, _culprit(looks, broken, opens), bool(triggering)) if broken else None


def _slice(check: SrmCheck) -> tuple[str, str]:
    return check.slice, check.slice_value


def _broken(
    looks: Looks, triggering: set[tuple[str, str]], enrollment: Sequence[EnrollmentSlice]
) -> tuple[EnrollmentSlice, ...]:
    """What is blocked; and of slices that trigger without being so, what would have blocked them."""
    told = [c for found in looks.values() for c in found if c.triggered and _slice(c) in triggering]
    rows = {(each.slice, each.slice_value): each for each in enrollment}
    for check in sorted(told, key=lambda check: (check.window_end, -(check.log_e_value or 0.0))):
        rows.setdefault(_slice(check), *blocked([check]))
    order = sorted(rows.values(), key=lambda row: (row.since, row.slice != ALL, row.slice, row.slice_value))
    return tuple(order)


def _culprit(looks: Looks, broken: Sequence[EnrollmentSlice], opens: datetime) -> Culprit | None:
    """Of the suspects that explain the imbalance, the one with the strongest evidence; without one, of all suspects.

    The platform and the region of a stratum that is off explain it as well as the stratum does, as everybody does; but
    those who are not off dilute the evidence there.
    """
    since = {(row.slice, row.slice_value): row.since for row in broken}
    told = [c.window_end for found in looks.values() for c in found if c.triggered and _slice(c) in since]
    last = max([*since.values(), *told])
    by_then = {key: known for key, found in looks.items() if (known := _until(found, last))}
    suspects = [
        _suspect(found, by_then, since[_slice(found[-1])], opens)
        for found in by_then.values()
        if _slice(found[-1]) in since and (found[-1].triggered or since[_slice(found[-1])] == last)
    ]
    explaining = [suspect for suspect in suspects if suspect.explains]
    return max(explaining or suspects, key=_strength, default=None)


def _strength(suspect: Culprit) -> tuple[float, bool]:
    return suspect.check.log_e_value or 0.0, suspect.is_everybody


def _until(looks: Sequence[SrmCheck], end: datetime) -> list[SrmCheck]:
    return [check for check in looks if check.window_end <= end]


def _suspect(found: Sequence[SrmCheck], looks: Looks, told: datetime, opens: datetime) -> Culprit:
    """The slice of these looks beside everybody's; those of crossovers are part of the profiles'."""
    unit = PROFILE if found[-1].unit == CROSSOVER else found[-1].unit
    everybody = looks.get((unit, ALL, ALL), [])
    return Culprit(
        check=found[-1],
        p_value_of_rest=_p_value_of_rest(found[-1], everybody),
        off_since=_off_since(found, everybody, opens),
        triggered_at=told,
        exposed=_exposed(_until(everybody, told)),
        exposed_of_slice=_exposed(_until(found, told)),
    )


def _exposed(looks: Sequence[SrmCheck]) -> int | None:
    return sum(looks[-1].observed.values()) if looks else None


def _p_value_of_rest(check: SrmCheck, everybody: Sequence[SrmCheck]) -> float | None:
    rest = _less(everybody[-1].observed, check.observed) if everybody else {}
    return srm_test(list(rest.values()), _shares(check, rest)).p_value if any(rest.values()) else None


def _off_since(found: Sequence[SrmCheck], everybody: Sequence[SrmCheck], opens: datetime) -> datetime:
    """The time from which on the split fits the plan least: the start that maximises the likelihood ratio of the
    observed split of the units since then against the plan, G = 2 Σ O log(O / E).

    Units since a look are those of the last look less those of that one, which no missing window disturbs.
    """
    before = [look.window_end for look in everybody if look.window_end < found[0].window_end]
    by_start: dict[datetime, Mapping[str, int]] = {max(before, default=opens): {}}
    by_start |= {look.window_end: look.observed for look in found[:-1]}
    return max(by_start, key=lambda start: (_g(_less(found[-1].observed, by_start[start]), found[-1]), start))


def _g(observed: Mapping[str, int], check: SrmCheck) -> float:
    n_units = sum(observed.values())
    shares = zip(observed.values(), _shares(check, observed), strict=True)
    return 2 * sum(n * math.log(n / (n_units * share)) for n, share in shares if n)


def _less(observed: Mapping[str, int], part: Mapping[str, int]) -> dict[str, int]:
    """Never below zero: an earlier look may hold a unit that has gone since, as after an erasure."""
    return {arm: max(0, n - part.get(arm, 0)) for arm, n in observed.items()}


def _shares(check: SrmCheck, arms: Mapping[str, int]) -> list[float]:
    """Of the arms as planned, in their order."""
    planned = sum(check.expected.values())
    return [check.expected[arm] / planned for arm in arms]
