"""Which rows of `estimates` and `interactions` an analysis gives: one question each, answered or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metrics.configuration.catalogue import Catalogue, Metric
from metrics.configuration.design import Design
from metrics.statistics.cells import Cell
from metrics.statistics.layout import ALL, Group

# Their errors take a second pass over the rows, so they are for everybody together only.
SECOND_PASS = ("ols", "lin", "post_stratified")
REPLICATED = ("bootstrap", "quantile")


@dataclass(frozen=True)
class Question:
    """One row of estimates to come: a metric estimated some way, in a cell, for the arm at a position."""

    metric: str
    estimator: str
    cell: Cell
    arm: int


@dataclass(frozen=True)
class InteractionQuestion:
    """One row of interactions to come: does a metric's effect differ between the levels of a segmentation?"""

    metric: str
    group: str
    segment: str
    arm: int


def questions(
    design: Design,
    catalogue: Catalogue,
    groups: Sequence[Group],
    slices: Sequence[tuple[str, str]],
    bootstrap: bool = False,
) -> Iterator[Question]:
    """Every metric x slice x arm x estimator that applies, the bootstrap on request."""
    home = homes(groups)
    for metric in design.metrics(catalogue):
        for segment, value in slices:
            cell = Cell(home[metric.name].name, segment, value)
            for arm in range(1, len(design.arms)):
                replicated = ("quantile" if metric.kind == "quantile" else "bootstrap",) if bootstrap else ()
                for estimator in (*estimators_of(metric, design, segment), *replicated):
                    yield Question(metric.name, estimator, cell, arm)


def interaction_questions(
    design: Design, catalogue: Catalogue, groups: Sequence[Group], segments: Sequence[str]
) -> Iterator[InteractionQuestion]:
    """Every metric x segmentation x arm."""
    home = homes(groups)
    for metric in design.metrics(catalogue):
        for segment in segments if metric.kind != "quantile" else ():
            for arm in range(1, len(design.arms)):
                yield InteractionQuestion(metric.name, home[metric.name].name, segment, arm)


def estimators_of(metric: Metric, design: Design, segment: str) -> tuple[str, ...]:
    adjusted = bool(design.covariates_of(metric))
    if metric.kind == "quantile":
        return ()  # only by the bootstrap
    if metric.kind == "ratio":
        return ("ratio", "ratio_cuped") if adjusted else ("ratio",)
    estimators = ("difference_in_means", "cuped") if adjusted else ("difference_in_means",)
    if segment != ALL:
        return estimators
    regressions = ("ols", "lin") if adjusted else ()
    return (*estimators, *regressions, *(("post_stratified",) if design.strata else ()))


def homes(groups: Sequence[Group]) -> Mapping[str, Group]:
    """The group of each metric."""
    return {name: group for group in groups for name in group.metrics}
