"""The pre-registration as one page of HTML: what is asked, what can be found, how it will be decided."""

import json
from collections.abc import Sequence

from metrics import wording
from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.evidence import FUTILITY
from metrics.looks import looks_planned
from metrics.readout.page import environment
from metrics.rows import PowerRow
from metrics.statistics.layout import ALL


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
