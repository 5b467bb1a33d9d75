"""An experiment is registered by the days before it starts; from then on its primary is looked at every day."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs.arguments import Days
from jobs.decide_rollout import decide_rollout
from jobs.epochs import refuse_changed, running
from jobs.registration import history_span, register, registered
from jobs.tables import Tables
from metrics.configuration.experiment import Amendment
from metrics.configuration.project import load_project
from metrics.errors import InputError
from tests.end_to_end.conftest import ANALYSIS_DAY, CONF

pytestmark = [pytest.mark.spark, pytest.mark.slow]
EXPOSED, LAST = date(2026, 2, 23), date(2026, 3, 1)  # of 14 days before the start


@pytest.fixture
def tables(small_run: Tables, tmp_path: Path) -> Tables:
    """As of the eve of the start: profile_days ends there."""
    shutil.copytree(small_run.project.data_dir / "tables", tmp_path / "tables")
    tables = Tables(small_run.spark, load_project(CONF, tmp_path), reason="test")
    later = {"day": Days(LAST + timedelta(days=1), ANALYSIS_DAY).all}
    tables.replace("profile_days", tables.read("profile_days").where("false"), later)
    return tables


def begin(tables: Tables, small_run: Tables) -> None:
    shutil.rmtree(tables.project.data_dir / "tables" / "profile_days")
    folder = small_run.project.data_dir / "tables" / "profile_days"
    shutil.copytree(folder, tables.project.data_dir / "tables" / "profile_days")


def test_the_history_tells_what_can_be_found_and_the_looks_are_planned_by_it(
    tables: Tables, small_run: Tables
) -> None:
    experiment = tables.project.experiments[0]
    assert registered(tables.project, experiment) == ()
    rows = {(row.metric, row.stratum): row for row in register(tables, experiment)}

    days = tables.read_days("profile_days", Days(EXPOSED, LAST).all).toPandas()
    active = days[days["day"] == EXPOSED]["profile_id"]
    plays = days[days["profile_id"].isin(active)].groupby("profile_id")["play_starts"].sum()
    primary = rows["play_starts_7d", "all"]
    assert primary.baseline_mean == pytest.approx(plays.mean())
    assert primary.baseline_sd == pytest.approx(plays.std())
    assert primary.rho is not None and 0.2 < primary.rho < 1
    assert primary.n_per_arm is not None and primary.max_information is not None
    assert {row.stratum for row in rows.values()} >= {"all", "tenure_band:established"}
    assert any("|" in row.stratum and row.n_per_arm for row in rows.values())
    margins = [rows[name, "all"] for name in experiment.guardrails]
    assert all(row.max_information for row in margins)

    assert set(registered(tables.project, experiment)) == set(rows.values())
    begin(tables, small_run)
    decide_rollout(tables, Days(ANALYSIS_DAY, ANALYSIS_DAY))
    (look,) = tables.read("looks").where("metric = 'play_starts_7d'").collect()
    assert look["information_fraction"] == pytest.approx(look["information"] / primary.max_information)
    assert look["alpha_spent"] < 0.05


def test_what_was_registered_does_not_change_under_way(tables: Tables, small_run: Tables) -> None:
    experiment = tables.project.experiments[0]
    register(tables, experiment)
    assert (
        registered(tables.project, replace(experiment, spec_hash="another")) == ()
    )  # before the start it may
    begin(tables, small_run)
    with pytest.raises(InputError, match="began on 2026-03-02: what is planned is registered before"):
        register(tables, experiment)
    other = replace(experiment, spec_hash="another")
    changed = Tables(tables.spark, replace(tables.project, experiments=(other,)))
    day, done = Days(ANALYSIS_DAY, ANALYSIS_DAY), []

    def estimate(*_: object) -> None:
        refuse_changed(lambda *_: done.append(running(changed, ANALYSIS_DAY)))(changed, day)

    for refused in (register, estimate):
        with pytest.raises(InputError, match=f"began by another file \\({experiment.spec_hash}, now another"):
            refused(tables, other)
    assert done == [[]]  # others of the day would have run
    amended = replace(other, amendments=(Amendment(ANALYSIS_DAY, "a typo", experiment.spec_hash),))
    assert registered(tables.project, amended)
    assert running(Tables(tables.spark, replace(tables.project, experiments=(amended,))), ANALYSIS_DAY)


def test_only_an_unbroken_run_of_days_before_the_start_is_history(small_run: Tables) -> None:
    experiment = small_run.project.experiments[0]
    days = Days(EXPOSED, ANALYSIS_DAY).all
    assert history_span(days, experiment) == (EXPOSED, LAST)
    gap = [day for day in days if day != date(2026, 2, 26)]
    assert history_span(gap, experiment) == (date(2026, 2, 27), LAST)
    with pytest.raises(
        InputError, match="profile_days has no day before experiment 'homepage_ranking' starts"
    ):
        history_span([ANALYSIS_DAY], experiment)
