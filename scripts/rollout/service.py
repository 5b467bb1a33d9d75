"""The service of the replay: who visits, who is exposed by the allocations in force, and what they play.

Three experiments in layers of their own: one lifts plays, one harms rebuffering by twice its margin, one does nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from metrics.assignment import Allocation
from scripts.incident.landing import events_of, land, moments, population

LIFTS, HARMS, NULL = "lifts", "harms", "does_nothing"
VISITS_ON = 0.5  # of all profiles on each day
START_FAILURES, CRASHES = 0.02, 0.005
REBUFFERING = 0.02  # of the time watched
MARGINS = {"start_failure_rate": 0.01, "rebuffering_ratio": 0.004, "crash_rate": 0.01}
LIFT = 0.1  # in plays, relative
START, ENROLLMENT_DAYS, COVARIATE_DAYS = date(2026, 3, 2), 4, 7
HARMS_FROM = date(2026, 3, 3)  # a release of that day, at the stage of 5%
FILE = """\
id: {name}
owner: discovery
hypothesis: {hypothesis}
layer: {name}
arms: {{control: 0.5, treatment: 0.5}}
start: {start}
enrollment_days: {enrollment_days}
covariates: {{days: {covariate_days}, measures: [play_starts, watch_minutes], attributes: [tenure_days]}}
metrics:
  primary: [play_starts_7d]
  guardrails: {{{margins}}}
design: {{alpha: 0.05, power: 0.8, mde_relative: 0.05}}
sequential: {{spending: pocock, looks: daily}}
rollout: {{stages: [0.01, 0.05, 0.2, 0.5], min_days: 1}}
"""
HYPOTHESES = {
    LIFTS: "A re-ranked homepage makes profiles start more titles.",
    HARMS: "A new player starts as fast, and rebuffers no more.",
    NULL: "Another shade of blue makes profiles start more titles.",
}


@dataclass
class Service:
    """Its people with their buckets, and its chance."""

    people: pd.DataFrame
    data_dir: Path
    rng: np.random.Generator

    @staticmethod
    def of(size: int, data_dir: Path, seed: int) -> "Service":
        rng = np.random.default_rng(seed)
        return Service(population(size, START, rng), data_dir, rng)

    def live(self, day: date, allocations: Mapping[str, Allocation]) -> None:
        """Land a day: visits, exposures to the experiments that are open, and what was played under them."""
        visitors = self.people.sample(frac=VISITS_ON, random_state=self.rng)
        visits = visitors.assign(visited_at=moments(day, len(visitors), self.rng))
        arms = {name: self._arms(visits, allocation) for name, allocation in allocations.items()}
        exposed = [self._exposures(visits, name, arm) for name, arm in arms.items()]
        if exposed:
            land(pd.concat(exposed).sort_values("exposed_at"), "exposed_at", "exposures", self.data_dir)
        treated = {name: (arm == "treatment").to_numpy() for name, arm in arms.items()}
        if day < HARMS_FROM:
            treated.pop(HARMS, None)
        land(self.plays(visits, treated), "ts", "events", self.data_dir)

    def late(self, day: date, n: int) -> pd.DataFrame:
        """Visits of a day whose events come with a later upload."""
        visitors = self.people.sample(n, random_state=self.rng)
        visits = visitors.assign(visited_at=moments(day, n, self.rng))
        return self.plays(visits, {}, "late")

    def plays(self, visits: pd.DataFrame, treated: Mapping[str, np.ndarray], kind: str = "") -> pd.DataFrame:
        """Their events, in order of time."""
        sessions = visits.assign(
            session_id=[f"{at:%Y-%m-%d}-{kind}{n}" for n, at in enumerate(visits["visited_at"])],
            title_id=self.rng.integers(0, 1_000, len(visits)),
        )
        starts = self.rng.random(len(sessions)) >= START_FAILURES
        crashes = self.rng.random(len(sessions)) < CRASHES
        again = self.rng.random(len(sessions)) < LIFT * treated.get(LIFTS, np.zeros(len(sessions)))
        share = REBUFFERING * self.rng.gamma(2.0, 0.5, len(sessions))
        share = share + 2 * MARGINS["rebuffering_ratio"] * treated.get(HARMS, np.zeros(len(sessions)))
        watched = self.rng.lognormal(13, 0.8, len(sessions)).round()
        playback = {"watch_ms": watched[starts], "rebuffer_ms": (watched * share).round()[starts]}
        latency = {"latency_ms": self.rng.integers(300, 3_000, int(starts.sum()))}
        events = [
            events_of(sessions, "session_start", 1),
            events_of(sessions, "play_attempt", 20),
            events_of(sessions[starts], "play_start", 22, latency),
            events_of(sessions[~starts], "play_failure", 22),
            events_of(sessions[starts], "playback", 120, playback),
            events_of(sessions[again], "play_attempt", 130),
            events_of(sessions[again], "play_start", 132),
            events_of(sessions[crashes], "crash", 150),
        ]
        found = pd.concat(events).sort_values(["ts", "session_id"], ignore_index=True)
        number = found.groupby(["session_id", "event_type"]).cumcount().astype(str)
        return found.assign(event_id=found["session_id"] + "-" + found["event_type"] + "-" + number)

    def _arms(self, visits: pd.DataFrame, allocation: Allocation) -> pd.Series:
        return visits["profile_id"].map(lambda profile: allocation.arm_of(int(profile)))

    def _exposures(self, visits: pd.DataFrame, name: str, arm: pd.Series) -> pd.DataFrame:
        inside = visits[arm.notna()]
        rows = inside[["profile_id", "household_id", "device", "region"]]
        return rows.assign(
            experiment_id=name,
            exposed_at=inside["visited_at"],
            arm=arm[arm.notna()],
            assignment_version="1",
        )


def write_experiments(folder: Path) -> None:
    """The three experiment files."""
    folder.mkdir(parents=True)
    margins = ", ".join(f"{name}: {{margin: {margin}}}" for name, margin in MARGINS.items())
    for name, hypothesis in HYPOTHESES.items():
        text = FILE.format(
            name=name,
            hypothesis=hypothesis,
            start=START,
            enrollment_days=ENROLLMENT_DAYS,
            covariate_days=COVARIATE_DAYS,
            margins=margins,
        )
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
