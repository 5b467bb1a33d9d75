"""The pre-registration as one page of HTML: what is asked, what can be found, how it will be decided."""

import json
from collections.abc import Sequence

from scipy.special import ndtr, ndtri

from metrics import wording
from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.gate import FUTILITY
from metrics.looks import level_of, looks_planned
from metrics.readout.page import environment
from metrics.readout.plots import Course, curves
from metrics.rows import PowerRow
from metrics.sequential.designs import fixed_drift
from metrics.statistics.layout import ALL

# The curve runs from no effect to so many times the one that is found with the power of the design.
_REACH, _POINTS = 2.0, 60


def render_registration(experiment: Experiment, catalogue: Catalogue, rows: Sequence[PowerRow]) -> str:
    """The page; every value is escaped. rows: of `power`, all of the experiment's."""
    primary = experiment.primary[0]
    return (
        environment()
        .get_template("registration.html.j2")
        .render(
            experiment=experiment,
            metrics=[(metric, experiment.role(metric.name)) for metric in experiment.metrics(catalogue)],
            everybody=[row for row in rows if row.stratum == ALL],
            strata=[row for row in rows if row.stratum != ALL and row.metric == primary],
            curve=_power_curve(experiment, next(row for row in rows if row.stratum == ALL)),
            ramps=[row for row in rows if row.stratum == ALL and row.ramp],
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


def _power_curve(experiment: Experiment, row: PowerRow) -> Course | None:
    """Chance to cross in the end against the relative effect, by the planned enrolment; marked: the effect sought.

    As if looked at once at the level that has the design's power at what the row says is found: looks cost information,
    which that has in it.
    """
    if row.mde_relative is None:
        return None
    needed = fixed_drift(level_of(experiment, row.metric), experiment.power)
    effects = [row.mde_relative * _REACH * k / _POINTS for k in range(_POINTS + 1)]
    z = needed - float(ndtri(experiment.power))
    chances = [float(ndtr(needed * effect / row.mde_relative - z)) for effect in effects]
    ticks = {
        wording.percent(effects[k], signed=False): effects[k] for k in range(0, _POINTS + 1, _POINTS // 4)
    }
    marks = [experiment.mde_relative] if experiment.mde_relative <= effects[-1] else []
    return curves(effects, [chances, [experiment.power] * len(effects)], ticks, marks)
