"""One experiment's pre-registration: conf/experiments/*.yml as a frozen object (DESIGN §5)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import (
    VCOVS,
    Design,
    positive,
    read_arms,
    read_decision_estimator,
    read_roles,
    share,
)
from metrics.configuration.yaml import Section, plain, raise_faults, read_section, shown
from metrics.errors import ConfigurationError
from metrics.sequential.spending import EXPECTED, known_spending

SEGMENT_COLUMNS = ("tenure_band", "device", "region")
ATTRIBUTES = ("tenure_days", "device", "region")
STANDING_SEGMENT = "tenure_band"
TENURE_BANDS = ("new", "established", "unknown")
NEW_PROFILE_DAYS = 30
BUCKETS = 10_000  # of a layer, and of the arms in it
_ROUNDING = 1e-6
_HASH = re.compile("[0-9a-f]{16}")
_FIRST_START, _LAST_START = date(2000, 1, 1), date(2199, 12, 31)


@dataclass(frozen=True)
class Covariates:
    """Pre-period covariates: sums of `measures` over `days` before the exposure day, and attributes at exposure."""

    days: int
    measures: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Their columns in profile_windows, in file order."""
        return tuple(f"pre_{measure}" for measure in self.measures) + self.attributes


@dataclass(frozen=True)
class Restart:
    """A new epoch of an experiment whose validity had failed: enrolment anew from that day on, arms drawn anew."""

    epoch: int
    valid_from: date
    reason: str


@dataclass(frozen=True)
class Amendment:
    """A change of the experiment file after the start. `was`: the spec_hash of the file before it."""

    day: date
    reason: str
    was: str


@dataclass(frozen=True)
class Experiment(Design):
    """An experiment on profiles, decided before the start: enrolment, windows, rollout beside its design.

    `targeting`: for each of these columns the values that a profile may have at its first exposure to be enrolled.
    `restart`: the one that began the epoch that is meant, None in the first, which is epoch 0; `ended`: the one that
    ended it, None in the last.
    """

    owner: str
    hypothesis: str
    unit: str
    cluster: str
    layer: str
    targeting: Mapping[str, tuple[str, ...]]
    start: date
    enrollment_days: int
    covariates: Covariates | None
    spending: str
    looks: str
    stages: tuple[float, ...]
    min_days: int
    amendments: tuple[Amendment, ...] = ()
    restart: Restart | None = None
    ended: Restart | None = None

    @property
    def epoch(self) -> int:
        return self.restart.epoch if self.restart else 0

    @property
    def spec_hashes(self) -> frozenset[str]:
        """Of the file as it is, and as it was before each amendment."""
        return frozenset({self.spec_hash, *(each.was for each in self.amendments)})

    @property
    def drawn_by(self) -> str:
        """The column of the id that is hashed: the unit's, or the cluster's where clusters are randomized."""
        return self.cluster if self.randomized_by == "cluster" else self.unit

    @property
    def opens(self) -> date:
        """The first day of the epoch's enrolment; who was exposed before belongs to an earlier epoch."""
        return self.restart.valid_from if self.restart else self.start

    @property
    def last_enrollment_day(self) -> date:
        return self.opens + timedelta(days=self.enrollment_days - 1)

    @property
    def first_covariate_day(self) -> date:
        return self.opens - timedelta(days=self.covariates.days if self.covariates else 0)

    @property
    def standing_segments(self) -> tuple[str, ...]:
        """The declared ones, and new profiles always (DESIGN §6)."""
        return tuple(dict.fromkeys((*self.segments, STANDING_SEGMENT)))

    def covariates_of(self, metric: Metric) -> tuple[str, ...]:  # noqa: ARG002 every metric uses all of them
        return self.covariates.columns if self.covariates else ()

    def planned_end(self, catalogue: Catalogue) -> date:
        """The first analysis day on which the last enrolled profile has matured for every metric."""
        longest = max((metric.window or 1 for metric in self.metrics(catalogue)), default=1)
        return self.last_enrollment_day + timedelta(days=longest - 1)

    def is_running(self, analysis_day: date, catalogue: Catalogue) -> bool:
        return self.start <= analysis_day <= self.planned_end(catalogue)


def load_experiments(folder: Path, catalogue: Catalogue) -> tuple[Experiment, ...]:
    """Every experiment file of the folder, by name. Raises ConfigurationError."""
    paths = sorted(folder.glob("*.yml"))
    experiments = tuple(load_experiment(path, catalogue) for path in paths)
    homes: dict[str, str] = {}
    for path, experiment in zip(paths, experiments, strict=True):
        home = plain(path.name)
        if (first := homes.setdefault(experiment.id, home)) != home:
            raise ConfigurationError([f"{home}: id: '{experiment.id}' is that of {first}, too; rename one"])
    return experiments


def load_experiment(path: Path, catalogue: Catalogue) -> Experiment:
    """Read one experiment file. Raises ConfigurationError with every fault."""
    top = read_section(path)
    if "source" in top.values:
        top.fault("source", "is for `watchlift analyze`; keep this file outside of experiments/")
        raise_faults(top)
    metrics = read_roles(top.section("metrics"), catalogue.metrics, "metrics.yml")
    covariates = _covariates(top, catalogue)
    design = top.section("design", {})
    sequential = top.section("sequential", {})
    rollout = top.section("rollout", {})
    experiment = Experiment(
        id=top.name("id"),
        owner=top.take("owner", str, ""),
        hypothesis=top.take("hypothesis", str, ""),
        unit=top.choice("unit", ("profile_id",), "profile_id"),
        cluster=top.choice("cluster", ("household_id",), "household_id"),
        randomized_by=top.choice("randomized_by", ("unit", "cluster", "none"), "unit"),
        layer=top.name("layer", path.stem),
        targeting=_targeting(top),
        arms=read_arms(top),
        start=_start(top),
        enrollment_days=top.days("enrollment_days", 14),
        strata=_columns(top, "strata", SEGMENT_COLUMNS),
        covariates=covariates,
        primary=metrics.primary,
        secondary=metrics.secondary,
        guardrails=metrics.guardrails,
        decision_estimator=read_decision_estimator(top, covariates is not None),
        segments=_columns(top, "segments", SEGMENT_COLUMNS),
        alpha=share(design, "alpha", 0.05),
        power=share(design, "power", 0.8),
        mde_relative=positive(design, "mde_relative", 0.01),
        spending=_spending(sequential),
        looks=sequential.choice("looks", ("daily",), "daily"),
        stages=_stages(rollout),
        min_days=rollout.days("min_days", 1),
        amendments=_amendments(top),
        vcov=top.choice("vcov", VCOVS, "auto"),
        spec_hash=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )
    for section in (design, sequential, rollout, top):
        section.finish()
    raise_faults(top)
    return experiment


def _covariates(top: Section, catalogue: Catalogue) -> Covariates | None:
    if "covariates" not in top.values:
        top.known.add("covariates")
        return None
    section = top.section("covariates")
    covariates = Covariates(
        days=section.days("days", 14),
        measures=section.texts("measures", []),
        attributes=_columns(section, "attributes", ATTRIBUTES),
    )
    for name in covariates.measures:
        if name not in catalogue.measures:
            section.fault("measures", f"{shown(name)} is not a measure of metrics.yml; add it there")
        elif name in catalogue.histograms:
            section.fault(
                "measures", f"'{name}' is a histogram; a covariate needs a measure that is a number"
            )
    section.finish()
    return covariates if covariates.columns else None


def _targeting(top: Section) -> dict[str, tuple[str, ...]]:
    section = top.section("targeting", {})
    targeting = {name: section.texts(name) for name in SEGMENT_COLUMNS if name in section.values}
    section.known.update(SEGMENT_COLUMNS)
    section.finish()
    for name, values in targeting.items():
        if not values:
            section.fault(name, "lists nothing, so nobody could be enrolled; list values, or take it out")
        for value in values if name == STANDING_SEGMENT else ():
            if value not in TENURE_BANDS:
                section.fault(name, f"lists {shown(value)}; expected among {', '.join(TENURE_BANDS)}")
    return targeting


def _start(top: Section) -> date:
    start: date | None = top.take("start", date)
    if start and not _FIRST_START <= start <= _LAST_START:
        top.fault("start", f"is {start}; expected a day from {_FIRST_START} to {_LAST_START}")
        start = None
    return start or _FIRST_START


def _spending(sequential: Section) -> str:
    name: str = sequential.take("spending", str, "pocock")
    if known_spending(name) is None:
        sequential.fault("spending", f"is {shown(name)}; expected one of {EXPECTED}")
    return name


def _stages(rollout: Section) -> tuple[float, ...]:
    stages = tuple(rollout.take("stages", list, [1.0]))
    numbers = all(type(stage) in (int, float) and 0 < stage <= 1 for stage in stages)
    if not stages or not numbers or list(stages) != sorted(set(stages)):
        rollout.fault("stages", f"is {shown(list(stages))}; expected rising shares in (0, 1]")
    elif any(abs(stage * BUCKETS - round(stage * BUCKETS)) > _ROUNDING for stage in stages):
        rollout.fault(
            "stages",
            f"is {shown(list(stages))}; give shares to four decimals, a layer has {BUCKETS:,} buckets",
        )
    return stages


def _amendments(top: Section) -> tuple[Amendment, ...]:
    found: list[Amendment] = []
    for each in top.items("amendments"):
        day, reason, was = each.take("date", date), each.text("reason"), each.text("was")
        if was and not _HASH.fullmatch(was):
            each.fault(
                "was", f"is {shown(was)}; give the file's hash before the change, as the refusal names it"
            )
        if day and found and day < found[-1].day:
            each.fault("date", f"is {day}, before the amendment above it; list them in order")
        each.finish()
        if day:
            found.append(Amendment(day, reason, was))
    return tuple(found)


def _columns(section: Section, key: str, options: tuple[str, ...]) -> tuple[str, ...]:
    names = section.texts(key, [])
    for name in names:
        if name not in options:
            section.fault(key, f"{shown(name)} is not known at exposure; expected among {', '.join(options)}")
    return names
