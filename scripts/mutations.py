"""Whether the tests see it when a formula is broken: each of the listed mutations alone, in a copy of the project.

python -m scripts.mutations > docs/mutations.md        (ten minutes; no Spark)
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.environment import ROOT
from scripts.mutation_list import MUTATIONS, Mutation

_COPIED = ("metrics", "expectations", "jobs", "scripts", "conf", "tests", "pyproject.toml")
_HEAD = """# Each formula broken once

Made by `python -m scripts.mutations`. Each row is one fault in the code of a formula, alone, and the first test that
failed for it. A fault that no test sees is in bold.

| formula | what is broken | seen by |
|---|---|---|"""


def copied_project(folder: Path) -> Path:
    """A copy of what the tests need; what they read beside the project is linked."""
    project = folder / "project"
    project.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, project / name)
    shared = ROOT.parent / "shared"
    if shared.exists():
        (folder / "shared").symlink_to(shared)
    return project


def first_failure(project: Path, mutation: Mutation) -> str | None:
    """The test that sees the mutation in the copied project; None if none does. The copy is left as it was.

    Raises ValueError where what is to be broken is not there, or the tests did not run at all.
    """
    path = project / "metrics" / mutation.file
    right = path.read_text(encoding="utf-8")
    if mutation.right not in right:
        raise ValueError(
            f"{mutation.file} has no '{mutation.right}'; bring scripts/mutation_list.py up to date"
        )
    tests = [f"tests/metrics/{name}" for name in mutation.tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *tests]
    path.write_text(right.replace(mutation.right, mutation.wrong, 1), encoding="utf-8")
    try:
        run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    finally:
        path.write_text(right, encoding="utf-8")
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if run.returncode > 1 and not failed:
        raise ValueError(f"the tests of {mutation.file} did not run: {run.stdout[-300:]}{run.stderr[-300:]}")
    return failed[0].split(" - ")[0].split(" ", 1)[1].removeprefix("tests/metrics/") if failed else None


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if a mutation was not seen."""
    argparse.ArgumentParser(description="Break each formula once, and print which test sees it.").parse_args(
        argv
    )
    print(_HEAD)
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="watchlift-mutations-") as folder:
        project = copied_project(Path(folder))
        for mutation in MUTATIONS:
            seen_by = first_failure(project, mutation)
            unseen += seen_by is None
            shown = f"`{seen_by}`" if seen_by else "**none**"
            print(f"| {mutation.formula} | {mutation.broken} | {shown} |", flush=True)
    print(f"\n{len(MUTATIONS)} mutations, {unseen} not seen.")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
