"""Readouts as files: {data_dir}/readouts/<experiment>/<day>.html, .txt and .json, each replaced whole."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobs.arguments import WorkFailed
from metrics.readout.document import render_json
from metrics.readout.model import Readout
from metrics.readout.page import render_page
from metrics.readout.terminal import render_text


@dataclass(frozen=True)
class ReadoutFiles:
    page: Path
    text: Path
    json: Path


def readout_files(data_dir: Path, experiment_id: str, day: object) -> ReadoutFiles:
    """Where a readout's files are, whether written yet or not."""
    stem = data_dir / "readouts" / experiment_id / str(day)
    return ReadoutFiles(*(stem.with_name(stem.name + end) for end in (".html", ".txt", ".json")))


def registration_file(data_dir: Path, experiment_id: str) -> Path:
    return data_dir / "readouts" / experiment_id / "preregistration.html"


def write_readout(readout: Readout, data_dir: Path) -> ReadoutFiles:
    files = readout_files(data_dir, readout.experiment_id, readout.analysis_day)
    contents = {
        files.page: render_page(readout),
        files.text: render_text(readout),
        files.json: render_json(readout),
    }
    for path, content in contents.items():
        replace_file(path, content)
    return files


def replace_file(path: Path, content: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=".", delete=False, encoding="utf-8"
        ) as file:
            file.write(content)
        Path(file.name).chmod(0o644)  # temporary files are private; a readout is to be read
        Path(file.name).replace(path)
    except OSError as error:
        raise WorkFailed(
            f"readout '{path}' cannot be written: {error.strerror}; free space or correct the folder"
        ) from None
