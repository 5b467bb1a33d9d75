"""The jars' lock: what is accepted onto the class path, and what is not."""

import hashlib
from pathlib import Path

import pytest

from scripts.environment import ROOT
from scripts.errors import RunError
from scripts.fetch_jars import Jar, fetch, link_into, missing, place, read_lock, remove_others

CONTENT = b"a jar"
STORAGE = Jar(hashlib.sha256(CONTENT).hexdigest(), "io.delta", "delta-storage", "4.4.0")


def resolved(folder: Path, content: bytes = CONTENT) -> Path:
    """A folder as Ivy leaves it."""
    folder.mkdir()
    (folder / "io.delta_delta-storage-4.4.0.jar").write_bytes(content)
    return folder


def test_the_checked_in_lock_names_six_jars_of_the_locked_delta() -> None:
    jars = read_lock(ROOT / "requirements-jars.lock")
    assert [jar.artifact for jar in jars] == [
        "delta-spark_4.2_2.13",
        "delta-storage",
        "delta-kernel-api",
        "delta-kernel-defaults",
        "delta-kernel-unitycatalog",
        "unitycatalog-client",
    ]
    requirements = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert f"\ndelta-spark=={jars[0].version} " in requirements
    spark = jars[0].artifact.removeprefix("delta-spark_").split("_")[0]
    assert f"\npyspark=={spark}." in requirements
    assert f"\npyspark-client=={spark}." in requirements


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("# a comment\n\nabc io.delta:delta-storage:4.4.0\n")
    with pytest.raises(RunError, match=r"jars\.lock line 3: 'abc io\.delta"):
        read_lock(lock)


def test_a_jar_with_the_locked_hash_is_placed_under_its_own_name(tmp_path: Path) -> None:
    place([STORAGE], resolved(tmp_path / "ivy"), tmp_path)
    assert (tmp_path / "delta-storage-4.4.0.jar").read_bytes() == CONTENT
    assert missing([STORAGE], tmp_path) == []


def test_a_jar_with_other_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"io\.delta:delta-storage:4\.4\.0 has sha256 .* but requirements-jars\.lock states"
    ):
        place([STORAGE], resolved(tmp_path / "ivy", b"something else"), tmp_path)
    assert not (tmp_path / "delta-storage-4.4.0.jar").exists()


def test_a_jar_that_did_not_come_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="did not come with"):
        place([STORAGE], tmp_path, tmp_path)


def test_a_damaged_jar_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / STORAGE.file_name).write_bytes(b"half a j")
    assert missing([STORAGE], tmp_path) == [STORAGE]


def test_an_earlier_version_leaves_both_folders(tmp_path: Path) -> None:
    jars, class_path = tmp_path / "jars", tmp_path / "spark"
    for folder in (jars, class_path):
        folder.mkdir()
        (folder / "delta-storage-4.3.0.jar").write_bytes(b"old")
    (jars / STORAGE.file_name).write_bytes(CONTENT)
    (class_path / "spark-core.jar").write_bytes(b"spark's own")
    remove_others([STORAGE], jars, class_path)
    link_into([STORAGE], jars, class_path)
    assert sorted(path.name for path in class_path.iterdir()) == [STORAGE.file_name, "spark-core.jar"]
    assert [path.name for path in jars.iterdir()] == [STORAGE.file_name]


def test_nothing_is_fetched_where_everything_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be started")

    monkeypatch.setattr("scripts.fetch_jars.subprocess.run", no_network)
    jars, class_path, lock = tmp_path / "jars", tmp_path / "spark", tmp_path / "jars.lock"
    jars.mkdir()
    class_path.mkdir()
    (jars / STORAGE.file_name).write_bytes(CONTENT)
    lock.write_text(f"{STORAGE.sha256}  {STORAGE.coordinate}\n")
    assert fetch(lock, jars, class_path) == []
    assert (class_path / STORAGE.file_name).read_bytes() == CONTENT
