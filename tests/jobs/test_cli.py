import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from metrics.bucketing import arm_of, arm_salt, bucket
from metrics.enrollment import blocked
from metrics.rows import SrmCheck, row_of
from tests.jobs.result_tables import write_configuration, write_results, write_srm
from tests.result_rows import EXPERIMENT, srm_check


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    return ["--conf-dir", str(write_configuration(tmp_path / "conf")), "--data-dir", str(tmp_path / "data")]


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    """Standard output as one JSON document without NaN."""
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))


def test_readout_prints_the_latest_day(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "data")
    assert main(["readout", "homepage", *folders]) == 0
    text = capsys.readouterr().out
    assert text.startswith("=" * 80 + "\nhomepage: readout of 2026-03-21\n")
    assert "PAGE:" not in text
    page = tmp_path / "data" / "readouts" / "homepage" / "2026-03-21.html"
    page.parent.mkdir(parents=True)
    page.touch()
    assert main(["readout", "homepage", *folders]) == 0
    assert capsys.readouterr().out.endswith(f"PAGE: {page}\n")


def test_readout_as_json(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "data")
    assert main(["readout", "homepage", "--day", "2026-03-21", "--format", "json", *folders]) == 0
    found = answer(capsys)
    assert found["decision"]["action"] == "ship"
    assert found["metrics"][0]["truth"]["effect"] == 0.45
    assert found["arms"][0]["crossovers"] == 10


def test_errors_are_one_line_and_one_document(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for ask in (["homepage"], ["homepage", "--day", "2026-03-20"], ["nope"], ["homepage", "--day", "soon"]):
        assert main(["readout", *ask, "--format", "json", *folders]) == 2
        printed = capsys.readouterr()
        assert printed.err == f"error: {json.loads(printed.out)['error']}\n"
        assert main(["readout", *ask, *folders]) == 2
        assert capsys.readouterr().out == ""


def test_data_docs_without_audits_are_refused(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data-docs", *folders]) == 2
    assert capsys.readouterr().err == (
        "error: no audits were recorded yet; run jobs/run_day.py, or name another --day\n"
    )


def test_srm_of_an_experiment_tells_what_was_known_when(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def at(hour: int, control: int, treatment: int, log_e: float) -> dict[str, Any]:
        return srm_check(
            window_end=datetime(2026, 3, 2, hour, tzinfo=UTC),
            observed={"control": control, "treatment": treatment},
            log_e_value=log_e,
            triggered=log_e > 4.6,
        )

    assert main(["srm", "homepage", *folders]) == 2
    assert "experiment 'homepage' was not checked yet" in capsys.readouterr().err
    checks = [
        at(13, 600, 900, 30.0),
        at(12, 505, 495, -2.0),
        at(11, 250, 250, -3.0) | {"window_kind": "hour"},
    ]
    write_srm(tmp_path / "data", checks, blocked([row_of(SrmCheck, checks[0])]))
    assert main(["srm", "homepage", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["2026-03-02", "12:00", "1,000", "0", "-2", "4.6", "0", "all"]
    assert lines[4].split() == ["2026-03-02", "13:00", "1,500", "0", "30", "4.6", "1", "all"]
    assert lines[6] == "BLOCKED everybody since 2026-03-02 13:00, 1,500 profiles exposed by then:"
    assert lines[7].startswith("  sample ratio: control 600 profiles (10,000 planned)")
    assert max(map(len, lines)) <= 80
    assert main(["srm", "homepage", "--format", "json", *folders]) == 0
    found = answer(capsys)
    assert [row["observed"]["control"] for row in found["timeline"]] == [250, 505, 600]
    assert found["blocked"][0]["since"] == "2026-03-02T13:00:00+00:00"


def test_srm_takes_an_experiment_or_numbers(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    both = ["homepage", "--counts", "a=1", "b=2"]
    for ask in ([], both, ["--counts", "a=1", "b=2"], ["homepage", "--prior-k", "5"]):
        assert main(["srm", *ask, *folders]) == 2
        assert capsys.readouterr().err.startswith("error: give an EXPERIMENT, or --counts")


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nope"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_validate_finds_no_fault(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--format", "json", *folders]) == 0
    assert answer(capsys) == {"faults": []}


def test_validate_names_every_fault_of_every_file(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "conf"
    (conf / "experiments" / "homepage.yml").write_text(EXPERIMENT.replace("id:", "idd:") + "colour: red\n")
    (conf / "experiments" / "other.yml").write_text(EXPERIMENT.replace("0.5}", "0.6}", 1))
    (conf / "tables.yml").write_text("rot: x\n")
    assert main(["validate", *folders]) == 2
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    for fault in (
        "homepage.yml: id:",
        "homepage.yml: idd:",
        "homepage.yml: colour:",
        "other.yml: arms:",
        "tables.yml: ",
    ):
        assert [line for line in lines if line.startswith(fault)], fault
    assert printed.err == f"error: {conf} has {len(lines)} faults; mend them, then validate again\n"
    assert main(["validate", "--format=json", *folders]) == 2
    assert answer(capsys)["faults"] == lines


def test_validate_refuses_two_experiments_of_one_id(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "experiments" / "twin.yml").write_text(EXPERIMENT)
    assert main(["validate", *folders]) == 2
    assert "twin.yml: id: 'homepage' is that of homepage.yml, too; rename one" in capsys.readouterr().out


def test_buckets_of_a_salt_have_no_arm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bucket", "--salt", "layer:x", "7", "-7", "7", "--format", "json"]) == 0
    seven = {"id": 7, "bucket": bucket("layer:x", 7), "arm": None}
    assert answer(capsys) == [seven, {"id": -7, "bucket": bucket("layer:x", -7), "arm": None}, seven]


def test_buckets_of_an_experiment_have_its_arms(
    folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["bucket", "--experiment", "homepage", *map(str, range(50)), "--format", "json", *folders]) == 0
    )
    rows = answer(capsys)
    assert {row["arm"] for row in rows} == {"control", "treatment"}
    for row in rows:
        assert row["bucket"] == bucket(arm_salt("homepage"), row["id"])
        assert row["arm"] == arm_of(row["bucket"], {"control": 0.5, "treatment": 0.5})


def test_a_reader_that_stops_reading_is_no_error() -> None:
    """As in `watchlift bucket … | head`: here it has gone before anything is printed."""
    command = [sys.executable, "-m", "jobs.cli", "bucket", "--salt", "s", "1", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_ids_must_fit_into_64_bits(capsys: pytest.CaptureFixture[str]) -> None:
    for unit_id in ("x", str(2**63)):
        assert main(["bucket", "--salt", "s", unit_id]) == 2
        assert "ids are BIGINT" in capsys.readouterr().err
