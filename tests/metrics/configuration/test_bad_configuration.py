"""Wrong configurations of every kind give lines of file, key and remedy, and start nothing."""

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from metrics.configuration.units import load_unit_experiment
from metrics.configuration.validation import faults_of
from metrics.configuration.yaml import plain
from metrics.errors import ConfigurationError
from tests.metrics.configuration.mutations import KINDS, PROJECTS, ROOT, Mutant, mutants

MUTANTS = 7 * len(KINDS)
_LINE = re.compile(r"(?P<file>[\w.]+): (?:(?P<key>[^:]*): )?(?P<what>.+); (?P<remedy>.+)")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copies of the shipped projects, in which a file at a time is made wrong."""
    root = tmp_path_factory.mktemp("projects")
    return {name: Path(shutil.copytree(folder, root / name)) for name, folder in PROJECTS.items()}


def faults(mutant: Mutant, folders: dict[str, Path]) -> tuple[str, ...]:
    path = folders[mutant.original.project] / mutant.original.file
    path.write_bytes(mutant.content)
    try:
        if mutant.original.type != "units":
            return faults_of(folders[mutant.original.project])
        load_unit_experiment(path)
        return ()
    except ConfigurationError as error:
        return error.faults
    finally:
        path.write_text(mutant.original.text)


def complaint(mutant: Mutant, folders: dict[str, Path]) -> str | None:
    """What is wrong with the answer to a mutant, if anything."""
    try:
        found = faults(mutant, folders)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if not found:
        return "no fault"
    for line in found:
        if len(line) > 1_000 or not line.isprintable() or not _LINE.fullmatch(line):
            return f"not a line of file, key and remedy: {line[:300]!r}"
    file = Path(mutant.original.file).name
    if not any(line.startswith(f"{file}: ") and _is_at(line[len(file) + 2 :], mutant.key) for line in found):
        return f"no line names the key: {found[0]}"
    return None


def _is_at(fault: str, key: tuple[str, ...]) -> bool:
    """Whether a fault is that of a key: it stands at the key, inside it, or at what holds it."""
    places = [".".join(map(plain, key[:n])) for n in range(1, len(key) + 1)]
    return not key or fault.startswith((f"{places[-1]}.", *(f"{place}: " for place in places)))


def test_every_wrong_configuration_is_answered_by_file_key_and_remedy(folders: dict[str, Path]) -> None:
    complaints = [
        (mutant.name, says) for mutant in mutants(MUTANTS, seed=5) if (says := complaint(mutant, folders))
    ]
    assert MUTANTS >= 200
    assert not complaints


def test_the_shipped_files_are_sound(folders: dict[str, Path]) -> None:
    assert faults_of(folders["conf"]) == faults_of(folders["playback"]) == ()


_DAY = ("--day", "2026-03-15")
_OPTIONS = {
    "create_tables": (),
    "simulate_service": ("--from", "2026-02-16"),
    "audit_table": (*_DAY, "--table", "events"),
    "restate_metric": (*_DAY, "--metric", "play_starts_7d", "--reason", "test"),
    "list_alerts": ("--run", "x"),
    "monitor_hour": ("--hour", "2026-03-15T13"),
}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("metrics.yml", "count_if(event_type = 'crash')", "(SELECT count(*) FROM profiles)"),
        ("sources.yml", "max_days_late: 3", "max_days_late: -3"),
        ("experiments/homepage_ranking.yml", "control: 0.5", "control: 0.6"),
        ("tables.yml", "{data_dir}", "{data}"),
    ],
)
def test_no_job_starts_with_a_wrong_configuration(
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conf = Path(shutil.copytree(PROJECTS["conf"], tmp_path / "conf"))
    text = (conf / file).read_text()
    assert old in text
    (conf / file).write_text(text.replace(old, new))
    started: list[str] = []
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", lambda _: started.append("a session"))
    jobs = [
        path.stem
        for path in (ROOT / "jobs").glob("*.py")
        if "def main(" in path.read_text() and path.stem != "cli"
    ]
    assert len(jobs) >= 13
    (tmp_path / "ids").write_text("1\n")
    options = {**_OPTIONS, "erase_profiles": ["--profiles", str(tmp_path / "ids")]}
    for job in jobs:
        main = import_module(f"jobs.{job}").main
        assert main(["--conf-dir", str(conf), *options.get(job, _DAY)]) == 2, job
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"error: {Path(file).name}: "), (job, lines)
    assert not started
