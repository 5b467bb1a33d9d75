"""The rollout: whom its service exposes, what it does to them, and that a ledger spent twice is seen."""

from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from metrics.assignment import allocate
from metrics.configuration.project import Project, load_project
from metrics.enrollment import start_of
from metrics.rows import LookRow
from scripts.environment import ROOT
from scripts.errors import RunError
from scripts.rollout.__main__ import main
from scripts.rollout.checks import Checks
from scripts.rollout.service import HARMS, HARMS_FROM, LIFTS, NULL, START, Service, write_experiments
from tests.jobs.result_tables import write_rows


@pytest.fixture
def project(tmp_path: Path) -> Project:
    conf = tmp_path / "conf"
    write_experiments(conf / "experiments")
    for name in ("metrics.yml", "sources.yml", "tables.yml"):
        (conf / name).write_text((ROOT / "conf" / name).read_text())
    return load_project(conf, tmp_path)


@pytest.fixture
def landed(project: Project) -> dict[str, pd.DataFrame]:
    """The second day, on which half of each layer is open."""
    service = Service.of(6_000, project.data_dir, 3)
    open_ = {each.id: allocate(each, 0.5, start_of(START)) for each in project.experiments}
    service.live(HARMS_FROM, open_)
    return {
        source: pd.concat(
            [pd.read_json(path, lines=True) for path in (project.data_dir / "landing" / source).rglob("*.gz")]
        )
        for source in ("exposures", "events")
    }


def test_visitors_are_exposed_by_the_allocations_in_layers_of_their_own(
    project: Project, landed: dict[str, pd.DataFrame]
) -> None:
    exposures, visitors = landed["exposures"], set(landed["events"]["profile_id"])
    for experiment in project.experiments:
        allocation = allocate(experiment, 0.5, start_of(START))
        mine = exposures[exposures["experiment_id"] == experiment.id]
        due = {profile: allocation.arm_of(profile) for profile in visitors}
        assert dict(zip(mine["profile_id"], mine["arm"], strict=True)) == {
            profile: arm for profile, arm in due.items() if arm
        }
    # Independent layers: a quarter of the visitors is in two of them.
    both = exposures.groupby("profile_id")["experiment_id"].agg(lambda names: {LIFTS, NULL} <= set(names))
    assert both.sum() / len(visitors) == pytest.approx(0.25, abs=0.03)


def test_one_treatment_lifts_plays_another_harms_rebuffering_and_the_third_nothing(
    landed: dict[str, pd.DataFrame],
) -> None:
    events, exposures = landed["events"], landed["exposures"]
    plays = events[events["event_type"] == "play_start"].groupby("profile_id").size()
    rebuffering = events.groupby("profile_id")[["rebuffer_ms", "watch_ms"]].sum()
    assert events["event_id"].is_unique

    def of(name: str, arm: str) -> pd.Series:
        mine = exposures[(exposures["experiment_id"] == name) & (exposures["arm"] == arm)]
        return mine["profile_id"]

    def mean_plays(name: str, arm: str) -> float:
        return float(plays.reindex(of(name, arm)).fillna(0).mean())

    def waited(name: str, arm: str) -> float:
        sums = rebuffering.reindex(of(name, arm)).sum()
        return float(sums["rebuffer_ms"] / sums["watch_ms"])

    assert mean_plays(LIFTS, "treatment") - mean_plays(LIFTS, "control") == pytest.approx(0.1, abs=0.04)
    assert waited(HARMS, "treatment") - waited(HARMS, "control") == pytest.approx(0.008, abs=0.003)
    assert abs(mean_plays(NULL, "treatment") - mean_plays(NULL, "control")) < 0.04
    assert abs(waited(NULL, "treatment") - waited(NULL, "control")) < 0.003


def look(number: int, version: str = "v1", **changed: float) -> LookRow:
    row = LookRow(
        experiment_id=LIFTS,
        epoch=0,
        metric="crash_rate",
        arm="treatment",
        look=number,
        input_version=version,
        analysis_day=START + timedelta(days=number - 1),
        information=100.0 * number,
        information_fraction=0.1 * number,
        alpha_spent=0.01 * number,
        z_boundary=2.4,
        nominal_p=0.016,
        statistic=0.3,
        repeated_ci_low=-0.1,
        repeated_ci_high=0.2,
        crossed=False,
    )
    return replace(row, **changed)  # type: ignore[arg-type]


def test_looks_that_were_doubled_lost_or_changed_are_seen(project: Project) -> None:
    before = [look(1), look(2)]

    def checks(*now: LookRow) -> Checks:
        write_rows(project.data_dir, "looks", [asdict(each) for each in now], ["experiment_id"])
        return Checks(project)

    checks(*before).one_version(LIFTS, "so far")
    again = [START + timedelta(days=1)]
    checks(*before, look(2, "v2", statistic=0.4)).kept(LIFTS, before, again)
    with pytest.raises(RunError, match="more than one version"):
        checks(*before, look(2, "v2")).one_version(LIFTS, "so far")
    with pytest.raises(RunError, match="old looks lost or changed: 1; expected 0"):
        checks(look(1), look(2, statistic=0.4)).kept(LIFTS, before, again)
    with pytest.raises(RunError, match=r"days with a second version: none; expected 03-03"):
        checks(*before).kept(LIFTS, before, again)
    with pytest.raises(RunError, match=r"days with a second version: 03-02, 03-03; expected 03-03"):
        checks(*before, look(1, "v2"), look(2, "v2")).kept(LIFTS, before, again)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["--data-dir", str(tmp_path)]) == 1
    assert "holds things that the rollout did not make" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
