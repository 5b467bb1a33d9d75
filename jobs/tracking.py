"""Logs a readout to MLflow: one run per analysis day and version of its inputs, the same run when repeated."""

import logging
import os
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
    from mlflow.exceptions import MlflowException

    try:
        client = _client(data_dir)
        run_id = _run(client, readout, data_dir)
        for name, value in _parameters(readout).items():
            client.log_param(run_id, name, value)
        day = start_of(readout.analysis_day)
        for name, number in _metrics(readout).items():
            client.log_metric(run_id, name, number, timestamp=int(day.timestamp() * 1000))
        client.set_tag(run_id, "decision", readout.decision.action)
        client.log_artifact(run_id, str(page))
        client.set_terminated(run_id, "FINISHED")
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkFailed(
            f"MLflow did not take the readout {page}: {reason}; check MLFLOW_TRACKING_URI"
        ) from error


def _client(data_dir: Path) -> "MlflowClient":
    # Nobody's data leaves: MLflow's usage reports are off before it is imported (it is slow to import, too).
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    folder = data_dir / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db")


def _run(client: "MlflowClient", readout: Readout, data_dir: Path) -> str:
    experiment_id = _experiment(client, readout, data_dir)
    key = "/".join((str(readout.analysis_day), *_parameters(readout).values()))
    found = client.search_runs([experiment_id], f"tags.`{_KEY}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    name = f"{readout.experiment_id} {readout.analysis_day}"
    return str(client.create_run(experiment_id, tags={_KEY: key}, run_name=name).info.run_id)


def _experiment(client: "MlflowClient", readout: Readout, data_dir: Path) -> str:
    found = client.get_experiment_by_name(readout.experiment_id)
    if found:
        return str(found.experiment_id)
    is_local = "MLFLOW_TRACKING_URI" not in os.environ
    artifacts = (
        (data_dir / "mlflow" / "artifacts" / readout.experiment_id).resolve().as_uri() if is_local else None
    )
    return str(client.create_experiment(readout.experiment_id, artifact_location=artifacts))


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
