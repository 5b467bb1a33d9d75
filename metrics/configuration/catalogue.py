"""The metric catalogue: conf/metrics.yml as frozen objects (DESIGN §5). Adding a metric touches no code."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from metrics.configuration.yaml import Section, raise_faults, read_section, shown

MEASURE_KINDS = ("sum", "any", "histogram")
METRIC_KINDS = ("mean", "ratio", "proportion", "retention", "quantile")
# Fixed columns beside which measures and outcomes stand (metrics/schemas.py).
RESERVED = {
    *("day", "experiment_id", "epoch", "analysis_day", "profile_id", "household_id", "arm", "stratum"),
    *("tenure_band", "device", "region", "exposed_at", "exposure_day", "tenure_days", "n_arms"),
}
# What a metric's numbers follow from, beside its measures; not its owner, its unit or what is said of it.
_DEFINING = ("kind", "numerator", "denominator", "window", "winsorize", "day", "quantile", "of_events")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True)
class Measure:
    """A number per profile and day: an aggregate in SQL over the canonical event columns.

    `sum` adds over days; `any` is 1 on a day where the condition held and 1 over days if it held on one. A `histogram`
    holds the values of single events: its SQL is no aggregate but one event's value, null where it has none.
    """

    name: str
    sql: str
    kind: str
    description: str


@dataclass(frozen=True)
class Metric:
    """A number per profile (mean, proportion, retention) or per arm (ratio of sums, quantile) over a window of days.

    `window` counts days from the exposure day; None runs to the analysis day. Retention looks at one day, `day` days
    after the exposure day, which its window ends with. `quantile` is the share of profiles below, or of events where
    the metric is `of_events`: its measure is a histogram. `winsorize` holds the pooled quantiles at which its tails are
    cut: none, the upper one, or both. `covariates` are a unit file's own; an experiment on profiles declares one list
    for all its metrics.
    """

    name: str
    kind: str
    measure: str | None
    numerator: str | None
    denominator: str | None
    window: int | None
    winsorize: tuple[float, ...]
    unit: str
    better: str
    description: str
    owner: str
    covariates: tuple[str, ...] = ()
    day: int | None = None
    quantile: float | None = None
    of_events: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(name for name in (self.measure, self.numerator, self.denominator) if name)

    @property
    def is_share(self) -> bool:
        """Whether a profile's value is 0 or 1."""
        return self.kind in ("proportion", "retention")

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Its columns in profile_windows, beside `measures` in the same order."""
        if self.kind == "ratio":
            return (f"{self.name}_numerator", f"{self.name}_denominator")
        return (self.name,)

    @property
    def maturity_group(self) -> str:
        """Metrics of one window have one matured population, hence one moment object."""
        return "to_date" if self.window is None else f"{self.window}d"


@dataclass(frozen=True)
class Catalogue:
    measures: Mapping[str, Measure]
    metrics: Mapping[str, Metric]

    @property
    def histograms(self) -> tuple[str, ...]:
        """The measures that are histograms; the others are numbers."""
        return _histograms(self.measures)

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name, measure in self.measures.items() if measure.kind != "histogram")

    def of_measures(self, names: Collection[str]) -> "Catalogue":
        """These measures alone, and no metric."""
        return Catalogue({name: self.measures[name] for name in self.measures if name in names}, {})

    def version(self, metric: str) -> str:
        """Changes with whatever the metric's numbers follow from: its own definition and that of its measures."""
        definition = self.metrics[metric]
        own = {name: getattr(definition, name) for name in _DEFINING}
        measures = [(name, self.measures[name].sql, self.measures[name].kind) for name in definition.measures]
        return hashlib.sha256(repr((own, measures)).encode()).hexdigest()[:16]


def _histograms(measures: Mapping[str, Measure]) -> tuple[str, ...]:
    return tuple(name for name, measure in measures.items() if measure.kind == "histogram")


def load_catalogue(path: Path) -> Catalogue:
    """Read metrics.yml. Raises ConfigurationError with every fault."""
    top = read_section(path)
    measures = {name: _measure(name, part) for name, part in top.section("measures").sections().items()}
    metrics = {
        name: _metric(name, part, measures) for name, part in top.section("metrics").sections().items()
    }
    top.finish()
    raise_faults(top)
    return Catalogue(measures, metrics)


def _measure(name: str, section: Section) -> Measure:
    _check_name(name, section)
    measure = Measure(
        name=name,
        sql=section.text("sql"),
        kind=section.choice("kind", MEASURE_KINDS, "sum"),
        description=section.take("description", str, ""),
    )
    if measure.sql.strip():
        _check_sql(measure, section)
    section.finish()
    return measure


def _check_sql(measure: Measure, section: Section) -> None:
    # Imported here: the tables' columns follow from the catalogue, and a file of units has no SQL to parse.
    from metrics.configuration.sql import expression_faults
    from metrics.schemas import EVENT_COLUMNS

    for fault in expression_faults(measure.sql, EVENT_COLUMNS, aggregate=measure.kind != "histogram"):
        section.fault("sql", fault)


def _metric(name: str, section: Section, measures: Mapping[str, Measure]) -> Metric:
    _check_name(name, section)
    kind = section.choice("kind", METRIC_KINDS)
    is_ratio = kind == "ratio"
    day = section.days("day") if kind == "retention" else None
    measure = None if is_ratio else section.text("measure")
    metric = Metric(
        name=name,
        kind=kind,
        measure=measure,
        numerator=section.text("numerator") if is_ratio else None,
        denominator=section.text("denominator") if is_ratio else None,
        window=_window(section) if day is None else day + 1,
        winsorize=read_winsorize(section),
        unit=section.take("unit", str, ""),
        better=section.choice("better", ("higher", "lower")),
        description=section.take("description", str, ""),
        owner=section.take("owner", str, ""),
        day=day,
        quantile=read_quantile(section) if kind == "quantile" else None,
        of_events=kind == "quantile" and measure in _histograms(measures),
    )
    _check_metric(metric, section, measures)
    section.finish()
    return metric


def _window(section: Section) -> int | None:
    if isinstance(section.values.get("window"), int):
        return section.days("window")
    window = section.take("window", (int, str))
    if window not in ("to_date", None):
        section.fault("window", f"is {shown(window)}; expected a number of days from 1, or to_date")
    return None


def read_winsorize(section: Section) -> tuple[float, ...]:
    """The quantiles at which a metric's tails are cut: none, `0.995` the upper, `[0.005, 0.995]` both."""
    given = section.take("winsorize", (float, list), None)
    if given is None:
        return ()
    quantiles = tuple(given) if isinstance(given, list) else (given,)
    ranges = ((0, 0.5), (0.5, 1))[-len(quantiles) :]
    numbers = len(quantiles) in (1, 2) and all(type(q) in (int, float) for q in quantiles)
    if not numbers or not all(low < q < high for q, (low, high) in zip(quantiles, ranges, strict=True)):
        section.fault(
            "winsorize",
            f"is {shown(given)}; expected a quantile between 0.5 and 1, such as 0.995, or two as [0.005, 0.995]",
        )
        return ()
    return tuple(map(float, quantiles))


def read_quantile(section: Section) -> float:
    """Which quantile of profiles a metric is."""
    if "winsorize" in section.values:
        section.fault("winsorize", "changes nothing about a quantile; leave it out")
    quantile = section.take("quantile", float)
    if quantile is not None and not 0 < quantile < 1:
        section.fault(
            "quantile", f"is {shown(quantile)}; expected between 0 and 1, such as 0.5 for the median"
        )
    return float(quantile or 0.5)


def _check_metric(metric: Metric, section: Section, measures: Mapping[str, Measure]) -> None:
    for name in metric.measures:
        if name not in measures:
            section.fault("", f"uses measure {shown(name)}, which is not under measures; add it there")
        elif metric.is_share and measures[name].kind != "any":
            section.fault(
                "measure", f"'{name}' is of kind {measures[name].kind}; a {metric.kind} needs kind any"
            )
        elif measures[name].kind == "histogram" and not metric.of_events:
            section.fault(
                "", f"uses measure '{name}', a histogram; only a metric of kind quantile can be made of one"
            )


def _check_name(name: str, section: Section) -> None:
    if not _NAME.fullmatch(name):
        section.fault("", "is not a column name; use lower-case letters, digits and underscores")
    elif name in RESERVED:
        section.fault("", "is a column of its own in the tables; choose another name")
