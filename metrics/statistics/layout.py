"""Which columns a cell's moments hold, and how each is made from the raw columns of profile_windows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.statistics.moments import Floats
from metrics.statistics.passes import RawRows

ALL = "all"
UNKNOWN = "unknown"
# Cells of this pseudo group count the exposed profiles, matured or not; their moments hold no columns.
EXPOSED = "exposed"
MISSING = "any_covariate_missing"
STRATUM = "stratum"


def column(name: str) -> Column:
    """The column of that name, whatever is in it: a user's own may hold dots."""
    return F.col(f"`{name.replace('`', '``')}`")


def stratum_of(values: Sequence[Column]) -> Column:
    """The stratum that the values of the declared strata's columns make; everybody's is one without any."""
    return F.concat_ws("|", *values) if values else F.lit(ALL)


def code_of(name: str) -> str:
    """Frame column that holds a text column's value, as its position among the column's levels once it is an array."""
    return f"{name}__code"


def bins_of(metric: Metric) -> str:
    """Frame column that holds the histograms of a metric of events: its quantiles over one window share it."""
    return f"{metric.measure}__{metric.maturity_group}__bins"


def capped_name(source: str, metric: str) -> str:
    """A covariate's copy capped for one winsorized metric."""
    return f"{source}|{metric}"


def outcome_names(metric: Metric) -> tuple[str, ...]:
    return metric.outcome_columns


def has_outcome(columns: Collection[str], metric: Metric) -> bool:
    """Whether moments of these columns are of the metric: one whose outcome is null on other rows than those of its
    maturity group has moments of its own.
    """
    return all(name in columns for name in outcome_names(metric))


def covariate_sources(design: Design, metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns that adjust any of the metrics, each once, in file order."""
    return tuple(dict.fromkeys(name for metric in metrics for name in design.covariates_of(metric)))


def own_covariate(design: Design, metric: Metric) -> str | None:
    """The metric's own measure before the exposure, where it is a covariate."""
    name = f"pre_{metric.measure}"
    return name if name in design.covariates_of(metric) else None


def segmentations(design: Design, columns: Sequence[str]) -> tuple[str, ...]:
    """The segmentations to estimate: declared ones and tenure bands, where the rows have them."""
    return tuple(name for name in design.standing_segments if name in columns)


def strata_column(design: Design, columns: Sequence[str]) -> tuple[str, ...]:
    """The column that holds the declared strata, if there are any."""
    return (STRATUM,) if design.strata and STRATUM in columns else ()


def all_known(raw: Mapping[str, Floats], names: Iterable[str], n_rows: int) -> np.ndarray:
    """Which rows know the values of all these columns, (n,) of bool."""
    known = np.ones(n_rows, dtype=bool)
    for name in names:
        known &= ~np.isnan(raw[name])
    return known


@dataclass(frozen=True)
class ColumnRecipe:
    """One column v = source between floor and cap, less shift; a missing value becomes the shift, hence 0.

    With `level` it is instead the dummy of that position among a text column's levels.
    """

    name: str
    source: str
    shift: float = 0.0
    cap: float = np.inf
    floor: float = -np.inf
    level: int | None = None

    def values(self, raw: Mapping[str, Floats]) -> Floats:
        if self.level is not None:
            return np.asarray(raw[code_of(self.source)] == self.level, dtype=np.float64)
        centred = np.clip(raw[self.source], self.floor, self.cap) - self.shift
        return np.where(np.isnan(centred), 0.0, centred)


@dataclass(frozen=True)
class MissingRecipe:
    """The column that is 1 on rows that lack any of the sources."""

    sources: tuple[str, ...]
    name: str = MISSING
    shift: float = 0.0
    cap: float = np.inf
    floor: float = -np.inf

    def values(self, raw: Mapping[str, Floats]) -> Floats:
        missing = np.zeros(len(raw[self.sources[0]]))
        for source in self.sources:
            missing[np.isnan(raw[source])] = 1.0
        return missing


@dataclass(frozen=True)
class Group:
    """Metrics with one matured population, hence one moment object per segment cell.

    covariates: by metric, its covariates' columns in file order, without the indicator of missing ones.
    has_missing: whether that indicator is among the columns.
    """

    name: str
    metrics: tuple[str, ...]
    outcomes: tuple[str, ...]
    columns: tuple[ColumnRecipe | MissingRecipe, ...]
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

    @property
    def floor(self) -> Floats:
        return np.array([column.floor for column in self.columns], dtype=np.float64)

    def matured(self, raw: Mapping[str, Floats], n_rows: int) -> np.ndarray:
        """Which rows belong to the population: those where every outcome is known, (n,) of bool."""
        return all_known(raw, self.outcomes, n_rows)

    def rows(self, raw: Mapping[str, Floats], n_rows: int) -> Floats:
        """x = (1, v) of every row, (n, 1+p), in column-major order."""
        x = np.empty((n_rows, 1 + len(self.columns)), order="F")
        x[:, 0] = 1
        for position, column in enumerate(self.columns, start=1):
            x[:, position] = column.values(raw)
        return x


def population(group: Group, raw: RawRows) -> tuple[RawRows, Floats]:
    """A partition's rows that belong to a group, and their x."""
    inside = raw.where(group.matured(raw.columns, len(raw)))
    return inside, group.rows(inside.columns, len(inside))


def exposed_group() -> Group:
    return Group(EXPOSED, (), (), ())


def metrics_by_population(design: Design, catalogue: Catalogue) -> dict[str, tuple[Metric, ...]]:
    """The metrics by maturity group and covariates, in file order; a group is named for what sets it apart."""
    groups: dict[tuple[str, tuple[str, ...]], tuple[Metric, ...]] = {}
    for metric in design.metrics(catalogue):
        key = (metric.maturity_group, design.covariates_of(metric))
        groups[key] = (*groups.get(key, ()), metric)
    windows = [window for window, _ in groups]
    return {
        window if windows.count(window) == 1 else f"{window}({','.join(covariates)})": metrics
        for (window, covariates), metrics in groups.items()
    }
