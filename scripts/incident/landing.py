"""The landing files of the incident: who is exposed when and in which arm, what the log lost of it, and a few plays.

Arms are drawn by the bucketing of every service, in each epoch by its own salt. What went wrong is the log: it lost
exposures of the treatment on one device, so that 51.3% of those that are left there are the control's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metrics.bucketing import arm_of, arm_salt, bucket
from metrics.configuration.experiment import Experiment, Restart

BROKEN_DEVICE, CONTROL_SHARE = "android_webview", 0.513
DEVICES = {BROKEN_DEVICE: 0.15, "android": 0.30, "ios": 0.25, "tv": 0.20, "web": 0.10}
REGIONS = ("eu", "latam", "us")
# Of the service's day (UTC) only these have anybody awake: every hour is a run of a DAG.
HOURS = range(12, 24)
# Relative to the exposures of the first day: profiles that the new epoch finds unexposed, and exposed.
ANEW, AGAIN = 0.25, 0.05
VISITS = 6_000  # a day; the incident is about exposures
START_FAILURES, CRASHES = 0.02, 0.005
_LAST_SECONDS = 180  # of a day, in which a visit would not end
_TENURE_DAYS = 1_000


@dataclass(frozen=True)
class Incident:
    """`first`: what was logged on the experiment's first day; `lost`: how many exposures were not; `second`: the first
    day of the new epoch, all of it logged.
    """

    people: pd.DataFrame
    first: pd.DataFrame
    lost: int
    second: pd.DataFrame

    @property
    def expected(self) -> dict[str, int]:
        """Profiles of the new epoch by arm."""
        return newly_exposed(self.second, self.first)


def incident(experiment: Experiment, restart: Restart, exposures: int, rng: np.random.Generator) -> Incident:
    """`exposures` of the first day, and ANEW and AGAIN as many on the day of the restart."""
    anew, again = round(exposures * ANEW), round(exposures * AGAIN)
    people = population(exposures + anew, experiment.start, rng)
    order = rng.permutation(len(people))
    happened = exposed(people.iloc[order[:exposures]], experiment, rng)
    first = logged(happened, experiment, rng)
    known = people["profile_id"].isin(first["profile_id"].sample(again, random_state=rng))
    back = pd.concat([people.iloc[order[exposures:]], people[known]])
    second = exposed(back, replace(experiment, restart=restart), rng)
    return Incident(people, first, len(happened) - len(first), second)


def population(size: int, before: date, rng: np.random.Generator) -> pd.DataFrame:
    """Two profiles a household; all signed up before that day."""
    profile_id = np.arange(size)
    signed_up = pd.Timestamp(before) - pd.to_timedelta(rng.integers(2, _TENURE_DAYS, size), unit="D")
    return pd.DataFrame(
        {
            "profile_id": profile_id,
            "household_id": profile_id // 2,
            "signup_day": signed_up.strftime("%Y-%m-%d"),
            "region": rng.choice(REGIONS, size),
            "device": rng.choice(list(DEVICES), size, p=list(DEVICES.values())),
            "plan": "basic",
        }
    )


def exposed(people: pd.DataFrame, experiment: Experiment, rng: np.random.Generator) -> pd.DataFrame:
    """A row for each of the people, once on the day on which the epoch opens, in order of time."""
    salt = arm_salt(experiment.id, experiment.epoch)
    unit = people[experiment.drawn_by]
    rows = people[["profile_id", "household_id", "device", "region"]].assign(
        experiment_id=experiment.id,
        exposed_at=moments(experiment.opens, len(people), rng),
        arm=[arm_of(bucket(salt, int(unit_id)), experiment.arms) for unit_id in unit],
        assignment_version=str(experiment.epoch + 1),
    )
    return rows.sort_values(["exposed_at", "profile_id"], ignore_index=True)


def logged(happened: pd.DataFrame, experiment: Experiment, rng: np.random.Generator) -> pd.DataFrame:
    """What the log keeps: on the broken device only as many of the treatment as make the control's share, by chance."""
    here = happened[happened["device"] == BROKEN_DEVICE]
    treated = here[here["arm"] != experiment.control]
    kept = round((len(here) - len(treated)) * (1 - CONTROL_SHARE) / CONTROL_SHARE)
    lost = treated.sample(max(0, len(treated) - kept), random_state=rng)
    return happened.drop(lost.index).reset_index(drop=True)


def newly_exposed(exposures: pd.DataFrame, before: pd.DataFrame) -> dict[str, int]:
    """Profiles by arm that were first exposed in `exposures` (in order of time), and not before."""
    first = exposures.drop_duplicates("profile_id")
    return arms_of(first[~first["profile_id"].isin(before["profile_id"])])


def arms_of(exposures: pd.DataFrame) -> dict[str, int]:
    return {str(arm): int(n) for arm, n in exposures["arm"].value_counts().sort_index().items()}


def up_to(exposures: pd.DataFrame, hour: int) -> pd.DataFrame:
    """Of a day's exposures those until the end of the hour."""
    return exposures[exposures["exposed_at"].dt.hour <= hour]


def visits(people: pd.DataFrame, day: date, rng: np.random.Generator) -> pd.DataFrame:
    """A few of the people, each once on the day."""
    some = people.sample(min(VISITS, len(people)), random_state=rng)
    return some.assign(visited_at=moments(day, len(some), rng))


def visits_of(exposures: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The visits in which a few of the exposures happened: what is measured on a first day is from the exposure on."""
    some = exposures.sample(min(VISITS, len(exposures)), random_state=rng)
    return some.rename(columns={"exposed_at": "visited_at"})


def plays(visited: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The events of one play in each visit; a few do not start, a few crash. In order of time."""
    sessions = visited.assign(
        session_id=[f"{day}-{n}" for n, day in enumerate(visited["visited_at"].dt.date)],
        title_id=rng.integers(0, 1_000, len(visited)),
    )
    starts = rng.random(len(sessions)) >= START_FAILURES
    started, failed = sessions[starts], sessions[~starts]
    crashed = sessions[rng.random(len(sessions)) < CRASHES]
    watched = {
        "watch_ms": rng.lognormal(13, 0.8, len(started)).round(),
        "rebuffer_ms": rng.exponential(8_000, len(started)).round(),
    }
    events = pd.concat(
        [
            events_of(sessions, "session_start", 1),
            events_of(sessions, "play_attempt", 20),
            events_of(started, "play_start", 22, {"latency_ms": rng.integers(300, 3_000, len(started))}),
            events_of(failed, "play_failure", 22),
            events_of(started, "playback", 120, watched),
            events_of(crashed, "crash", 150),
        ]
    ).sort_values(["ts", "session_id"], ignore_index=True)
    return events.assign(event_id=events["session_id"] + "-" + events["event_type"])


def land(rows: pd.DataFrame, moment: str, source: str, data_dir: Path, hours: Iterable[int] = HOURS) -> None:
    """Write those hours of a day, which is the ingest day, too; hours without rows have no file."""
    wanted = rows[rows[moment].dt.hour.isin(list(hours))]
    for (day, hour), of_hour in wanted.groupby([wanted[moment].dt.date, wanted[moment].dt.hour]):
        folder = data_dir / "landing" / source / f"ingest_day={day}" / f"hour={hour:02d}"
        land_rows(of_hour, folder / "part-0.json.gz")


def land_snapshot(people: pd.DataFrame, data_dir: Path, day: date) -> None:
    land_rows(people, data_dir / "landing" / "profiles" / f"ingest_day={day}" / "part-0.json.gz")


def moments(day: date, n: int, rng: np.random.Generator) -> pd.DatetimeIndex:
    first, last = HOURS.start * 3_600_000, (HOURS.stop * 3_600 - _LAST_SECONDS) * 1_000
    midnight = pd.Timestamp(day, tz="UTC")
    return pd.DatetimeIndex(midnight + pd.to_timedelta(rng.integers(first, last, n), unit="ms"))


def events_of(
    sessions: pd.DataFrame, kind: str, after_seconds: int, numbers: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """`numbers`: further columns, whole numbers that other kinds lack."""
    shared = sessions[["profile_id", "household_id", "session_id", "title_id", "device", "region"]]
    ts = sessions["visited_at"] + pd.Timedelta(seconds=after_seconds)
    whole = {name: pd.array(values, dtype="Int64") for name, values in (numbers or {}).items()}
    return shared.assign(ts=ts, event_type=kind, **whole)


def land_rows(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    gzip = {"method": "gzip", "compresslevel": 1}
    rows.to_json(path, orient="records", lines=True, date_format="iso", date_unit="ms", compression=gzip)
