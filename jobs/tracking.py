"""Logs to MLflow: a readout, one run per analysis day and version of its inputs, and a pre-registration, one per file;
the same run when repeated.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.arguments import WorkFailed
from metrics.enrollment import start_of
from metrics.readout.model import Readout

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEY = "watchlift.key"


def log_readout(readout: Readout, page: Path, data_dir: Path) -> None:
    """Effects, intervals and p values as metrics, what they rest on as parameters, the page as artifact.

    The store is MLFLOW_TRACKING_URI, else an SQLite file in {data_dir}/mlflow. Raises WorkFailed.
    """
    parameters = _parameters(readout)
    key = "/".join((str(readout.analysis_day), *parameters.values()))
    name = f"{readout.experiment_id} {readout.analysis_day}"
    with _kept_run(readout.experiment_id, key, name, page, data_dir) as (client, run_id):
        for parameter, value in parameters.items():
            client.log_param(run_id, parameter, value)
        day = start_of(readout.analysis_day)
        for metric, number in _metrics(readout).items():
            client.log_metric(run_id, metric, number, timestamp=int(day.timestamp() * 1000))
        client.set_tag(run_id, "decision", readout.decision.action)


def log_registration(experiment_id: str, spec_hash: str, page: Path, data_dir: Path) -> None:
    """The page as artifact of a run for this experiment file. Raises WorkFailed."""
    key, name = f"preregistration/{spec_hash}", f"{experiment_id} pre-registration"
    with _kept_run(experiment_id, key, name, page, data_dir) as (client, run_id):
        client.log_param(run_id, "spec_hash", spec_hash)


@contextmanager
def _kept_run(
    experiment_id: str, key: str, name: str, page: Path, data_dir: Path
) -> Iterator[tuple["MlflowClient", str]]:
    """The run of this key, found again or begun, with the page as artifact; finished at the end."""
    # Nobody's data leaves: MLflow's usage reports are off before it is imported (it is slow to import, too).
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    from mlflow.exceptions import MlflowException

    try:
        client = _client(data_dir)
        run_id = _run(client, _experiment(client, experiment_id, data_dir), key, name)
        yield client, run_id
        client.log_artifact(run_id, str(page))
        client.set_terminated(run_id, "FINISHED")
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkFailed(f"MLflow did not take {page}: {reason}; check MLFLOW_TRACKING_URI") from error


def _client(data_dir: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    folder = data_dir / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db")


def _run(client: "MlflowClient", experiment: str, key: str, name: str) -> str:
    found = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    return str(client.create_run(experiment, tags={_KEY: key}, run_name=name).info.run_id)


def _experiment(client: "MlflowClient", name: str, data_dir: Path) -> str:
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    is_local = "MLFLOW_TRACKING_URI" not in os.environ
    artifacts = (data_dir / "mlflow" / "artifacts" / name).resolve().as_uri() if is_local else None
    return str(client.create_experiment(name, artifact_location=artifacts))


def _parameters(readout: Readout) -> dict[str, str]:
    provenance = readout.provenance
    return {
        "epoch": str(readout.epoch),
        "spec_hash": provenance.spec_hash,
        "input_version": ",".join(provenance.input_versions),
        "code_version": ",".join(provenance.code_versions),
    }


def _metrics(readout: Readout) -> dict[str, float]:
    numbers = {}
    for reading in readout.metrics:
        row = reading.estimate
        prefix = f"{row.metric}.{row.arm}" if readout.has_several_treatments else row.metric
        for name in ("effect", "ci_low", "ci_high", "relative_effect", "p_value", "mde"):
            value = getattr(row, name)
            if value is not None:
                numbers[f"{prefix}.{name}"] = value
    return numbers
