import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.arguments import Days
from jobs.tables import Tables
from metrics.configuration.project import load_project

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(scope="session")
def empty_tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all tables created and empty: Delta tables under a path may be copied."""
    folder = tmp_path_factory.mktemp("empty")
    Tables(spark, load_project(CONF, folder)).create()
    return folder


@pytest.fixture
def tables(spark: SparkSession, empty_tables: Path, tmp_path: Path) -> Tables:
    """The project's own configuration over a data folder of its own, with all tables empty."""
    shutil.copytree(empty_tables / "tables", tmp_path / "tables")
    return Tables(spark, load_project(CONF, tmp_path))


@pytest.fixture
def content(tables: Tables) -> Callable[[str], list[tuple[Any, ...]]]:
    """A table's rows in an order of their own, to compare a table with itself after a second run."""

    def rows(name: str) -> list[tuple[Any, ...]]:
        return sorted((tuple(row) for row in tables.read(name).collect()), key=repr)

    return rows


def on(day: str, last: str | None = None) -> Days:
    return Days(date.fromisoformat(day), date.fromisoformat(last or day))
