"""What the statistics need to know of an experiment, however its rows come: arms, roles, levels, strata, segments."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.yaml import Section, shown

VCOVS = ("auto", "cr1s", "cr2", "hc2")


@dataclass(frozen=True)
class Design:
    """What is compared, and how. The first arm is the control; a guardrail's number is its margin."""

    id: str
    randomized_by: str
    arms: Mapping[str, float]
    strata: tuple[str, ...]
    primary: tuple[str, ...]
    secondary: tuple[str, ...]
    guardrails: Mapping[str, float]
    decision_estimator: str
    segments: tuple[str, ...]
    alpha: float
    power: float
    mde_relative: float
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
    def standing_segments(self) -> tuple[str, ...]:
        """The segmentations to estimate."""
        return self.segments

    def role(self, metric: str) -> str:
        if metric in self.primary:
            return "primary"
        return "secondary" if metric in self.secondary else "guardrail"

    def metrics(self, catalogue: Catalogue) -> tuple[Metric, ...]:
        return tuple(catalogue.metrics[name] for name in self.metric_names)

    def covariates_of(self, metric: Metric) -> tuple[str, ...]:
        """The columns that adjust a metric, in file order."""
        return metric.covariates


@dataclass(frozen=True)
class Roles:
    primary: tuple[str, ...]
    secondary: tuple[str, ...]
    guardrails: Mapping[str, float]


def read_roles(section: Section, known: Container[str], home: str) -> Roles:
    """Which metric plays which part. `known` are the metrics there are, in the file or block `home`."""
    guardrails = section.section("guardrails", {})
    margins = {name: _margin(part) for name, part in guardrails.sections().items()}
    roles = Roles(section.texts("primary"), section.texts("secondary", []), margins)
    section.finish()
    seen: set[str] = set()
    for name in (*roles.primary, *roles.secondary, *margins):
        if name not in known:
            section.fault("", f"metric {shown(name)} is not in {home}; add it there or correct the name")
        if name in seen:
            section.fault("", f"metric {shown(name)} has two roles; keep one")
        seen.add(name)
    return roles


def _margin(section: Section) -> float:
    margin = positive(section, "margin")
    section.finish()
    return margin


def read_arms(top: Section, names_are_data: bool = False) -> dict[str, float]:
    """Planned shares by arm. An arm's name is part of SQL and of folders unless it only stands in a user's file."""
    section = top.section("arms")
    shares = {name: share(section, name) for name in section.values}
    for name in shares:
        if not names_are_data:
            section.check_name(name, name)
        elif not name.strip():
            section.fault("", "has an arm without a name; give it one")
    if len(shares) < 2:
        top.fault("arms", f"names {len(shares)}; an experiment has a control and at least one more arm")
    elif abs(sum(shares.values()) - 1) > 1e-9:
        top.fault("arms", f"shares add up to {sum(shares.values()):.6g}; they must add up to 1")
    return shares


def read_decision_estimator(top: Section, has_covariates: bool) -> str:
    default = "cuped" if has_covariates else "difference_in_means"
    estimator: str = top.choice("decision_estimator", ("cuped", "difference_in_means", "ols"), default)
    if not has_covariates and estimator != "difference_in_means":
        top.fault("decision_estimator", f"is '{estimator}' without covariates; use difference_in_means")
    return estimator


def share(section: Section, key: str, default: float | None = None) -> float:
    value = section.take(key, float) if default is None else section.take(key, float, default)
    if value is not None and not 0 < value < 1:
        section.fault(key, f"is {value}; expected between 0 and 1, both excluded")
    return float(value or 0.5)


def positive(section: Section, key: str, default: float | None = None) -> float:
    value = section.take(key, float) if default is None else section.take(key, float, default)
    if value is not None and value <= 0:
        section.fault(key, f"is {value}; expected more than 0")
    return float(value or 1)
