"""Effects in business terms: what full rollout would change, in totals instead of averages."""

from collections.abc import Mapping
from dataclasses import dataclass

from metrics import wording
from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Experiment
from metrics.rows import Estimate

RATIO_SCALE = 10_000
PROFILES_SCALE = 1_000


@dataclass(frozen=True)
class BusinessTerm:
    """`value` and its interval count `what` ('play starts') in a `period`, over the profiles or attempts of `basis`."""

    metric: str
    arm: str
    role: str
    value: float
    low: float
    high: float
    what: str
    period: str
    basis: str
    level: float

    @property
    def headline(self) -> str:
        if self.low <= 0 <= self.high:
            return f"No clear change in {self.what}"
        return f"{_more(self.value)} {self.what}{self.period}"

    @property
    def detail(self) -> str:
        interval = f"{wording.share(self.level)} interval: {_more(self.low)} to {_more(self.high)}"
        if self.low <= 0 <= self.high:
            return f"best guess {_more(self.value)}{self.period} {self.basis} ({interval})"
        return f"{self.basis} ({interval})"


@dataclass(frozen=True)
class _Scale:
    factor: float
    what: str
    period: str
    basis: str


def business_terms(
    experiment: Experiment,
    catalogue: Catalogue,
    rows: Mapping[tuple[str, str], Estimate],
    population: int | None,
) -> tuple[BusinessTerm, ...]:
    """One term per metric and arm with an interval: effect × population per week, or per 10,000 of a ratio's base.

    Without a count of the population, totals are per 1,000 profiles. Quantiles have no totals.
    """
    return tuple(
        _term(row, _scale(catalogue.metrics[row.metric], population), 1 - experiment.alpha)
        for row in rows.values()
        if catalogue.metrics[row.metric].kind != "quantile"
        and row.effect is not None
        and row.ci_low is not None
        and row.ci_high is not None
    )


def _scale(metric: Metric, population: int | None) -> _Scale:
    if metric.kind == "ratio":
        return _Scale(
            RATIO_SCALE, _words(metric.numerator), "", f"per {RATIO_SCALE:,} {_words(metric.denominator)}"
        )
    profiles = PROFILES_SCALE if population is None else population
    basis = (
        f"per {profiles:,} profiles" if population is None else f"at full rollout to {profiles:,} profiles"
    )
    if metric.is_share:
        return _Scale(profiles, f"{_words(metric.measure)} profiles", "", basis)
    if metric.window is None:
        return _Scale(profiles, _words(metric.measure), " since exposure", basis)
    return _Scale(profiles * 7 / metric.window, _words(metric.measure), " a week", basis)


def _term(row: Estimate, scale: _Scale, level: float) -> BusinessTerm:
    value, low, high = ((x or 0.0) * scale.factor for x in (row.effect, row.ci_low, row.ci_high))
    return BusinessTerm(
        row.metric, row.arm, row.role, value, low, high, scale.what, scale.period, scale.basis, level
    )


def _more(value: float) -> str:
    """'12,300 more', '40 fewer'."""
    return f"{wording.quantity(abs(value))} {'more' if value >= 0 else 'fewer'}"


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")
