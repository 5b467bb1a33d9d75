"""The demo's data folder: emptied before each run, and only ever if an earlier demo made it."""

import shutil
from pathlib import Path

from scripts.errors import RunError

MARKER = ".watchlift-demo"
MEANING = "This folder was made by `make demo`, and the next `make demo` empties it.\n"


def fresh(folder: Path) -> None:
    """Make the folder exist, empty but for its marker. Raises RunError where it holds anything of somebody else's."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise RunError(f"{folder} is not a plain folder; pass DATA_DIR=… with another")
    content = list(folder.iterdir()) if folder.exists() else []
    if content and not (folder / MARKER).is_file():
        raise RunError(
            f"{folder} holds things that the demo did not make; move them away or pass DATA_DIR=… with another"
        )
    for path in content:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:  # last of all: while anything is left, the folder stays ours
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(MEANING, encoding="utf-8")
