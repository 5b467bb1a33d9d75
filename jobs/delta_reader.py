"""Reads result tables without Spark, with delta-rs: a readout needs a few rows, not a cluster."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from jobs.arguments import WorkFailed
from jobs.delta_dataset import dataset_of
from metrics.assignment import Allocation, allocation_of
from metrics.configuration.experiment import Experiment
from metrics.configuration.project import Project, TableLocation
from metrics.enrollment import RESTART, Restarts
from metrics.errors import InputError
from metrics.readout.build import readout_rows
from metrics.readout.model import ReadoutRows
from metrics.statistics.balance import Balance, balance
from metrics.statistics.cells import Cell
from metrics.statistics.layout import ALL, STRATUM
from metrics.statistics.moments import Moments
from metrics.statistics.passes import one_thread


def readout_rows_of(project: Project, experiment: Experiment, day: date) -> ReadoutRows:
    """All that the readout of one experiment and day rests on; `estimates` is empty where there are none.

    Numbers of an earlier epoch than the day's are none: the next run estimates the day again.
    """
    at, key = project.tables, pc.field("experiment_id") == experiment.id
    restarts = restarts_of(project)
    experiment = restarts.as_of(experiment, day)
    of_day = key & (pc.field("analysis_day") == pc.scalar(day))
    of_epoch = of_day & (pc.field("epoch") == pc.scalar(experiment.epoch))
    before = (pc.field("analysis_day") < pc.scalar(day)) & (pc.field("epoch") == pc.scalar(experiment.epoch))
    audited = (pc.field("day") >= pc.scalar(experiment.first_covariate_day)) & (
        pc.field("day") <= pc.scalar(day)
    )
    return readout_rows(
        estimates=read_rows(at, "estimates", of_epoch),
        srm_checks=read_rows(at, "srm_checks", key & (pc.field("window_kind") == "cumulative")),
        rollout_decisions=read_rows(at, "rollout_decisions", key),
        quality=read_rows(at, "data_quality_results", audited),
        truth=read_truth(project.data_dir, experiment.id),
        population=count_rows(at, "profiles"),
        analysed=counts_by(at, "profile_windows", of_day, "arm"),
        interactions=read_rows(at, "interactions", of_day),
        restarts=restarts,
        allocations=allocations_of(project, experiment.id),
        enrollment=read_rows(at, "enrollment_status", key),
        spillover=read_rows(at, "spillover", of_day),
        balance=_balance_of(project, experiment, day),
        history=read_rows(at, "estimates", key & before & (pc.field("segment") == ALL)),
        planned=planned_of(project, experiment.id),
    )


def planned_of(project: Project, experiment_id: str) -> dict[str, float]:
    """Maximum information by metric, as it was registered."""
    of_all = (pc.field("experiment_id") == experiment_id) & (pc.field("stratum") == ALL)
    rows = read_rows(project.tables, "power", of_all)
    return {row["metric"]: row["max_information"] for row in rows if row["max_information"] is not None}


def moments_of(project: Project, experiment: Experiment, day: date) -> dict[Cell, Moments]:
    """Of everybody and of strata, by cell."""
    of_cells = (
        (pc.field("experiment_id") == experiment.id)
        & (pc.field("analysis_day") == pc.scalar(day))
        & (pc.field("epoch") == pc.scalar(experiment.epoch))
        & pc.field("segment").isin([ALL, STRATUM])
    )
    return {
        Cell(row["maturity_group"], row["segment"], row["segment_value"]): Moments.from_bytes(row["payload"])
        for row in read_rows(project.tables, "moments", of_cells)
    }


def _balance_of(project: Project, experiment: Experiment, day: date) -> Balance | None:
    cells = moments_of(project, experiment, day)
    sources = experiment.covariates.columns if experiment.covariates else ()
    with one_thread():
        return balance(cells, sources, has_independent_profiles=experiment.randomized_by == "unit")


def restarts_of(project: Project) -> Restarts:
    return Restarts.of(read_rows(project.tables, "enrollment_status", pc.field("slice") == RESTART))


def allocations_of(project: Project, experiment_id: str) -> list[Allocation]:
    """Those of one experiment, ever, ascending."""
    rows = read_rows(project.tables, "allocations", pc.field("experiment_id") == experiment_id)
    return sorted(map(allocation_of, rows), key=lambda each: each.effective_from)


def analysis_days(project: Project, experiment_id: str) -> list[date]:
    """The days with estimates of the experiment, ascending."""
    return sorted(computed_on(project, experiment_id))


def computed_on(project: Project, experiment_id: str) -> dict[date, datetime]:
    """When the estimates of each analysis day of the experiment were made."""
    table = _open(project.tables, "estimates")
    if table is None:
        return {}
    found = dataset_of(table).to_table(
        ["analysis_day", "computed_at"], filter=pc.field("experiment_id") == experiment_id
    )
    latest = found.group_by("analysis_day").aggregate([("computed_at", "max")]).to_pylist()
    return {row["analysis_day"]: row["computed_at_max"] for row in latest}


def read_rows(location: TableLocation, name: str, where: pc.Expression) -> list[dict[str, Any]]:
    """The rows that match; none where the table does not exist yet."""
    table = _open(location, name)
    if table is None:
        return []
    rows: list[dict[str, Any]] = dataset_of(table).to_table(filter=where).to_pylist()
    return rows


def values_of(
    location: TableLocation, name: str, where: pc.Expression, columns: Sequence[str]
) -> set[tuple[Any, ...]]:
    """The distinct values of some columns in the rows that match; none where the table does not exist yet."""
    table = _open(location, name)
    if table is None:
        return set()
    found = dataset_of(table).to_table(list(columns), filter=where)
    return set(zip(*(found[column].to_pylist() for column in columns), strict=True))


def version_of(location: TableLocation, name: str) -> int | None:
    """The table's newest version; None where it does not exist yet."""
    table = _open(location, name)
    return table.version() if table else None


def version_by(location: TableLocation, name: str, moment: datetime) -> int | None:
    """The table's newest version at a moment; None where its log does not reach back so far, or it does not exist."""
    table = _open(location, name)
    until = moment.timestamp() * 1000
    commits = table.history() if table else []
    by_then = [each["version"] for each in commits if each.get("timestamp", math.inf) <= until]
    return max(by_then, default=None)


def days_of(location: TableLocation, name: str) -> list[date]:
    """The days that a table partitioned by `day` has, ascending. From its log, no row is read."""
    table = _open(location, name)
    if table is None:
        return []
    days: list[date] = pc.unique(pa.table(table.get_add_actions(flatten=True))["partition.day"]).to_pylist()
    return sorted(days)


def latest_day(location: TableLocation, name: str) -> date | None:
    """The last of `days_of`; None where there is none."""
    return max(days_of(location, name), default=None)


def count_rows(location: TableLocation, name: str) -> int | None:
    """None where there is no table, or nothing in it."""
    table = _open(location, name)
    return table.count() or None if table else None


def read_truth(data_dir: Path, experiment_id: str) -> Sequence[Mapping[str, Any]]:
    """What a synthetic service injected; nothing for a real one."""
    path = data_dir / "truth" / f"{experiment_id}.json"
    if not path.is_file():
        return ()
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"truth file '{path}' is not JSON ({error}); simulate again or remove it") from None
    return rows


def counts_by(location: TableLocation, name: str, where: pc.Expression, column: str) -> dict[str, int] | None:
    """Rows that match by a column's values; None where there are none."""
    table = _open(location, name)
    if table is None:
        return None
    rows = dataset_of(table).to_table([column], filter=where)
    counts = rows.group_by(column).aggregate([([], "count_all")]).to_pylist()
    return {row[column]: row["count_all"] for row in counts} or None


def _open(location: TableLocation, name: str) -> DeltaTable | None:
    if location.root is None:
        raise InputError(
            f"tables.yml: tables in catalogue {location.namespace} cannot be read without Spark; give their root"
        )
    try:
        return DeltaTable(f"{location.root}/{name}")
    except TableNotFoundError:
        return None
    except DeltaError as error:
        reason = " ".join(str(error).split())
        raise WorkFailed(
            f"table {name} under {location.root} cannot be read: {reason}; check its _delta_log"
        ) from None
