"""What the tables of a replay have to show, compared with what was landed, step by step."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from jobs.delta_reader import counts_by, read_rows
from jobs.readout_files import readout_files
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project
from metrics.enrollment import BLOCKED, EnrollmentSlice, end_of, known_at
from metrics.rows import PROFILE, Estimate, SrmCheck, row_of
from metrics.statistics.layout import ALL
from scripts.findings import Findings
from scripts.incident.landing import BROKEN_DEVICE, arms_of


@dataclass
class Checks:
    """Each raises RunError, in one line, where something is not as expected; `findings` are all until then."""

    project: Project
    experiment: Experiment
    findings: Findings = field(default_factory=Findings)

    def blocked(self, epoch: int = 0) -> list[EnrollmentSlice]:
        found = [row_of(EnrollmentSlice, row) for row in self._rows("enrollment_status")]
        here = [each for each in found if (each.status, each.epoch) == (BLOCKED, epoch)]
        return sorted(here, key=lambda each: each.name)

    def trigger(self, landed: pd.DataFrame, until: datetime) -> None:
        """The slice that is blocked, since when, and that all that had `landed` by then was counted."""
        since, slice_ = {each.name: each.since for each in self.blocked()}, f"device {BROKEN_DEVICE}"
        elsewhere = [name for name in since if BROKEN_DEVICE not in name]
        self.findings.expect("blocked", ", ".join(since), slice_, slice_ in since)
        self.findings.expect("blocked on other devices", ", ".join(elsewhere) or "none", "none")
        self.findings.expect("blocked since", f"{since[slice_]:%Y-%m-%d %H:%M}", f"{until:%Y-%m-%d %H:%M}")
        checks = [row_of(SrmCheck, row) for row in self._rows("srm_checks")]
        known = known_at(checks)[until].profiles
        self.findings.expect("profiles exposed by then", f"{known:,}", f"{len(landed):,}")
        place = ("cumulative", until, PROFILE, "device", BROKEN_DEVICE)
        (check,) = [each for each in checks if _place(each) == place]
        on_device = arms_of(landed[landed["device"] == BROKEN_DEVICE])
        self.findings.expect(f"on {BROKEN_DEVICE} by then", in_words(check.observed), in_words(on_device))

    def alerts(self, step: str, messages: Sequence[str]) -> None:
        """Each blocked slice was told once, in the words of its row."""
        due = sorted(f"watchlift: {each.alert}" for each in self.blocked())
        self.findings.expect(
            step, str(len(messages)), f"{len(due)}, one for each blocked slice", sorted(messages) == due
        )

    def first_day(self, landed: pd.DataFrame) -> None:
        """All exposures are there, and the sample ratio holds the readout."""
        day = self.experiment.start
        self.exposures(day, landed)
        statuses = {row.status for row in self._estimates(day)}
        holds = "srm_blocked" in statuses and "ok" not in statuses
        self.findings.expect(f"{day}: estimates", ", ".join(sorted(statuses)), "srm_blocked, none ok", holds)
        decisions = self._decisions(day)
        self.findings.expect(f"{day}: decision", _each(row["action"] for row in decisions), "hold")
        self.findings.expect(f"{day}: of epoch", _each(row["epoch"] for row in decisions), "0")

    def exposures(self, day: date, landed: pd.DataFrame) -> None:
        of_day = counts_by(self.project.tables, "exposures", pc.field("day") == pc.scalar(day), "arm")
        self.findings.expect(f"{day}: exposures", in_words(of_day or {}), in_words(arms_of(landed)))

    def new_epoch(self, day: date, epoch: int, profiles: Mapping[str, int], metrics: Sequence[str]) -> None:
        """The decision of the day and its estimates are of the epoch and of exactly its profiles; the page is there.

        `metrics`: those whose numbers are known by then.
        """
        estimates, decisions, expected = self._estimates(day), self._decisions(day), in_words(profiles)
        self.findings.expect(f"{day}: blocked", str(len(self.blocked(epoch))), "0")
        self.findings.expect(f"{day}: estimates of epoch", _each(row.epoch for row in estimates), str(epoch))
        windows = counts_by(self.project.tables, "profile_windows", self._of(day), "arm")
        self.findings.expect(f"{day}: profiles in windows", in_words(windows or {}), expected)
        known = [row for row in estimates if row.segment == ALL and row.status == "ok"]
        self.findings.expect(f"{day}: metrics known", _each(row.metric for row in known), _each(metrics))
        self.findings.expect(f"{day}: profiles in them", _each(map(_profiles, known), "; "), expected)
        blocked = sum(row.status == "srm_blocked" for row in estimates)
        self.findings.expect(f"{day}: estimates srm_blocked", str(blocked), "0")
        self.findings.expect(
            f"{day}: decision of epoch", _each(row["epoch"] for row in decisions), str(epoch)
        )
        self._rests_on(f"{day}: guardrails decided on", decisions, known)
        page = readout_files(self.project.data_dir, self.experiment.id, day).page
        self.findings.expect(f"{day}: page", page.name if page.is_file() else "none", f"{day}.html")

    def _rests_on(self, step: str, decisions: Iterable[Mapping[str, Any]], known: Iterable[Estimate]) -> None:
        """The decision kept the numbers that it read."""
        effects = {(row.metric, row.arm, abs(row.effect or 0.0)) for row in known}
        read = [verdict for row in decisions for verdict in json.loads(row["inputs"])["guardrails"]]
        alike = sum((each["metric"], each["arm"], abs(each["harm"] or 0.0)) in effects for each in read)
        due = len(self.experiment.guardrails) * len(self.experiment.treatments)
        self.findings.expect(step, f"{alike} of {len(read)}", f"{due} of {due}")

    def _estimates(self, day: date) -> list[Estimate]:
        return [row_of(Estimate, row) for row in self._rows("estimates", self._of(day))]

    def _decisions(self, day: date) -> list[dict[str, Any]]:
        return self._rows("rollout_decisions", pc.field("decided_for") == pc.scalar(end_of(day)))

    def _of(self, day: date) -> pc.Expression:
        return pc.field("analysis_day") == pc.scalar(day)

    def _rows(self, table: str, where: pc.Expression | None = None) -> list[dict[str, Any]]:
        mine = pc.field("experiment_id") == self.experiment.id
        return read_rows(self.project.tables, table, mine if where is None else mine & where)


def in_words(counts: Mapping[str, int | None]) -> str:
    return ", ".join(f"{arm} {n or 0:,}" for arm, n in sorted(counts.items()))


def _place(check: SrmCheck) -> tuple[str, datetime, str, str, str]:
    return check.window_kind, check.window_end, check.unit, check.slice, check.slice_value


def _profiles(row: Estimate) -> str:
    return in_words({row.control_arm: row.n_profiles_control, row.arm: row.n_profiles_arm})


def _each(values: Iterable[object], between: str = ", ") -> str:
    return between.join(sorted({str(value) for value in values}))
