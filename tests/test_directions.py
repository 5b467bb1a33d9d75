"""Who may import whom (DESIGN §2): jobs use metrics and expectations, which do not know each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"metrics", "expectations", "jobs", "dags", "scripts", "tests"}
ALLOWED = {
    "metrics": {"metrics"},
    "expectations": {"expectations"},
    "jobs": {"jobs", "metrics", "expectations"},
    "dags": {"dags"},
}


def imported(path: Path) -> set[str]:
    """The first names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(ROOT)): imported(f) & (OURS - ALLOWED[room]) for f in files}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_dags_import_neither_spark_nor_anything_heavy() -> None:
    found = {name for file in (ROOT / "dags").glob("*.py") for name in imported(file)}
    assert found.isdisjoint({"pyspark", "delta", "great_expectations", "pandas", "numpy"})
