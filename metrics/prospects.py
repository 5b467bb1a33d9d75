"""What a row of `power` promises of an experiment: its power for the effect sought, and where that is too little."""

import json

from metrics.configuration.experiment import Experiment
from metrics.looks import level_of
from metrics.power import power_for
from metrics.rows import PowerRow
from metrics.statistics.layout import ALL


def sought(experiment: Experiment, row: PowerRow) -> float | None:
    """The effect to detect, relative to the mean: a guardrail's margin, else mde_relative; None where there is none."""
    margin = experiment.guardrails.get(row.metric)
    if margin is None:
        return experiment.mde_relative
    return margin / abs(row.baseline_mean) if row.baseline_mean else None


def planned_power(experiment: Experiment, row: PowerRow, effect: float | None = None) -> float | None:
    """Chance that the planned enrolment finds a relative effect (default: the one sought), all looks together."""
    wanted = sought(experiment, row) if effect is None else effect
    if wanted is None or row.mde_relative is None:
        return None
    return power_for(wanted, row.mde_relative, level_of(experiment, row.metric), experiment.power)


def warning(experiment: Experiment, row: PowerRow) -> str | None:
    """Where the planned enrolment does not find what is sought among everybody: the metric, a colon, and why."""
    if row.stratum != ALL:
        return None
    if row.max_information is None:
        why = json.loads(row.assumptions or "{}").get("status")
        return (
            f"{row.metric}: nothing can be said from the history ({why}), so that it is read once, at the end"
        )
    wanted = sought(experiment, row)
    if wanted is None or row.mde_relative is None or row.mde_relative <= wanted:
        return None
    takes = (
        f"that takes {row.days_needed:.0f} days" if row.days_needed else "more than there are profiles for"
    )
    return f"{row.metric}: the planned enrolment finds {row.mde_relative:.2%}, the design seeks {wanted:.2%}; {takes}"
