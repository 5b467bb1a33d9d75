"""Registers an experiment before it starts: table `power`, from the history up to then."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta

import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.delta_reader import days_of, read_rows, values_of
from jobs.tables import Tables
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project
from metrics.errors import InputError
from metrics.planning import analyse_history, history_of, power_rows
from metrics.rows import PowerRow, row_of
from metrics.statistics.layout import ALL

log = logging.getLogger("watchlift.registration")
_TABLE = "power"


def registered(project: Project, experiment: Experiment) -> tuple[PowerRow, ...]:
    """What was registered for the experiment's file, amended or not, without Spark; nothing where it was not yet."""
    found = read_rows(project.tables, _TABLE, pc.field("experiment_id") == experiment.id)
    rows = [row_of(PowerRow, row) for row in found]
    if not rows:
        return ()
    if _registered_by(rows[0]) not in experiment.spec_hashes:
        return ()
    known = [row for row in rows if row.metric in experiment.metric_names]
    return tuple(
        sorted(
            known,
            key=lambda row: (experiment.metric_names.index(row.metric), row.stratum != ALL, row.stratum),
        )
    )


def require_frozen(project: Project, experiment: Experiment) -> None:
    """Raises InputError where the experiment began by another file and the change is no amendment of it."""
    if told := changed_files(replace(project, experiments=(experiment,))).get(experiment.id):
        raise InputError(told)


def changed_files(project: Project) -> dict[str, str]:
    """What is to be said, by experiment, of those that began by another file, where the change is no amendment."""
    if project.tables.root is None or not project.experiments:
        return {}
    ids = pc.field("experiment_id").isin([each.id for each in project.experiments])
    known: dict[str, set[str]] = {}
    for name, hash_ in values_of(project.tables, "estimates", ids, ("experiment_id", "spec_hash")):
        known.setdefault(name, set()).add(hash_)
    planned = [row_of(PowerRow, row) for row in read_rows(project.tables, "power", ids)]
    days = days_of(project.tables, "profile_days") if planned else []
    start = {each.id: each.start for each in project.experiments}
    for row in planned:
        if row.experiment_id in known or any(day >= start[row.experiment_id] for day in days):
            known.setdefault(row.experiment_id, set()).add(_registered_by(row))
    found = {}
    for each in project.experiments:
        for was in sorted({hash_ for hash_ in known.get(each.id, ()) if hash_} - each.spec_hashes)[:1]:
            found[each.id] = (
                f"experiment '{each.id}' began by another file ({was}, now {each.spec_hash}); restore it, or record "
                f"the change in it: amendments: [{{date: …, reason: …, was: {was}}}]"
            )
    return found


def _registered_by(row: PowerRow) -> str:
    return str(json.loads(row.assumptions or "{}").get("spec_hash", ""))


def has_begun(project: Project, experiment: Experiment) -> bool:
    """Whether data of its days are there."""
    return any(day >= experiment.start for day in days_of(project.tables, "profile_days"))


def register(tables: Tables, experiment: Experiment) -> tuple[PowerRow, ...]:
    """Replace the experiment's rows of `power` by those from the days before its start, the last unbroken run of them.

    Raises InputError where they are too few, or where the experiment has begun.
    """
    history, first, last = known_before(tables.project, experiment)
    catalogue = tables.project.catalogue
    log.info("%s: as if exposed from %s to %s", experiment.id, history.start, history.last_enrollment_day)
    profile_days = tables.read("profile_days")
    analysis = analyse_history(history, catalogue, profile_days, tables.read("profiles"), last)
    known = profile_days.where(F.col("day").between(F.lit(first), F.lit(last)))
    population = known.select("profile_id").distinct().count()
    rows = power_rows(experiment, history, catalogue, analysis, population)
    if not any(row.max_information for row in rows):
        raise InputError(
            f"nothing can be said of experiment '{experiment.id}' from {first} to {last}; load more of the history"
        )
    tables.replace_rows(_TABLE, [asdict(row) for row in rows], {"experiment_id": [experiment.id]})
    return rows


def known_before(project: Project, experiment: Experiment) -> tuple[Experiment, date, date]:
    """The experiment as if it had run before its start, and the first and the last day of that history; no Spark.

    Raises InputError where the days are too few, or where the experiment has begun.
    """
    require_frozen(project, experiment)
    if has_begun(project, experiment):
        raise InputError(
            f"experiment '{experiment.id}' began on {experiment.start}: what is planned is registered before its data "
            "are there; without, its primary metric is read once, at the planned end"
        )
    first, last = history_span(days_of(project.tables, "profile_days"), experiment)
    return history_of(experiment, project.catalogue, first, last), first, last


def history_span(days: Sequence[date], experiment: Experiment) -> tuple[date, date]:
    """The first and the last of the days before the start that follow each other up to the last of them."""
    before = sorted(day for day in days if day < experiment.start)
    if not before:
        raise InputError(
            f"profile_days has no day before experiment '{experiment.id}' starts on {experiment.start}; "
            "load earlier days by run_day first"
        )
    first = last = before[-1]
    for day in reversed(before[:-1]):
        if day != first - timedelta(days=1):
            break
        first = day
    return first, last
