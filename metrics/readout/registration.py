"""The pre-registration as one page of HTML: what is asked, what can be found, how it will be decided."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from metrics import wording
from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.gate import FUTILITY
from metrics.looks import looks_planned
from metrics.prospects import planned_power, sought, warning
from metrics.readout.page import environment
from metrics.readout.plots import Course, curves
from metrics.rows import PowerRow
from metrics.statistics.layout import ALL

# The curve runs from no effect to so many times the one that is found with the power of the design.
_REACH, _POINTS = 2.0, 60


@dataclass(frozen=True)
class MetricPower:
    """What can be found of one metric: among everybody, with its power curve, and by stratum and tenure."""

    metric: str
    curve: Course | None
    strata: tuple[PowerRow, ...]

    @property
    def ramps(self) -> tuple[PowerRow, ...]:
        return tuple(row for row in self.strata if row.ramp)


def render_registration(experiment: Experiment, catalogue: Catalogue, rows: Sequence[PowerRow]) -> str:
    """The page; every value is escaped. rows: of `power`, all of the experiment's."""
    everybody = [row for row in rows if row.stratum == ALL]
    return (
        environment()
        .get_template("registration.html.j2")
        .render(
            experiment=experiment,
            metrics=[(metric, experiment.role(metric.name)) for metric in experiment.metrics(catalogue)],
            everybody=everybody,
            warnings=[told for row in everybody if (told := warning(experiment, row))],
            by_metric=[_of_metric(experiment, row, rows) for row in everybody],
            ramps=[row for row in everybody if row.ramp],
            power_of=lambda row: planned_power(experiment, row),
            history=json.loads(rows[0].assumptions or "{}"),
            looks={
                metric.name: looks_planned(experiment, metric, catalogue)
                for metric in experiment.metrics(catalogue)
            },
            planned_end=experiment.planned_end(catalogue),
            stages=" → ".join(wording.share(stage) for stage in experiment.stages),
            level=wording.share(1 - experiment.alpha),
            futility=wording.share(FUTILITY),
        )
    )


def _of_metric(experiment: Experiment, everybody: PowerRow, rows: Sequence[PowerRow]) -> MetricPower:
    strata = tuple(row for row in rows if row.metric == everybody.metric and row.stratum != ALL)
    return MetricPower(everybody.metric, _power_curve(experiment, everybody), strata)


def _power_curve(experiment: Experiment, row: PowerRow) -> Course | None:
    """Chance to cross in the end against the relative effect, by the planned enrolment; marked: the effect sought."""
    if row.mde_relative is None:
        return None
    effects = [row.mde_relative * _REACH * k / _POINTS for k in range(_POINTS + 1)]
    chances = [planned_power(experiment, row, effect) or 0.0 for effect in effects]
    ticks = {
        wording.percent(effects[k], signed=False): effects[k] for k in range(0, _POINTS + 1, _POINTS // 4)
    }
    wanted = sought(experiment, row)
    marks = [wanted] if wanted is not None and wanted <= effects[-1] else []
    return curves(effects, [chances, [experiment.power] * len(effects)], ticks, marks)
