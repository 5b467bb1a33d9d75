"""A data folder with the results of a day, written by delta-rs, for tests of what reads without Spark."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from metrics.enrollment import EnrollmentSlice
from tests.result_rows import CATALOGUE, CONF, DAY, EXPERIMENT, srm_check, truth, usual_estimates

_SRM_MAPS = {"observed": pa.map_(pa.string(), pa.int64()), "expected": pa.map_(pa.string(), pa.float64())}


def write_configuration(conf_dir: Path, experiment: str = EXPERIMENT) -> Path:
    (conf_dir / "experiments").mkdir(parents=True)
    (conf_dir / "metrics.yml").write_text(CATALOGUE)
    (conf_dir / "experiments" / "homepage.yml").write_text(experiment)
    for name in ("sources.yml", "tables.yml"):
        shutil.copy(CONF / name, conf_dir / name)
    return conf_dir


def write_results(data_dir: Path, **overrides: Any) -> Path:
    """The usual estimates of DAY, one SRM check, 20,000 profiles of whom 19,985 are analysed, and the truth."""
    rows = [{**row, **overrides} for row in usual_estimates()]
    write_estimates(data_dir, rows)
    write_srm(data_dir, [srm_check()])
    _write(data_dir, "profiles", pa.table({"profile_id": range(20_000)}), None)
    windows = {"experiment_id": ["homepage"] * 19_985, "analysis_day": [DAY] * 19_985}
    arms = ["control"] * 10_000 + ["treatment"] * 9_985
    _write(data_dir, "profile_windows", pa.table({**windows, "arm": arms}), ["experiment_id", "analysis_day"])
    (data_dir / "truth").mkdir(parents=True, exist_ok=True)
    (data_dir / "truth" / "homepage.json").write_text(json.dumps([truth()]))
    return data_dir


def write_estimates(data_dir: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    _write(data_dir, "estimates", pa.Table.from_pylist(rows), ["experiment_id", "analysis_day"])


def write_rows(data_dir: Path, name: str, rows: Sequence[Mapping[str, Any]], partition_by: list[str]) -> None:
    _write(data_dir, name, pa.Table.from_pylist([*map(dict, rows)]), partition_by)


def write_srm(
    data_dir: Path, rows: Sequence[Mapping[str, Any]], blocked: Sequence[EnrollmentSlice] = ()
) -> None:
    checks = pa.Table.from_pylist([{**row, "observed": None, "expected": None} for row in rows])
    for name, kind in _SRM_MAPS.items():
        maps = pa.array([list(row[name].items()) for row in rows], type=kind)
        checks = checks.set_column(checks.column_names.index(name), name, maps)
    _write(data_dir, "srm_checks", checks, ["experiment_id"])
    if blocked:
        _write(
            data_dir, "enrollment_status", pa.Table.from_pylist([*map(asdict, blocked)]), ["experiment_id"]
        )


def _write(data_dir: Path, name: str, table: pa.Table, partition_by: list[str] | None) -> None:
    # A column of nulls only has no type that Delta knows.
    for position, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(position, field.name, table.column(position).cast(pa.float64()))
    write_deltalake(str(data_dir / "tables" / name), table, partition_by=partition_by, mode="overwrite")
