import gzip
import json
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.arguments import BAD_INPUT
from jobs.simulate_service import main, simulate
from metrics.configuration.project import load_project
from metrics.simulation.settings import Faults, Settings

CONF = Path(__file__).resolve().parents[2] / "conf"
SETTINGS = Settings(
    profiles=40,
    first_day=date(2026, 3, 1),
    days=3,
    seed=5,
    exposed_share=1.0,
    faults=Faults(late=0.2, broken=0.1),
)


def land(spark: SparkSession, folder: Path, settings: Settings = SETTINGS, file_format: str = "json") -> Path:
    project = load_project(CONF, folder)
    simulate(spark, project, project.experiments[0], settings, file_format)
    return folder


def lines(folder: Path, kind: str) -> dict[str, list[str]]:
    """The lines of every folder in their order."""
    files = sorted((folder / "landing" / kind).rglob("*.json.gz"))
    return {
        str(path.parent.relative_to(folder)): gzip.decompress(path.read_bytes()).decode().splitlines()
        for path in files
    }


@pytest.fixture(scope="module")
def landed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return land(spark, tmp_path_factory.mktemp("landed"))


def test_files_land_by_hour_and_nothing_else_is_left(landed: Path) -> None:
    files = [path.relative_to(landed) for path in landed.rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} == {"landing", "truth"}
    by_kind = {kind: lines(landed, kind) for kind in ("events", "exposures", "profiles")}
    assert sum(len(found) for found in by_kind.values()) == len(files) - 1
    days = {f"ingest_day=2026-03-0{n}" for n in (1, 2, 3)}
    assert {Path(name).parts[2] for name in by_kind["events"]} == days
    assert {Path(name).parts[3] for name in by_kind["events"]} <= {f"hour={hour:02d}" for hour in range(24)}
    assert {Path(name).name for name in by_kind["profiles"]} == days
    # The experiment starts on the second day.
    assert {Path(name).parts[2] for name in by_kind["exposures"]} == days - {"ingest_day=2026-03-01"}


def test_late_events_keep_their_time_in_a_later_folder(landed: Path) -> None:
    late = 0
    for name, found in lines(landed, "events").items():
        day = name.split("ingest_day=")[1][:10]
        late += sum(f'"ts":"{day}' not in line for line in found if line.endswith("}"))
    assert late > 20


def test_a_second_run_replaces_its_days_by_the_same_rows(
    spark: SparkSession, landed: Path, tmp_path: Path
) -> None:
    stray = tmp_path / "landing/events/ingest_day=2026-03-02/hour=99/part-0.json.gz"
    older = tmp_path / "landing/events/ingest_day=2026-02-01/hour=00/part-0.json.gz"
    for path in (stray, older):
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(b"from before\n"))
    again = land(spark, tmp_path)
    events = lines(again, "events")
    assert events.pop("landing/events/ingest_day=2026-02-01/hour=00") == ["from before"]
    assert events == lines(landed, "events")
    for kind in ("exposures", "profiles"):
        assert {name: sorted(rows) for name, rows in lines(again, kind).items()} == {
            name: sorted(rows) for name, rows in lines(landed, kind).items()
        }
    truth = Path("truth/homepage_ranking.json")
    assert (again / truth).read_text() == (landed / truth).read_text()


def test_the_truth_is_a_row_per_metric_and_segment_level(landed: Path) -> None:
    rows = json.loads((landed / "truth/homepage_ranking.json").read_text())
    assert {row["analysis_day"] for row in rows} == {"2026-03-03"}
    of_all = {row["metric"]: row for row in rows if row["segment"] == "all"}
    assert set(of_all) == {
        "play_starts_7d", "watch_minutes_7d", "start_failure_rate", "rebuffering_ratio", "crash_rate",
    }  # fmt: skip
    # Nobody has matured for seven days yet: unknown, not zero.
    assert of_all["play_starts_7d"]["control_mean"] is None
    assert of_all["play_starts_7d"]["n_profiles"] == 0
    assert of_all["start_failure_rate"]["control_mean"] > 0


def test_parquet_holds_the_same_events(spark: SparkSession, landed: Path, tmp_path: Path) -> None:
    land(spark, tmp_path, file_format="parquet")
    flat = spark.read.parquet(str(tmp_path / "landing" / "events"))
    json_rows = spark.read.schema("event_id STRING").json(str(landed / "landing" / "events"))
    assert flat.count() == json_rows.count()
    assert dict(flat.dtypes)["ts"] == "string"
    assert dict(flat.dtypes)["attributes"] == "map<string,string>"
    assert list((tmp_path / "landing").rglob("*.json.gz")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--late", "2"], "--late is 2.0; give a share from 0 to 1"),
        (["--harm", "crash_rate"], "harm 'crash_rate' is not METRIC=NUMBER"),
        (["--experiment", "nothing"], "experiment 'nothing' is not in"),
        (["--truth-days", "40"], "--truth-days is 40; give 0 to 28"),
        (["--from", "yesterday"], "day 'yesterday' is not a date"),
        (["--profiles", "0"], "0 profiles over 28 days is empty"),
    ],
)
def test_bad_options_are_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--conf-dir", str(CONF), *options]) == BAD_INPUT
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
