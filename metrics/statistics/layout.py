"""Which columns a cell's moments hold, and how each is made from the raw columns of profile_windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.experiment import Experiment
from metrics.statistics.moments import Floats

ALL = "all"
UNKNOWN = "unknown"
# Cells of this pseudo group count the exposed profiles, matured or not; their moments hold no columns.
EXPOSED = "exposed"
MISSING = "any_covariate_missing"


def code_of(name: str) -> str:
    """Frame column that holds the position of a text column's value among its levels."""
    return f"{name}__code"


def capped_name(source: str, metric: str) -> str:
    """A covariate's copy capped for one winsorized metric."""
    return f"{source}|{metric}"


def outcome_names(metric: Metric) -> tuple[str, ...]:
    return metric.outcome_columns


def covariate_sources(experiment: Experiment) -> tuple[str, ...]:
    """The covariates in file order, as columns of profile_windows."""
    return experiment.covariates.columns if experiment.covariates else ()


def own_covariate(experiment: Experiment, metric: Metric) -> str | None:
    """The metric's own measure before the exposure, where it is a covariate."""
    name = f"pre_{metric.measure}"
    return name if name in covariate_sources(experiment) else None


def segmentations(experiment: Experiment, columns: Sequence[str]) -> tuple[str, ...]:
    """The segmentations to estimate: declared ones and tenure bands, where the rows have them."""
    return tuple(name for name in experiment.standing_segments if name in columns)


@dataclass(frozen=True)
class ColumnRecipe:
    """One column v = min(source, cap) - shift; a missing value becomes the shift, hence 0.

    With `level` it is instead the dummy of that position among a text column's levels.
    """

    name: str
    source: str
    shift: float = 0.0
    cap: float = np.inf
    level: int | None = None

    def values(self, raw: Mapping[str, Floats]) -> Floats:
        if self.level is not None:
            return np.asarray(raw[code_of(self.source)] == self.level, dtype=np.float64)
        centred = np.minimum(raw[self.source], self.cap) - self.shift
        return np.where(np.isnan(centred), 0.0, centred)


@dataclass(frozen=True)
class Group:
    """Metrics with one matured population, hence one moment object per segment cell.

    covariates: by metric, its covariates' columns in file order, without the indicator of missing ones.
    has_missing: whether that indicator is among the columns.
    """

    name: str
    metrics: tuple[str, ...]
    outcomes: tuple[str, ...]
    columns: tuple[ColumnRecipe, ...]
    covariates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_missing: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def shift(self) -> Floats:
        return np.array([column.shift for column in self.columns], dtype=np.float64)

    @property
    def cap(self) -> Floats:
        return np.array([column.cap for column in self.columns], dtype=np.float64)

    def matured(self, raw: Mapping[str, Floats], n_rows: int) -> np.ndarray:
        """Which rows belong to the population: those where every outcome is known, (n,) of bool."""
        known = np.ones(n_rows, dtype=bool)
        for name in self.outcomes:
            known &= ~np.isnan(raw[name])
        return known

    def rows(self, raw: Mapping[str, Floats], n_rows: int) -> Floats:
        """x = (1, v) of every row, (n, 1+p), in column-major order, which sums over households faster."""
        x = np.empty((n_rows, 1 + len(self.columns)), order="F")
        x[:, 0] = 1
        for position, column in enumerate(self.columns, start=1):
            x[:, position] = column.values(raw)
        return x


def exposed_group() -> Group:
    return Group(EXPOSED, (), (), ())


def metrics_by_window(experiment: Experiment, catalogue: Catalogue) -> dict[str, tuple[Metric, ...]]:
    """The experiment's metrics by maturity group, in file order."""
    groups: dict[str, tuple[Metric, ...]] = {}
    for metric in experiment.metrics(catalogue):
        groups[metric.maturity_group] = (*groups.get(metric.maturity_group, ()), metric)
    return groups
