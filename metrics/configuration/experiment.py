"""One experiment's pre-registration: conf/experiments/*.yml as a frozen object (DESIGN §5)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.yaml import Section, raise_faults, read_section

N = TypeVar("N", int, float)
SEGMENT_COLUMNS = ("tenure_band", "device", "region")
ATTRIBUTES = ("tenure_days", "device", "region")
SPENDING = ("pocock", "obrien_fleming", "linear")
STANDING_SEGMENT = "tenure_band"
NEW_PROFILE_DAYS = 30


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
class Experiment:
    """What was decided before the start. The first arm is the control."""

    id: str
    owner: str
    hypothesis: str
    unit: str
    cluster: str
    randomized_by: str
    layer: str
    arms: Mapping[str, float]
    start: date
    enrollment_days: int
    strata: tuple[str, ...]
    covariates: Covariates | None
    primary: tuple[str, ...]
    secondary: tuple[str, ...]
    guardrails: Mapping[str, float]
    decision_estimator: str
    segments: tuple[str, ...]
    alpha: float
    power: float
    mde_relative: float
    spending: str
    looks: str
    stages: tuple[float, ...]
    min_days: int
    vcov: str
    spec_hash: str

    @property
    def control(self) -> str:
        return next(iter(self.arms))

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(self.arms)[1:]

    @property
    def metric_names(self) -> tuple[str, ...]:
        return self.primary + self.secondary + tuple(self.guardrails)

    @property
    def last_enrollment_day(self) -> date:
        return self.start + timedelta(days=self.enrollment_days - 1)

    @property
    def first_covariate_day(self) -> date:
        return self.start - timedelta(days=self.covariates.days if self.covariates else 0)

    @property
    def standing_segments(self) -> tuple[str, ...]:
        """The declared segmentations, and new profiles always (DESIGN §6)."""
        return tuple(dict.fromkeys((*self.segments, STANDING_SEGMENT)))

    def role(self, metric: str) -> str:
        if metric in self.primary:
            return "primary"
        return "secondary" if metric in self.secondary else "guardrail"

    def metrics(self, catalogue: Catalogue) -> tuple[Metric, ...]:
        return tuple(catalogue.metrics[name] for name in self.metric_names)

    def planned_end(self, catalogue: Catalogue) -> date:
        """The first analysis day on which the last enrolled profile has matured for every metric."""
        longest = max((metric.window or 1 for metric in self.metrics(catalogue)), default=1)
        return self.last_enrollment_day + timedelta(days=longest - 1)

    def is_running(self, analysis_day: date, catalogue: Catalogue) -> bool:
        return self.start <= analysis_day <= self.planned_end(catalogue)


def load_experiments(folder: Path, catalogue: Catalogue) -> tuple[Experiment, ...]:
    """Every experiment file of the folder, by name. Raises ConfigurationError."""
    return tuple(load_experiment(path, catalogue) for path in sorted(folder.glob("*.yml")))


def load_experiment(path: Path, catalogue: Catalogue) -> Experiment:
    """Read one experiment file. Raises ConfigurationError with every fault."""
    top = read_section(path)
    metrics = _metrics(top.section("metrics"), catalogue)
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
        layer=top.take("layer", str, path.stem),
        arms=_arms(top),
        start=top.take("start", date),
        enrollment_days=_positive(top, "enrollment_days", int, 14),
        strata=_columns(top, "strata", SEGMENT_COLUMNS),
        covariates=covariates,
        primary=metrics.primary,
        secondary=metrics.secondary,
        guardrails=metrics.guardrails,
        decision_estimator=_decision_estimator(top, covariates),
        segments=_columns(top, "segments", SEGMENT_COLUMNS),
        alpha=_share(design, "alpha", 0.05),
        power=_share(design, "power", 0.8),
        mde_relative=_positive(design, "mde_relative", float, 0.01),
        spending=sequential.choice("spending", SPENDING, "pocock"),
        looks=sequential.choice("looks", ("daily",), "daily"),
        stages=_stages(rollout),
        min_days=_positive(rollout, "min_days", int, 1),
        vcov=top.choice("vcov", ("auto", "cr1s", "cr2", "hc2"), "auto"),
        spec_hash=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )
    for section in (design, sequential, rollout, top):
        section.finish()
    raise_faults(top)
    return experiment


@dataclass(frozen=True)
class _Roles:
    primary: tuple[str, ...]
    secondary: tuple[str, ...]
    guardrails: Mapping[str, float]


def _metrics(section: Section, catalogue: Catalogue) -> _Roles:
    guardrails = section.section("guardrails", {})
    margins = {name: _margin(part) for name, part in guardrails.sections().items()}
    roles = _Roles(section.texts("primary"), section.texts("secondary", []), margins)
    section.finish()
    seen: set[str] = set()
    for name in (*roles.primary, *roles.secondary, *margins):
        if name not in catalogue.metrics:
            section.fault("", f"metric '{name}' is not in metrics.yml; add it there or correct the name")
        if name in seen:
            section.fault("", f"metric '{name}' has two roles; keep one")
        seen.add(name)
    return roles


def _margin(section: Section) -> float:
    margin = _positive(section, "margin", float)
    section.finish()
    return margin


def _covariates(top: Section, catalogue: Catalogue) -> Covariates | None:
    if "covariates" not in top.values:
        top.known.add("covariates")
        return None
    section = top.section("covariates")
    covariates = Covariates(
        days=_positive(section, "days", int, 14),
        measures=section.texts("measures", []),
        attributes=_columns(section, "attributes", ATTRIBUTES),
    )
    for name in covariates.measures:
        if name not in catalogue.measures:
            section.fault("measures", f"'{name}' is not a measure of metrics.yml; add it there")
    section.finish()
    return covariates if covariates.columns else None


def _decision_estimator(top: Section, covariates: Covariates | None) -> str:
    default = "cuped" if covariates else "difference_in_means"
    estimator: str = top.choice("decision_estimator", ("cuped", "difference_in_means", "ols"), default)
    if covariates is None and estimator != "difference_in_means":
        top.fault("decision_estimator", f"is '{estimator}' without covariates; use difference_in_means")
    return estimator


def _arms(top: Section) -> dict[str, float]:
    section = top.section("arms")
    shares = {name: _share(section, name) for name in section.values}
    for name in shares:
        section.check_name(name, name)
    if len(shares) < 2:
        top.fault("arms", f"names {len(shares)}; an experiment has a control and at least one more arm")
    elif abs(sum(shares.values()) - 1) > 1e-9:
        top.fault("arms", f"shares add up to {sum(shares.values()):.6g}; they must add up to 1")
    return shares


def _stages(rollout: Section) -> tuple[float, ...]:
    stages = tuple(rollout.take("stages", list, [1.0]))
    numbers = all(isinstance(stage, int | float) and 0 < stage <= 1 for stage in stages)
    if not stages or not numbers or list(stages) != sorted(set(stages)):
        rollout.fault("stages", f"is {list(stages)}; expected rising shares in (0, 1]")
    return stages


def _columns(section: Section, key: str, options: tuple[str, ...]) -> tuple[str, ...]:
    names = section.texts(key, [])
    for name in names:
        if name not in options:
            section.fault(key, f"'{name}' is not known at exposure; expected among {', '.join(options)}")
    return names


def _share(section: Section, key: str, default: float | None = None) -> float:
    value = section.take(key, float) if default is None else section.take(key, float, default)
    if value is not None and not 0 < value < 1:
        section.fault(key, f"is {value}; expected between 0 and 1, both excluded")
    return float(value or 0.5)


def _positive(section: Section, key: str, kind: type[N], default: N | None = None) -> N:
    value: N | None = section.take(key, kind) if default is None else section.take(key, kind, default)
    if value is not None and value <= 0:
        section.fault(key, f"is {value}; expected more than 0")
    return kind(value or 1)
