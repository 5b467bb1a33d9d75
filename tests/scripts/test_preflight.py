"""Each fault of the machine is one line that names the thing, the value and the remedy."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts import preflight

SCRIPT = Path(preflight.__file__)
GOOD_MODULES = "java.base@17.0.15\njdk.incubator.vector@17.0.15"


def fake_java(
    folder: Path, version: str = 'openjdk version "17.0.15"', modules: str = GOOD_MODULES
) -> dict[str, str]:
    """An environment whose only Java is a script that says these things."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f"#!/bin/sh\ncase $1 in -version) echo '{version}' >&2;; --list-modules) echo '{modules}';; esac\n"
    )
    java.chmod(0o755)
    return {"JAVA_HOME": str(folder)}


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": "/usr/bin:/bin", **environment}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("version", ['openjdk version "17.0.15"', 'openjdk version "21.0.2" 2024-01-16'])
def test_a_good_machine_passes_in_silence(tmp_path: Path, version: str) -> None:
    done = run(fake_java(tmp_path, version), "--data-dir", str(tmp_path / "not" / "yet"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("version", "said"), [('java version "1.8.0_402"', "1"), ('openjdk version "11.0.2"', "11")]
)
def test_an_old_java_is_named_with_its_version_and_the_remedy(
    tmp_path: Path, version: str, said: str
) -> None:
    line = only_line(run(fake_java(tmp_path, version)))
    assert line.startswith(
        f"preflight: Java at {tmp_path}/bin/java is version {said}; install OpenJDK 17 or 21"
    )


def test_a_java_that_says_nonsense_is_shown(tmp_path: Path) -> None:
    assert "does not tell its version (it says 'Segmentation fault')" in only_line(
        run(fake_java(tmp_path, "Segmentation fault"))
    )


def test_a_cut_down_java_lacks_the_vector_module(tmp_path: Path) -> None:
    line = only_line(run(fake_java(tmp_path, modules="java.base@17.0.15")))
    assert "lacks the module jdk.incubator.vector" in line
    assert "install OpenJDK 17 or 21" in line


def test_no_java_at_all(tmp_path: Path) -> None:
    assert "Java is not on the path and JAVA_HOME is not set" in only_line(run({"PATH": str(tmp_path)}))


def test_a_java_home_without_a_java(tmp_path: Path) -> None:
    assert f"JAVA_HOME is {tmp_path}, which has no bin/java" in only_line(run({"JAVA_HOME": str(tmp_path)}))


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_a_python_out_of_range(version: tuple[int, int]) -> None:
    (fault,) = preflight.python_faults(version)
    assert fault.startswith(f"Python is 3.{version[1]}; install Python 3.11, 3.12 or 3.13")


def test_a_busy_port_is_named_with_a_free_one_to_try(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = only_line(run(fake_java(tmp_path), "--port", str(port)))
    assert f"port {port} for Airflow is not free" in line
    assert f"AIRFLOW_PORT={port + 1}" in line


def test_too_little_space(tmp_path: Path) -> None:
    (fault,) = preflight.folder_faults(str(tmp_path), free_gib=1e9)
    assert f"folder {tmp_path} has " in fault
    assert "GiB free and 1000000000.0 are needed" in fault


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:  # root may write anywhere, so the refusal itself is made up
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(preflight.tempfile, "TemporaryFile", refuse)
    expected = f"folder {tmp_path} cannot be written (Permission denied); make it writable or choose another"
    assert preflight.folder_faults(str(tmp_path / "data"), free_gib=0) == [expected]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    done = run({"JAVA_HOME": str(tmp_path)}, "--disk-gib", "1e9")
    assert len(done.stderr.splitlines()) == 2
