"""Which slices of an experiment may still enrol: what a sample ratio mismatch blocks, since when, and what restarts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from metrics.configuration.experiment import Experiment, Restart
from metrics.rows import HOUSEHOLD, PROFILE, SrmCheck
from metrics.statistics.layout import ALL

BLOCKED = "blocked"
OPEN = "open"
# The slice of the row that begins an epoch; its slice_value is the first day.
RESTART = "restart"


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def end_of(day: date) -> datetime:
    return start_of(day + timedelta(days=1))


def name_of_slice(slice_: str, value: str) -> str:
    return "everybody" if slice_ == ALL else f"{slice_} {value}"


@dataclass(frozen=True)
class EnrollmentSlice:
    """A row of `enrollment_status`.

    `since` is the end of the first window that shows it, `run` what the job that found it was given as its reason: in
    Airflow the id of the DAG's run, which then sends the alert. It may have looked at a window of long ago.
    """

    experiment_id: str
    epoch: int
    slice: str
    slice_value: str
    status: str
    reason: str
    since: datetime
    run: str | None = None

    @property
    def name(self) -> str:
        return name_of_slice(self.slice, self.slice_value)

    @property
    def alert(self) -> str:
        return f"{self.experiment_id}: enrolment of {self.name} is blocked: {self.reason}"


@dataclass(frozen=True)
class Restarts:
    """All restarts, ascending, by experiment id."""

    by_experiment: Mapping[str, Sequence[Restart]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "Restarts":
        """From rows of `enrollment_status` whose slice is RESTART."""
        found: dict[str, list[Restart]] = {}
        for row in sorted(rows, key=lambda row: (row["epoch"], row["slice_value"])):
            restart = Restart(row["epoch"], date.fromisoformat(row["slice_value"]), row["reason"])
            found.setdefault(row["experiment_id"], []).append(restart)
        return cls(found)

    def epochs(self, experiment: Experiment) -> list[Experiment]:
        """The experiment in each of its epochs, the first as it was registered."""
        known = self.by_experiment.get(experiment.id, ())
        spans = zip((None, *known), (*known, None), strict=True)
        return [replace(experiment, restart=begun, ended=ended) for begun, ended in spans]

    def as_of(self, experiment: Experiment, day: date) -> Experiment:
        """The experiment in the epoch that the day falls into; before its start in the first."""
        return [epoch for epoch in self.epochs(experiment) if epoch.restart is None or epoch.opens <= day][-1]


def row_of_restart(experiment_id: str, restart: Restart) -> EnrollmentSlice:
    """`since` is the first moment of the epoch."""
    first = start_of(restart.valid_from)
    value = restart.valid_from.isoformat()
    return EnrollmentSlice(experiment_id, restart.epoch, RESTART, value, OPEN, restart.reason, first)


# (unit, slice, slice_value) -> its cumulative checks by window end, ascending
Looks = Mapping[tuple[str, str, str], Sequence[SrmCheck]]


def looks_of(checks: Iterable[SrmCheck]) -> Looks:
    """Of one epoch; only cumulative checks can trigger."""
    looks: dict[tuple[str, str, str], list[SrmCheck]] = {}
    for check in sorted(checks, key=lambda check: check.window_end):
        if check.window_kind == "cumulative":
            looks.setdefault((check.unit, check.slice, check.slice_value), []).append(check)
    return looks


@dataclass(frozen=True)
class Known:
    """What cumulative checks of one window end told: units exposed by then, and the check furthest from the plan."""

    profiles: int
    households: int
    furthest: SrmCheck
    triggered: int


def known_at(checks: Iterable[SrmCheck]) -> dict[datetime, Known]:
    """By window end, ascending. `checks`: of one epoch."""
    cumulative = [check for check in checks if check.window_kind == "cumulative"]
    ends: dict[datetime, list[SrmCheck]] = {}
    for check in sorted(cumulative, key=lambda check: check.window_end):
        ends.setdefault(check.window_end, []).append(check)
    return {end: _known(of_end) for end, of_end in ends.items()}


def _known(checks: Sequence[SrmCheck]) -> Known:
    exposed = {check.unit: sum(check.observed.values()) for check in checks if check.slice == ALL}
    return Known(
        exposed.get(PROFILE, 0),
        exposed.get(HOUSEHOLD, 0),
        max(checks, key=lambda check: (check.log_e_value or 0.0, check.unit == PROFILE)),
        sum(check.triggered for check in checks),
    )


def blocked(triggered: Iterable[SrmCheck]) -> list[EnrollmentSlice]:
    """A row for each slice of the triggered checks of a window.

    Of its profiles and its households, those further from the plan give the reason.
    """
    found: dict[tuple[int, str, str], EnrollmentSlice] = {}
    for check in sorted(triggered, key=lambda check: (-(check.log_e_value or 0.0), check.unit == HOUSEHOLD)):
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
