"""Design from history: which days of it are used, and what its rows say of the profiles to come."""

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.errors import InputError
from metrics.planning import enrolled_share, history_of, power_rows, spread_of
from metrics.power import Design, units_for_mean
from metrics.rows import Estimate, PowerRow, RampStage, row_of
from metrics.sequential.boundaries import boundaries
from metrics.statistics.analysis import Analysis, MomentsRow
from tests.metrics.statistics.support import moments
from tests.result_rows import EXPERIMENT, configuration, estimate

LAST = date(2026, 3, 1)


@pytest.fixture
def project(tmp_path: Path) -> tuple[Experiment, Catalogue]:
    return configuration(tmp_path)


@pytest.mark.parametrize(
    ("first", "start", "enrolment", "covariate_days"),
    [
        (date(2026, 1, 1), date(2026, 2, 10), 14, 14),  # all of it fits: 14 + 14 + 6 days
        (date(2026, 2, 1), date(2026, 2, 15), 9, 14),  # 29 days: enrolment is shorter
        (date(2026, 2, 16), date(2026, 2, 23), 1, 7),  # 14 days: covariates, too
        (date(2026, 2, 23), date(2026, 2, 23), 1, 0),  # 7 days: no covariates
    ],
)
def test_of_few_days_covariates_are_shortened_first_then_enrolment(
    project: tuple[Experiment, Catalogue], first: date, start: date, enrolment: int, covariate_days: int
) -> None:
    history = history_of(*project, first, LAST)
    assert (history.start, history.enrollment_days) == (start, enrolment)
    assert (history.covariates.days if history.covariates else 0) == covariate_days
    assert history.first_covariate_day >= first
    assert history.planned_end(project[1]) == LAST


def test_without_strata_everybody_is_told_once(project: tuple[Experiment, Catalogue]) -> None:
    """A stratum named as all of them was a second row of each metric, of the same key."""
    first = date(2026, 1, 1)
    assert history_of(replace(project[0], strata=()), project[1], first, LAST).segments == ()
    assert history_of(replace(project[0], strata=("region",)), project[1], first, LAST).segments == (
        "stratum",
    )


def test_less_than_a_window_is_too_little(project: tuple[Experiment, Catalogue]) -> None:
    with pytest.raises(
        InputError, match="has 6 days before experiment 'homepage' starts on 2026-03-02, and a window"
    ):
        history_of(*project, date(2026, 2, 24), LAST)


def test_stages_last_as_long_as_they_must(project: tuple[Experiment, Catalogue]) -> None:
    enrolled = [enrolled_share(project[0], days) for days in range(7)]
    assert enrolled == pytest.approx([0, 0.05, 0.1, 0.3, 0.5, 1.0, 1.5])


def households(sizes: int, n: int, icc: float, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    household = np.repeat(np.arange(n), sizes)
    shared = np.repeat(random.normal(0, math.sqrt(icc), n), sizes)
    own = random.normal(0, math.sqrt(1 - icc), n * sizes)
    arms = np.where(random.random(n * sizes) < 0.5, "treatment", "control")
    y = 2.9 + 3.2 * (shared + own)
    return pd.DataFrame(
        {"household_id": household, "arm": arms, "y": y, "x": 2 + 0.1 * y + random.normal(0, 1, len(y))}
    )


def test_mean_sd_and_correlation_within_households_are_those_of_the_rows(
    project: tuple[Experiment, Catalogue],
) -> None:
    rows = households(3, 4_000, 0.3)
    found = spread_of(moments(rows, ["y", "x"]), replace(project[1].metrics["play_starts_7d"], name="y"))
    assert found is not None and found.icc is not None
    assert found.mean == pytest.approx(rows["y"].mean())
    assert found.sd == pytest.approx(rows["y"].std())
    assert found.icc == pytest.approx(0.3, abs=0.02)
    deviation = (rows["y"] - rows["y"].mean()).to_numpy().reshape(-1, 3)
    pairs = (deviation.sum(axis=1) ** 2 - (deviation**2).sum(axis=1)).sum()
    assert found.icc == pytest.approx(pairs / (6 * 4_000) / (deviation**2).mean())


def test_a_ratios_sd_is_by_the_delta_method(project: tuple[Experiment, Catalogue]) -> None:
    rows = households(1, 500, 0.0)
    of_both = replace(moments(rows, ["y", "x"]), columns=("crash_rate_numerator", "crash_rate_denominator"))
    found = spread_of(of_both, project[1].metrics["crash_rate"])
    ratio = rows["y"].mean() / rows["x"].mean()
    assert found is not None
    assert found.mean == pytest.approx(ratio)
    assert found.sd == pytest.approx(((rows["y"] - ratio * rows["x"]) / rows["x"].mean()).std())
    assert found.icc is None  # no household has two profiles


def rows_of(
    project: tuple[Experiment, Catalogue], n: int, population: int = 10**9, **changed: Any
) -> dict[str, PowerRow]:
    """Power rows of the primary from a history of n profiles by moments: mean 2.9, sd 3.2, no covariates."""
    experiment, catalogue = project
    history = replace(history_of(*project, date(2026, 2, 23), LAST), enrollment_days=1)
    frame = households(1, n, 0.0)
    values = frame["y"].to_numpy()
    frame["y"] = 2.9 + 3.2 * (values - values.mean()) / values.std(ddof=1)
    of_all = replace(moments(frame, ["y"]), columns=("play_starts_7d",))
    known = MomentsRow(
        "homepage",
        0,
        LAST,
        "7d",
        "all",
        "all",
        ("control", "treatment"),
        of_all.columns,
        n,
        of_all.to_bytes(),
    )
    counts = frame["arm"].value_counts()
    row = estimate(
        estimator="difference_in_means",
        n_profiles_control=int(counts["control"]),
        n_profiles_arm=int(counts["treatment"]),
        std_error=3.2 * math.sqrt(1 / counts["control"] + 1 / counts["treatment"]),
        variance_reduction=None,
    )
    analysis = Analysis("in", (known,), (row_of(Estimate, {**row, **changed}),), ())
    found = power_rows(experiment, history, catalogue, analysis, population)
    return {each.metric: each for each in found}


def test_the_worked_example_from_a_history_with_its_moments(project: tuple[Experiment, Catalogue]) -> None:
    """Mean 2.9, sd 3.2, 1% relative, power 80%, level 5%: 191 thousand per arm, more for 14 looks."""
    row = rows_of(project, 20_000)["play_starts_7d"]
    exact = units_for_mean(Design(looks=14), 2.9, 3.2, 0.01)
    assert (row.baseline_mean, row.baseline_sd) == pytest.approx((2.9, 3.2))
    assert row.n_per_arm is not None
    assert row.n_per_arm == pytest.approx(exact.n_per_arm[0])
    assert row.n_per_arm / exact.factors.inflation == pytest.approx(191_140, rel=1e-4)
    assert row.max_information == pytest.approx(exact.n_per_arm[0] / 2 / 3.2**2)
    # 20,000 profiles a day, of which 5%, 20% and then half are enrolled: 5.5 days' worth, half of them control.
    found = 0.01 * math.sqrt(exact.n_per_arm[0] / (20_000 * 5.5 / 2))
    assert row.mde_relative == pytest.approx(found)
    days = (2 * exact.n_per_arm[0] / 20_000 - 0.5) / 0.5 + 4
    assert row.days_needed == math.ceil(days) + 6
    told = json.loads(row.assumptions or "")
    assert told["exposed_from"] == "2026-02-23"
    # Seven days are a window: at the end of neither stage of two days anybody has matured.
    assert row.ramp == (RampStage(0.05, 2, None), RampStage(0.2, 4, None))


def test_the_worked_example_looked_at_once_is_exactly_that_of_the_command(tmp_path: Path) -> None:
    """One day of enrolment is one look: nothing is inflated. 190,919 with z rounded to 1.96 and 0.84."""
    once = configuration(tmp_path, EXPERIMENT.replace("enrollment_days: 14", "enrollment_days: 1"))
    row = rows_of(once, 20_000)["play_starts_7d"]
    exact = units_for_mean(Design(), 2.9, 3.2, 0.01).n_per_arm[0]
    assert row.n_per_arm == pytest.approx(exact, rel=1e-9)
    assert exact == pytest.approx(191_135.62064146175)
    assert round(2 * (1.96 + 0.84) ** 2 * (3.2 / 0.029) ** 2) == 190_919


def test_what_the_ramp_finds_is_at_the_boundary_of_its_day(tmp_path: Path) -> None:
    slow = configuration(tmp_path, EXPERIMENT.replace("min_days: 2", "min_days: 8"))
    row = rows_of(slow, 20_000)["play_starts_7d"]
    assert row.max_information is not None
    first, second = row.ramp
    # Of 20,000 a day 5% are enrolled for eight days, two of which have matured.
    error = 3.2 * math.sqrt(2 / (0.05 * 2 * 10_000))
    (look,) = boundaries([1 / error**2 / row.max_information], 0.05)
    assert look.z_boundary is not None
    assert (first.share, first.day) == (0.05, 8)
    assert first.finds == pytest.approx(error * (look.z_boundary + 0.8416212))
    assert first.finds is not None and second.finds is not None and second.finds < first.finds


def test_there_are_no_more_profiles_than_the_service_has(project: tuple[Experiment, Catalogue]) -> None:
    """Half of 30,000 at most: instead of 110,000 in two weeks."""
    many, few = rows_of(project, 20_000)["play_starts_7d"], rows_of(project, 20_000, 30_000)["play_starts_7d"]
    assert many.mde_relative is not None and few.mde_relative is not None
    assert few.mde_relative == pytest.approx(many.mde_relative * math.sqrt(110_000 / 15_000))
    assert few.days_needed is None and many.days_needed is not None
    assert few.n_per_arm == many.n_per_arm


def test_what_cannot_be_computed_is_a_row_that_says_why(project: tuple[Experiment, Catalogue]) -> None:
    found = rows_of(project, 100, status="empty_arm", std_error=None)
    assert set(found) == {"play_starts_7d", "watch_minutes_7d", "crash_rate"}
    told = {name: json.loads(row.assumptions or "")["status"] for name, row in found.items()}
    assert told == {"play_starts_7d": "empty_arm", "watch_minutes_7d": "no_data", "crash_rate": "no_data"}
    assert all(row.max_information is None and row.n_per_arm is None for row in found.values())
