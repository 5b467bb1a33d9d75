"""What every answer of an analysis rests on, once the moments are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.design import Design
from metrics.statistics.cells import Cell, Plan
from metrics.statistics.layout import ALL, EXPOSED, STRATUM, Group
from metrics.statistics.moments import Moments
from metrics.statistics.questions import Question, homes
from metrics.statistics.results import population_status

Cells = Mapping[Cell, Moments]


@dataclass(frozen=True)
class Basis:
    """What every answer rests on: the plan, the groups of metrics, and the moments of every cell."""

    design: Design
    catalogue: Catalogue
    plan: Plan
    groups: tuple[Group, ...]
    cells: Cells
    has_windows: bool

    @cached_property
    def home(self) -> Mapping[str, Group]:
        """The group of each metric."""
        return homes(self.groups)

    @property
    def slices(self) -> tuple[tuple[str, str], ...]:
        """(segment, value) of `all` and of every level of a segmentation; strata are no segments."""
        strata = () if STRATUM in self.design.standing_segments else (STRATUM,)
        return tuple(each for each in self.plan.slices if each[0] not in strata)

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(segment for segment, _ in self.slices if segment != ALL))


def moments_with_status(question: Question, basis: Basis) -> tuple[Moments, str]:
    """The moments of a question's cell, and whether its arms can be compared at all."""
    moments = basis.cells[question.cell]
    # A unit that has no window is not late: without an outcome it is not there.
    exposed = Cell(EXPOSED, question.cell.segment, question.cell.value)
    seen = basis.cells[exposed] if basis.has_windows else moments
    return moments, population_status(moments, seen, question.arm)
