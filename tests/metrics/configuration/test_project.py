import shutil
from pathlib import Path

import pytest

from metrics.configuration.project import load_location, load_project
from metrics.errors import ConfigurationError, InputError

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def test_paths_follow_the_data_folder(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHLIFT_DATA_DIR", raising=False)
    assert load_project(conf).tables.identifier("events") == f"delta.`{tmp_path}/data/tables/events`"
    monkeypatch.setenv("WATCHLIFT_DATA_DIR", str(tmp_path / "elsewhere"))
    assert load_project(conf).tables.identifier("events") == f"delta.`{tmp_path}/elsewhere/tables/events`"
    given = load_project(conf, tmp_path / "given")
    assert given.sources.events[0].path.startswith(f"{tmp_path}/given/landing/events/ingest_day=")


def test_tables_may_live_in_a_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "tables.yml"
    path.write_text("catalog: main\nschema: lift\n")
    assert load_location(path, tmp_path).identifier("events") == "main.lift.events"
    path.write_text("catalog: main\n")
    with pytest.raises(ConfigurationError, match="give either root, or catalog and schema"):
        load_location(path, tmp_path)


def test_a_source_that_lacks_a_column_is_refused(conf: Path) -> None:
    sources = conf / "sources.yml"
    sources.write_text(sources.read_text().replace("      event_id: event_id\n", ""))
    with pytest.raises(
        ConfigurationError, match=r"sources\.yml: events\.playback\.columns\.event_id: is missing"
    ):
        load_project(conf)


def test_a_project_without_events_is_refused(conf: Path) -> None:
    (conf / "sources.yml").write_text("events: {}\n")
    with pytest.raises(
        ConfigurationError, match=r"sources\.yml: events: has no source; say where events land"
    ):
        load_project(conf)


def test_two_files_may_not_share_an_experiment_id(conf: Path) -> None:
    shutil.copy(conf / "experiments" / "homepage_ranking.yml", conf / "experiments" / "copy.yml")
    with pytest.raises(
        ConfigurationError,
        match=r"homepage_ranking\.yml: id: 'homepage_ranking' is that of copy\.yml, too; rename one",
    ):
        load_project(conf)


def test_a_missing_folder_and_an_unknown_experiment_say_what_to_do(conf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --conf-dir"):
        load_project(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"experiment 'x' is not in .*; known: homepage_ranking"):
        load_project(conf).experiment("x")


def test_the_day_of_a_row_is_asked_of_a_delta_table_and_of_nothing_else(conf: Path, tmp_path: Path) -> None:
    sources = conf / "sources.yml"
    text = sources.read_text()
    sources.write_text(text.replace("format: json", "format: json\n    ingest_day: to_date(ts)", 1))
    with pytest.raises(
        ConfigurationError, match=r"events\.playback\.ingest_day: is for Delta tables; give the day"
    ):
        load_project(conf, tmp_path)
    sources.write_text(text.replace("format: json", "format: delta", 1))
    with pytest.raises(
        ConfigurationError, match=r"events\.playback\.path: holds \{day\}; give a Delta table's folder"
    ):
        load_project(conf, tmp_path)
    sources.write_text(text.replace("format: json", "format: delta\n    ingest_day: now()", 1))
    with pytest.raises(ConfigurationError, match=r"events\.playback\.ingest_day: "):
        load_project(conf, tmp_path)
