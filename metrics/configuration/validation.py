"""Every fault of a conf folder at once, where loading stops at the first faulty file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metrics.configuration.catalogue import load_catalogue
from metrics.configuration.experiment import load_experiment
from metrics.configuration.layers import faults_of_layers
from metrics.configuration.project import load_location, load_project, resolve_data_dir
from metrics.configuration.sources import load_sources
from metrics.errors import ConfigurationError, InputError

T = TypeVar("T")


def faults_of(conf_dir: Path, data_dir: Path | None = None) -> tuple[str, ...]:
    """One line per fault, each with file, key and remedy; none for a sound folder.

    Experiments are checked against the catalogue, so only once the catalogue itself is sound.
    """
    if not conf_dir.is_dir():
        raise InputError(f"conf folder '{conf_dir}' does not exist; give --conf-dir")
    faults: list[str] = []
    data = resolve_data_dir(conf_dir, data_dir)
    catalogue = _collect(faults, lambda: load_catalogue(conf_dir / "metrics.yml"))
    _collect(faults, lambda: load_sources(conf_dir / "sources.yml", data))
    _collect(faults, lambda: load_location(conf_dir / "tables.yml", data))
    if catalogue:
        for path in sorted((conf_dir / "experiments").glob("*.yml")):
            _collect(faults, lambda path=path: load_experiment(path, catalogue))  # type: ignore[misc]
    if not faults:
        # What no single file shows, such as two experiments of one id.
        project = _collect(faults, lambda: load_project(conf_dir, data_dir))
        if project:
            faults += faults_of_layers(project.experiments, project.holdouts, project.catalogue)
    return tuple(faults)


def _collect(faults: list[str], load: Callable[[], T]) -> T | None:
    try:
        return load()
    except ConfigurationError as error:
        faults.extend(error.faults)
    except InputError as error:
        faults.append(str(error))
    return None
