"""All of a conf folder, read once: the catalogue, the experiments, the sources and where the tables live."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiments
from metrics.configuration.layers import load_layers
from metrics.configuration.sources import Sources, load_sources
from metrics.configuration.yaml import Section, raise_faults, read_section, shown
from metrics.errors import InputError

_SQL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True)
class TableLocation:
    """Tables live under a path, or in a schema of a catalogue (conf/tables.yml)."""

    root: str | None
    namespace: str | None

    def identifier(self, table: str) -> str:
        """The name by which Spark SQL knows the table."""
        return f"delta.`{self.root}/{table}`" if self.root else f"{self.namespace}.{table}"


@dataclass(frozen=True)
class Project:
    """`holdouts`: the share of each layer that no experiment gets, of layers that declare one."""

    conf_dir: Path
    data_dir: Path
    catalogue: Catalogue
    experiments: tuple[Experiment, ...]
    holdouts: Mapping[str, float]
    sources: Sources
    tables: TableLocation
    conf_hash: str

    def experiment(self, experiment_id: str) -> Experiment:
        for experiment in self.experiments:
            if experiment.id == experiment_id:
                return experiment
        known = ", ".join(experiment.id for experiment in self.experiments) or "none"
        raise InputError(
            f"experiment '{experiment_id}' is not in {self.conf_dir}/experiments; known: {known}"
        )


def load_project(conf_dir: Path, data_dir: Path | None = None) -> Project:
    """Read a conf folder. Raises ConfigurationError at the first faulty file, with all its faults."""
    if not conf_dir.is_dir():
        raise InputError(f"conf folder '{conf_dir}' does not exist; give --conf-dir")
    conf_dir = conf_dir.resolve()
    data = resolve_data_dir(conf_dir, data_dir)
    catalogue = load_catalogue(conf_dir / "metrics.yml")
    experiments = load_experiments(conf_dir / "experiments", catalogue)
    return Project(
        conf_dir=conf_dir,
        data_dir=data,
        catalogue=catalogue,
        experiments=experiments,
        holdouts=load_layers(conf_dir / "layers.yml", experiments),
        sources=load_sources(conf_dir / "sources.yml", data),
        tables=load_location(conf_dir / "tables.yml", data),
        conf_hash=_hash_of(conf_dir),
    )


def resolve_data_dir(conf_dir: Path, data_dir: Path | None) -> Path:
    """The given folder, else the environment's WATCHLIFT_DATA_DIR, else `data` beside the conf folder."""
    chosen = data_dir or os.environ.get("WATCHLIFT_DATA_DIR")
    return Path(chosen).resolve() if chosen else conf_dir.parent / "data"


def load_location(path: Path, data_dir: Path) -> TableLocation:
    top = read_section(path)
    root = top.place("root", {"data_dir": str(data_dir)}, None)
    catalog, schema = _sql_name(top, "catalog"), _sql_name(top, "schema")
    given = [key for key in ("root", "catalog", "schema") if key in top.values]
    if not given:
        top.fault("root", "is missing; add it, or catalog and schema")
    elif given not in (["root"], ["catalog", "schema"]):
        top.fault("", f"gives {' and '.join(given)}; give either root, or catalog and schema")
    top.finish()
    raise_faults(top)
    if not root:
        return TableLocation(None, f"{catalog}.{schema}")
    return TableLocation(root if "://" in root else str(path.parent / root), None)


def _sql_name(top: Section, key: str) -> str:
    """A name as it stands in SQL without quotes."""
    name = top.text(key, None)
    if name and not _SQL_NAME.fullmatch(name):
        top.fault(key, f"is {shown(name)}; expected letters, digits and underscores, a letter first")
    return name


def _hash_of(conf_dir: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(filter(Path.is_file, conf_dir.rglob("*.yml"))):
        digest.update(path.relative_to(conf_dir).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
