"""The environment variables that Spark, Airflow and the jobs run with: this checkout's, and no other Spark's."""

import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.java import QUICK_START, archived_classes
from scripts.errors import RunError

ROOT = Path(__file__).resolve().parent.parent
# Another Spark's home or settings, or another project's modules, must not slip in.
FOREIGN = ("SPARK_CONF_DIR", "PYTHONPATH", "PYTHONHOME", "PYSPARK_DRIVER_PYTHON", "AIRFLOW_CONFIG")

# For sessions whose tables hold a few rows, where all time is Spark's own: no generated code for projections, which
# takes a quarter of a small job, and no page of memory of 32 MB for a join of three rows.
FEW_ROWS = {
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.buffer.pageSize": "1m",
}


@dataclass(frozen=True)
class Settings:
    """One run: where it writes, which Spark it uses, where Airflow listens; `own_conf`: another than the project's."""

    data_dir: Path
    master: str = "local[*]"
    port: int = 8080
    root: Path = ROOT
    own_conf: Path | None = None

    @property
    def airflow_home(self) -> Path:
        return self.data_dir / "airflow"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def conf_dir(self) -> Path:
        return self.own_conf or self.root / "conf"

    @property
    def properties_file(self) -> Path:
        """Sizes for a cluster or for this machine, by the master."""
        return self.conf_dir / "spark" / ("cluster.conf" if self.is_cluster else "laptop.conf")

    @property
    def is_cluster(self) -> bool:
        return not self.master.startswith("local")

    def job(self, name: str) -> str:
        return str(self.root / "jobs" / f"{name}.py")


def environment(settings: Settings, quick_start: bool = False) -> dict[str, str]:
    """What every process of a run inherits: paths, the environment's Python, no analytics, UTC.

    With `quick_start` Spark's drivers compile for small jobs.
    """
    own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    scripts = Path(sys.executable).parent
    own |= {
        "PATH": f"{scripts}{os.pathsep}{own.get('PATH', '')}",
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "TZ": "UTC",
        "WATCHLIFT_HOME": str(settings.root),
        "WATCHLIFT_CONF_DIR": str(settings.conf_dir),
        "WATCHLIFT_DATA_DIR": str(settings.data_dir),
        "WATCHLIFT_SPARK_CONF": str(settings.properties_file),
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    if on_this_machine(settings.master):
        own["SPARK_LOCAL_IP"] = "127.0.0.1"  # no look-up of the machine's own name, which may have no address
    if archived := archived_classes():
        own["SPARK_SUBMIT_OPTS"] = archived
    if quick_start:
        own["SPARK_SUBMIT_OPTS"] = f"{own.get('SPARK_SUBMIT_OPTS', '')} {QUICK_START}".strip()
    return own


def take_over(settings: Settings, quick_start: bool = False, spark: Mapping[str, str] | None = None) -> None:
    """Make a run's variables those of this process, whose own Spark then has its settings, and those of `spark`."""
    options = [
        "--properties-file",
        str(settings.properties_file),
        *spark_options(spark or {}),
        "pyspark-shell",
    ]
    variables = {**environment(settings, quick_start), "PYSPARK_SUBMIT_ARGS": shlex.join(options)}
    os.environ.clear()
    os.environ.update(variables)


def spark_options(values: Mapping[str, str]) -> list[str]:
    """Settings as spark-submit takes them."""
    return [part for name, value in values.items() for part in ("--conf", f"{name}={value}")]


def spark_home() -> Path:
    """The folder of this environment's pyspark; found without importing it, which takes a second."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RunError("pyspark is not installed in this environment; run `make setup`")
    return Path(spec.origin).resolve().parent  # Java tells class archives apart by path, links and all


def on_this_machine(master: str) -> bool:
    """Whether Spark's driver and executors all run here."""
    return master.startswith(("local", "spark://127.0.0.1:", "spark://localhost:"))
