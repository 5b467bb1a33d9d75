"""A file of units: one row each, with its arm, outcomes and covariates, instead of events (DESIGN §5, `source`)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metrics.configuration.catalogue import Catalogue, Metric, read_quantile, read_winsorize
from metrics.configuration.design import (
    VCOVS,
    Design,
    Roles,
    positive,
    read_arms,
    read_decision_estimator,
    read_roles,
    share,
)
from metrics.configuration.yaml import Section, plain, raise_faults, read_section, shown

FORMATS = ("csv", "parquet", "delta")
KINDS = ("mean", "ratio", "proportion", "retention", "quantile")
# Columns that the rows have whatever the file holds.
_FIXED = ("profile_id", "household_id", "profile", "household", "bucket", "arm", "stratum")
# Keys of an experiment on profiles that say nothing about a file which is already there.
_ELSEWHERE = ("owner", "hypothesis", "layer", "start", "enrollment_days", "sequential", "rollout")


@dataclass(frozen=True)
class UnitFile:
    """Where the rows are and what their columns mean. `outcomes`: raw column by outcome column of the metrics."""

    path: str
    format: str
    unit: str
    cluster: str | None
    arm: str
    outcomes: Mapping[str, str]

    def columns(self, design: Design, catalogue: Catalogue) -> tuple[str, ...]:
        """Every raw column that an analysis reads, each once."""
        covariates = (raw_name(name) for metric in design.metrics(catalogue) for name in metric.covariates)
        ids = (self.unit, *((self.cluster,) if self.cluster else ()), self.arm)
        return tuple(
            dict.fromkeys((*ids, *self.outcomes.values(), *design.strata, *design.segments, *covariates))
        )


@dataclass(frozen=True)
class UnitExperiment:
    design: Design
    catalogue: Catalogue
    file: UnitFile


def covariate_name(raw: str) -> str:
    """A covariate's column beside the outcomes, which may have any name: as pre-period measures have theirs."""
    return f"pre_{raw}"


def raw_name(covariate: str) -> str:
    return covariate.removeprefix("pre_")


def load_unit_experiment(path: Path) -> UnitExperiment:
    """Read one specification with a `source`. Raises ConfigurationError with every fault."""
    top = read_section(path)
    top.known.update(_ELSEWHERE)
    source = top.section("source")
    metrics, outcomes = _columns(source.section("columns"))
    roles = _roles(top, metrics)
    has_covariates = any(metric.covariates for metric in metrics.values())
    design_block = top.section("design", {})
    file = _file(source, path.parent, outcomes)
    vcov = top.choice("vcov", VCOVS, "auto")
    design = Design(
        id=top.name("id", path.stem),
        randomized_by=top.choice("randomized_by", ("unit", "cluster", "none"), "unit"),
        arms=read_arms(top, names_are_data=True),
        strata=top.texts("strata", []),
        primary=roles.primary,
        secondary=roles.secondary,
        guardrails=roles.guardrails,
        decision_estimator=read_decision_estimator(top, has_covariates),
        segments=top.texts("segments", []),
        alpha=share(design_block, "alpha", 0.05),
        power=share(design_block, "power", 0.8),
        mde_relative=positive(design_block, "mde_relative", 0.01),
        # Without clusters each unit is its own, whose exact correction is HC2.
        vcov="hc2" if vcov == "auto" and not file.cluster else vcov,
        spec_hash=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )
    if design.randomized_by == "cluster" and not file.cluster:
        top.fault("randomized_by", "is 'cluster' and source.cluster is not given; name the cluster's column")
    _refuse_collisions(top, design, metrics.values())
    for section in (design_block, source, top):
        section.finish()
    raise_faults(top)
    return UnitExperiment(design, Catalogue({}, metrics), file)


def _refuse_collisions(top: Section, design: Design, metrics: Iterable[Metric]) -> None:
    """Columns of different meaning must not share a name; SQL does not tell upper case from lower."""
    texts = dict.fromkeys((*design.strata, *design.segments))
    taken = dict.fromkeys(_FIXED, "a column of its own")
    if design.strata == ("stratum",) or "stratum" not in texts:
        texts.pop("stratum", None)
    covariates = dict.fromkeys(name for metric in metrics for name in metric.covariates)
    home = "source.columns"
    named = [
        *(
            (name, "a segment or stratum", "strata" if name in design.strata else "segments")
            for name in texts
        ),
        *((name, f"the covariate {plain(raw_name(name))}", home) for name in covariates),
        *(
            (name, f"metric {plain(metric.name)}", f"{home}.{metric.name}")
            for metric in metrics
            for name in metric.outcome_columns
        ),
    ]
    for name, meaning, key in named:
        if other := taken.get(name.lower()):
            remedy = (
                "rename the metric, and give its `column`" if "metric" in meaning else "rename the column"
            )
            top.fault(key, f"{shown(name)} is both {other} and {meaning}; {remedy}")
        taken[name.lower()] = meaning


def _file(source: Section, folder: Path, outcomes: Mapping[str, str]) -> UnitFile:
    where = source.place("path", {})
    path = where if "://" in where else str(folder / where)
    return UnitFile(
        path=path,
        format=source.choice("format", FORMATS, _guessed_format(path)),
        unit=source.text("unit"),
        cluster=source.text("cluster", None) or None,
        arm=source.text("arm"),
        outcomes=outcomes,
    )


def _guessed_format(path: str) -> str:
    if (Path(path) / "_delta_log").is_dir():
        return "delta"
    return "csv" if any(suffix in (".csv", ".tsv") for suffix in Path(path).suffixes) else "parquet"


def _columns(section: Section) -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics by name, and the raw column of each of their outcome columns."""
    metrics: dict[str, Metric] = {}
    outcomes: dict[str, str] = {}
    for name, part in section.sections().items():
        section.check_name(name, name)
        if "." in name:
            section.fault(
                name, "has a dot, which SQL reads as a field; write an underscore, and give its `column`"
            )
        metric = _metric(name, part)
        keys = ("numerator", "denominator") if metric.kind == "ratio" else ("column",)
        raw = [part.text(key) if key != "column" else part.text(key, name) for key in keys]
        outcomes.update(zip(metric.outcome_columns, raw, strict=True))
        metrics[name] = metric
        part.finish()
    if not metrics:
        section.fault("", "names no column; give at least one outcome")
    return metrics, outcomes


def _metric(name: str, section: Section) -> Metric:
    kind = section.choice("kind", KINDS)
    return Metric(
        name=name,
        kind=kind,
        measure=None,
        numerator=None,
        denominator=None,
        window=None,
        winsorize=read_winsorize(section),
        unit=section.take("unit", str, ""),
        better=section.choice("better", ("higher", "lower"), "higher"),
        description=section.take("description", str, ""),
        owner=section.take("owner", str, ""),
        covariates=tuple(map(covariate_name, section.texts("covariates", []))),
        quantile=read_quantile(section) if kind == "quantile" else None,
    )


def _roles(top: Section, metrics: Mapping[str, Metric]) -> Roles:
    """As declared; a column that no role names is a secondary metric."""
    block = top.section("metrics", {})
    block.values.setdefault("primary", [])
    roles = read_roles(block, metrics, "source.columns")
    named = {*roles.primary, *roles.secondary, *roles.guardrails}
    others = [name for name in metrics if name not in named]
    return Roles(roles.primary, (*roles.secondary, *others), roles.guardrails)
