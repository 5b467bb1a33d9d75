"""Landing files to readout, against an independent oracle. Kills and second runs: tests/scripts/test_faults.py."""

import gzip
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs.arguments import Days
from jobs.audit_table import AuditFailed
from jobs.render_readout import render_readouts
from jobs.run_day import run_day
from jobs.tables import Tables
from metrics.configuration.project import load_project
from scripts.faults.comparison import rows_of
from tests.end_to_end.conftest import ANALYSIS_DAY, CONF
from tests.end_to_end.golden import golden

pytestmark = [pytest.mark.spark, pytest.mark.slow]
DECISION = {"play_starts_7d": "cuped", "watch_minutes_7d": "cuped", "start_failure_rate": "ratio"}


@pytest.fixture
def copied_run(small_run: Tables, tmp_path: Path) -> Tables:
    """The small run's data in a folder of its own."""
    data = tmp_path / "data"
    shutil.copytree(small_run.project.data_dir, data)
    return Tables(small_run.spark, load_project(CONF, data))


def test_the_estimates_are_what_plain_pandas_and_statsmodels_find_in_the_landing_files(
    small_run: Tables,
) -> None:
    expected = golden(small_run.project.data_dir, ANALYSIS_DAY)
    rows = small_run.read("estimates").where("segment = 'all'").collect()
    for metric, numbers in expected.items():
        row = next(r for r in rows if (r["metric"], r["estimator"]) == (metric, DECISION[metric]))
        assert row["status"] == "ok"
        for name, number in numbers.items():
            assert row[name] == pytest.approx(number, rel=1e-9), (metric, name)


def test_a_bad_day_stops_at_its_audit_and_says_so(copied_run: Tables) -> None:
    tomorrow = ANALYSIS_DAY + timedelta(days=1)
    landing = copied_run.project.data_dir / "landing" / "events" / f"ingest_day={tomorrow}" / "hour=00"
    landing.mkdir(parents=True)
    (landing / "part-0.json.gz").write_bytes(gzip.compress(b""))
    rolled_up = rows_of(copied_run, "profile_days")
    with pytest.raises(AuditFailed, match=f"events.*{tomorrow}|{tomorrow}.*events"):
        run_day(copied_run, Days(tomorrow, tomorrow))
    assert rows_of(copied_run, "profile_days") == rolled_up
    failed = (
        copied_run.read("data_quality_results").where(f"day = DATE'{tomorrow}' AND NOT success").collect()
    )
    assert {row["severity"] for row in failed} >= {"critical"}


def test_the_readout_is_rendered_from_the_tables(small_run: Tables) -> None:
    render_readouts(small_run.project, ANALYSIS_DAY)
    pages = list(small_run.project.data_dir.glob("readouts/homepage_ranking/*.html"))
    assert [page.stem for page in pages] == [str(ANALYSIS_DAY)]
    assert "play_starts_7d" in pages[0].read_text() or "Play starts" in pages[0].read_text()


def test_the_truth_lies_in_the_intervals_or_near(small_run: Tables) -> None:
    """Within four standard errors of the injected effect: a sign or unit fault would not be."""
    truth = json.loads((small_run.project.data_dir / "truth" / "homepage_ranking.json").read_text())
    injected = {
        t["metric"]: t["effect"]
        for t in truth
        if t["segment"] == "all" and date.fromisoformat(t["analysis_day"]) == ANALYSIS_DAY
    }
    rows = small_run.read("estimates").where("segment = 'all' AND estimator IN ('cuped', 'ratio')").collect()
    assert len(rows) == 5
    for row in rows:
        assert abs(row["effect"] - injected[row["metric"]]) < 4 * row["std_error"], row["metric"]
