"""Which analysis days rest on what changed since: late rows, a day that was loaded again, a restart; or died midway."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime

from jobs.arguments import Days
from jobs.audit_table import RESULTS
from jobs.epochs import restarts_of, running
from jobs.tables import Tables, Where
from metrics.configuration.experiment import Experiment
from metrics.enrollment import end_of

_INPUTS = ("profile_days", "exposure_day_measures", "exposures")


def audited_inputs(tables: Tables, experiment: Experiment, analysis_day: date) -> str:
    """A fingerprint of the audits of all days that the experiment's windows of an analysis day can rest on.

    An audit's run id names the rows that it saw: equal rows, equal fingerprint. Ask before the rows themselves are
    read; then a day that changes meanwhile is at worst estimated twice.
    """
    return _fingerprint(_runs(tables, experiment.first_covariate_day, analysis_day), experiment, analysis_day)


def stale_days(tables: Tables) -> list[date]:
    """Analysis days of which estimates are there, and rest on other rows than there are now, or on another epoch.

    And those of whose estimates no decision was made: a run that estimated them again died before. Those of experiments
    that do not run on the day any more (closed by now) stay as they are.
    """
    columns = ("experiment_id", "analysis_day", "audited_inputs", "epoch", "input_version")
    experiments = {experiment.id: experiment for experiment in tables.project.experiments}
    rows = tables.few_rows("estimates", {"experiment_id": list(experiments)}, columns)
    used = {tuple(row[column] for column in columns) for row in rows}
    restarts = restarts_of(tables)
    known = [
        (restarts.as_of(experiments[name], day), day, then, (epoch, str(version)))
        for name, day, then, epoch, version in used
    ]
    if not known:
        return []
    first = min(experiment.first_covariate_day for experiment, *_ in known)
    runs, decided = _runs(tables, first, max(day for _, day, *_ in known)), _decided(tables)
    stale = {
        (experiment.id, day)
        for experiment, day, then, version in known
        if then != _fingerprint(runs, experiment, day) or (experiment.id, end_of(day), version) not in decided
    }
    days = sorted({day for _, day in stale})
    return [day for day in days if any((each.id, day) in stale for each in running(tables, day))]


def _decided(tables: Tables) -> set[tuple[str, datetime, tuple[int, str]]]:
    """Of which estimates decisions were made: experiment, end of the analysis day, epoch and version of its rows."""
    asked: Where = {"experiment_id": [experiment.id for experiment in tables.project.experiments]}
    columns = ("experiment_id", "decided_for", "epoch", "input_version")
    rows = tables.few_rows("rollout_decisions", asked, columns)
    return {
        (row["experiment_id"], row["decided_for"], (row["epoch"], _of_rows(row["input_version"])))
        for row in rows
    }


def _of_rows(decided: str) -> str:
    """Of a decision's version that of the estimates, which its own fingerprint follows."""
    return decided.rpartition("-")[0]


Run = tuple[date, str, str]


def _runs(tables: Tables, first: date, last: date) -> list[Run]:
    """Day, table and run id of the audits, in order."""
    asked: Where = {"table": _INPUTS, "day": Days(first, last).all}
    rows = tables.few_rows(RESULTS, asked, ("day", "table", "run_id"))
    return sorted({(row["day"], row["table"], row["run_id"]) for row in rows})


def _fingerprint(runs: Sequence[Run], experiment: Experiment, analysis_day: date) -> str:
    used = [run for run in runs if experiment.first_covariate_day <= run[0] <= analysis_day]
    epoch = str(experiment.epoch) if experiment.restart else ""
    return hashlib.sha256((epoch + repr([tuple(map(str, run)) for run in used])).encode()).hexdigest()[:16]
