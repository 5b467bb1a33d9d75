"""Which slices of an experiment may still enrol: what a sample ratio mismatch blocks, and since when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from metrics.rows import SrmCheck
from metrics.statistics.layout import ALL

BLOCKED = "blocked"


@dataclass(frozen=True)
class EnrollmentSlice:
    """A row of `enrollment_status`; `since` is the end of the first window looked at that shows it."""

    experiment_id: str
    epoch: int
    slice: str
    slice_value: str
    status: str
    reason: str
    since: datetime

    @property
    def name(self) -> str:
        return "everybody" if self.slice == ALL else f"{self.slice} {self.slice_value}"


@dataclass(frozen=True)
class Known:
    """What cumulative checks of one window end told: units exposed by then, and the check furthest from the plan."""

    profiles: int
    households: int
    furthest: SrmCheck
    triggered: int


def known_at(checks: Iterable[SrmCheck]) -> dict[datetime, Known]:
    """By window end, ascending; of the last epoch alone."""
    cumulative = [check for check in checks if check.window_kind == "cumulative"]
    last = max((check.epoch for check in cumulative), default=0)
    ends: dict[datetime, list[SrmCheck]] = {}
    for check in sorted(cumulative, key=lambda check: check.window_end):
        if check.epoch == last:
            ends.setdefault(check.window_end, []).append(check)
    return {end: _known(of_end) for end, of_end in ends.items()}


def _known(checks: Sequence[SrmCheck]) -> Known:
    exposed = {check.unit: sum(check.observed.values()) for check in checks if check.slice == ALL}
    return Known(
        exposed.get("profile", 0),
        exposed.get("household", 0),
        max(checks, key=lambda check: (check.log_e_value or 0.0, check.unit == "profile")),
        sum(check.triggered for check in checks),
    )


def blocked(triggered: Iterable[SrmCheck]) -> list[EnrollmentSlice]:
    """A row for each slice of the triggered checks of a window.

    Of its profiles and its households, those further from the plan give the reason.
    """
    found: dict[tuple[int, str, str], EnrollmentSlice] = {}
    for check in sorted(
        triggered, key=lambda check: (-(check.log_e_value or 0.0), check.unit == "household")
    ):
        found.setdefault((check.epoch, check.slice, check.slice_value), _blocked_by(check))
    return [found[key] for key in sorted(found)]


def _blocked_by(check: SrmCheck) -> EnrollmentSlice:
    arms = ", ".join(
        f"{arm} {n:,} {check.unit}s ({check.expected[arm]:,.0f} planned)" for arm, n in check.observed.items()
    )
    reason = f"sample ratio: {arms}; log e {check.log_e_value:.1f}, limit {check.threshold:.1f}"
    return EnrollmentSlice(
        check.experiment_id, check.epoch, check.slice, check.slice_value, BLOCKED, reason, check.window_end
    )
