"""The data folder of a script: emptied before each run, and only ever if an earlier run of the same one made it."""

import shutil
from pathlib import Path

from scripts.errors import RunError


def marker(maker: str) -> str:
    return f".watchlift-{maker}"


def fresh(folder: Path, maker: str = "demo") -> None:
    """Make the folder exist, empty but for its marker. Raises RunError where it holds anything of somebody else's."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise RunError(f"{folder} is not a plain folder; pass DATA_DIR=… with another")
    content, mark = list(folder.iterdir()) if folder.exists() else [], marker(maker)
    if content and not (folder / mark).is_file():
        raise RunError(
            f"{folder} holds things that the {maker} did not make; move them away or pass DATA_DIR=… with another"
        )
    for path in content:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != mark:  # last of all: while anything is left, the folder stays ours
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    meaning = f"This folder was made by `make {maker}`, and the next `make {maker}` empties it.\n"
    (folder / mark).write_text(meaning, encoding="utf-8")
