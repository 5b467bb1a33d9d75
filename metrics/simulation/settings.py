"""What a simulation is asked for, and the numbers that describe the service's habits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from metrics.errors import InputError

EPOCH = date(1970, 1, 1)
DAY_MS = 86_400_000
DEVICES = {"tv": 0.40, "ios": 0.20, "android": 0.18, "android_webview": 0.10, "web": 0.12}
REGIONS = {"na": 0.40, "eu": 0.30, "latam": 0.15, "apac": 0.15}
PLANS = {"basic": 0.45, "standard": 0.35, "premium": 0.20}
ACTIVITY = {"tv": 1.15, "ios": 0.95, "android": 0.90, "android_webview": 0.85, "web": 0.95}
START_FAILURES = {"tv": 0.015, "ios": 0.017, "android": 0.022, "android_webview": 0.036, "web": 0.024}
REBUFFERING = {"tv": 0.008, "ios": 0.010, "android": 0.011, "android_webview": 0.015, "web": 0.010}
CRASHES = {"tv": 0.004, "ios": 0.004, "android": 0.006, "android_webview": 0.009, "web": 0.005}
LATENCY_MS = {"tv": 650.0, "ios": 380.0, "android": 480.0, "android_webview": 820.0, "web": 520.0}
START_DELAY_MS = {"tv": 1900.0, "ios": 900.0, "android": 1200.0, "android_webview": 2100.0, "web": 1100.0}
HOURS_AHEAD_OF_UTC = {"na": -6.0, "eu": 1.0, "latam": -4.0, "apac": 8.0}
# Relative activity by local hour, and by weekday from Monday.
HOURS = (3, 2, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 7, 7, 6, 6, 7, 9, 12, 16, 19, 18, 13, 7)
WEEKDAYS = (0.90, 0.88, 0.90, 0.94, 1.06, 1.20, 1.12)
# Households in the order of their profiles: 20 profiles, 9 households of 1 to 5.
HOUSEHOLD_SIZES = (1, 2, 1, 3, 2, 4, 1, 5, 1)

HOUSEHOLD_SIGMA = 0.55
PROFILE_SIGMA = 0.70
WEEK_SIGMA = 0.20
DORMANT_SHARE = 0.10
DORMANT_FACTOR = 0.05
SIGNUP_SPAN_DAYS = 1500
PLAYS_PER_SESSION = 0.82
MAIN_DEVICE_SHARE = 0.85
HOMEPAGE_SHARE = 0.70
SEARCH_SHARE = 0.35
TITLE_PAGE_SHARE = 0.60
TITLES = 8000
BEAT_MS = 600_000
BOT_SESSIONS_PER_DAY = 60.0
NOVELTY_DAYS = 60.0
EVENT_FAULTS = ("duplicates", "late", "broken", "null_keys", "clock_skew")
HARMABLE = ("start_failure_rate", "rebuffering_ratio", "crash_rate")


@dataclass(frozen=True)
class Effects:
    """What every treatment arm does from a profile's exposure on, relative to its own control draw.

    `lift` and `new_lift` are relative changes in play attempts (established profiles, and those under 30 days at
    exposure), fading as exp(−days/60); `harm` are absolute changes of the rates in HARMABLE.
    """

    lift: float = 0.04
    new_lift: float = 0.10
    harm: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.harm:
            if name not in HARMABLE:
                raise InputError(f"harm on '{name}' cannot be simulated; choose among {', '.join(HARMABLE)}")
        for value in (self.lift, self.new_lift):
            if not -1 < value <= 4:
                raise InputError(f"effect {value} is out of range; give a relative lift above -1 and up to 4")

    @property
    def largest_lift(self) -> float:
        return max(self.lift, self.new_lift, 0.0)


@dataclass(frozen=True)
class Faults:
    """Shares between 0 and 1. They act on what is delivered; the truth knows nothing of them.

    `crossovers`: of enrolled profiles, seen in a second arm. `bots`: extra profiles of inhuman volume, per
    profile. `srm_share`: the control's share on `srm_device`, by exposures of one side that get lost. The others
    are shares of events.
    """

    duplicates: float = 0.0
    late: float = 0.0
    broken: float = 0.0
    null_keys: float = 0.0
    clock_skew: float = 0.0
    crossovers: float = 0.0
    bots: float = 0.0
    srm_device: str | None = None
    srm_share: float = 0.513

    def __post_init__(self) -> None:
        for name in (*EVENT_FAULTS, "crossovers", "bots"):
            if not 0 <= getattr(self, name) <= 1:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is {getattr(self, name)}; give a share from 0 to 1")
        if sum(self.of_events.values()) > 1:
            names = ", ".join(EVENT_FAULTS)
            raise InputError(
                f"{names} add up to {sum(self.of_events.values()):g}; give at most 1: one fault an event"
            )
        if self.srm_device is not None and self.srm_device not in DEVICES:
            raise InputError(f"--srm-device is '{self.srm_device}'; choose among {', '.join(DEVICES)}")
        if not 0 < self.srm_share < 1:
            raise InputError(f"--srm-share is {self.srm_share}; give a share between 0 and 1")

    @property
    def of_events(self) -> dict[str, float]:
        """The shares of events with each fault, in the order of EVENT_FAULTS."""
        return {name: getattr(self, name) for name in EVENT_FAULTS}


@dataclass(frozen=True)
class Settings:
    """One simulation. `exposed_share` is the share of the layer's buckets that is enrolled."""

    profiles: int
    first_day: date
    days: int
    seed: int = 1
    exposed_share: float = 0.5
    sessions_per_day: float = 0.8
    effects: Effects = Effects()
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        if self.profiles < 1 or self.days < 1:
            raise InputError(
                f"{self.profiles} profiles over {self.days} days is empty; give at least 1 of each"
            )
        if not 0 < self.exposed_share <= 1:
            raise InputError(f"--exposed-share is {self.exposed_share}; give a share above 0 and up to 1")
        if self.sessions_per_day <= 0:
            raise InputError(f"--sessions-per-day is {self.sessions_per_day}; give a number above 0")

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=self.days - 1)

    @property
    def expected_events(self) -> float:
        """About ten a session, fewer for profiles who sign up on the way: for sizing files and tasks."""
        return self.profiles * self.days * self.sessions_per_day * 10

    @property
    def bots(self) -> int:
        return round(self.profiles * self.faults.bots)


def epoch_day(day: date) -> int:
    """Days since 1970-01-01, the number behind a DATE."""
    return (day - EPOCH).days
