"""The formula of an estimate gives the estimate, from the stored moments alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.configuration.catalogue import Catalogue
from metrics.configuration.experiment import Experiment
from metrics.explanation import covariates_in, formula_of
from metrics.rows import Estimate, row_of
from metrics.statistics.estimators import Comparison, cuped, ratio
from metrics.statistics.moments import Moments
from tests.metrics.statistics.support import moments
from tests.result_rows import configuration, crash_rate, estimate

PLAYS, BEFORE, WEB = "play_starts_7d", "pre_play_starts", "device=web"
CRASHES = ("crash_rate_numerator", "crash_rate_denominator")


@pytest.fixture
def project(tmp_path: Path) -> tuple[Experiment, Catalogue]:
    return configuration(tmp_path)


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    n = 400
    before = random.gamma(2, 3, n)
    web = (random.random(n) < 0.3).astype(float)
    columns = {
        "household_id": np.arange(n) // 2,
        "arm": np.where(random.random(n) < 0.5, "treatment", "control"),
        BEFORE: before,
        WEB: web,
        PLAYS: 0.8 * before + web + random.normal(0, 2, n),
        CRASHES[0]: random.poisson(0.3, n).astype(float),
        CRASHES[1]: random.poisson(9, n) + 1.0,
    }
    return pd.DataFrame(columns)


@pytest.fixture
def cell(frame: pd.DataFrame) -> Moments:
    return moments(frame, [PLAYS, BEFORE, WEB, *CRASHES])


def test_cuped_takes_off_theta_times_what_the_arms_differed_by_before(
    project: tuple[Experiment, Catalogue], cell: Moments
) -> None:
    experiment, catalogue = project
    formula = formula_of(row_of(Estimate, estimate()), cell, catalogue.metrics[PLAYS], experiment)
    expected = cuped(cell, PLAYS, [BEFORE, WEB], Comparison(1))
    assert formula is not None and expected.effect is not None
    assert formula.effect == pytest.approx(expected.effect, rel=1e-12)
    assert [each.covariate for each in formula.adjustments] == [BEFORE, WEB]
    plain = formula_of(
        row_of(Estimate, estimate(estimator="difference_in_means")),
        cell,
        catalogue.metrics[PLAYS],
        experiment,
    )
    assert plain is not None and plain.adjustments == ()
    taken_off = sum(each.theta * (each.arm_mean - each.control_mean) for each in formula.adjustments)
    assert plain.effect - taken_off == pytest.approx(formula.effect)


def test_the_moments_and_the_error_are_those_of_the_profiles(
    project: tuple[Experiment, Catalogue], frame: pd.DataFrame
) -> None:
    """Without covariates and with a household to each profile, the error is that of two means."""
    experiment, catalogue = project
    alone = moments(frame.assign(household_id=np.arange(len(frame))), [PLAYS])
    row = row_of(Estimate, estimate(estimator="difference_in_means"))
    formula = formula_of(row, alone, catalogue.metrics[PLAYS], experiment)
    assert formula is not None
    for arm, rows in frame.groupby("arm")[PLAYS]:
        found = formula.moments[PLAYS][str(arm)]
        assert found.n_profiles == len(rows)
        assert found.total == pytest.approx(rows.sum())
        assert found.total_of_squares == pytest.approx((rows**2).sum())
        assert (found.mean, found.sd) == pytest.approx((rows.mean(), rows.std()))
    variances = [each.sd**2 / each.n_profiles for each in formula.moments[PLAYS].values()]
    assert formula.std_error == pytest.approx(sum(variances) ** 0.5, rel=1e-2)


def test_a_ratio_is_of_sums(project: tuple[Experiment, Catalogue], cell: Moments) -> None:
    experiment, catalogue = project
    metric = catalogue.metrics["crash_rate"]
    formula = formula_of(row_of(Estimate, crash_rate()), cell, metric, experiment)
    expected = ratio(cell, *CRASHES, Comparison(1))
    assert formula is not None and expected.effect is not None
    assert formula.effect == pytest.approx(expected.effect, rel=1e-12)
    assert formula.std_error == expected.std_error
    top, bottom = formula.sums["treatment"]
    assert (top, bottom) == pytest.approx((round(top), round(bottom)))
    assert formula.arm_value == pytest.approx(top / bottom)


def test_a_winsorized_metric_is_adjusted_by_its_own_covariate_capped(
    project: tuple[Experiment, Catalogue], cell: Moments
) -> None:
    experiment, catalogue = project
    names = tuple(
        {PLAYS: "watch_minutes_7d", BEFORE: "pre_play_starts|watch_minutes_7d"}.get(n, n)
        for n in cell.columns
    )
    capped = replace(cell, columns=names)
    assert [*covariates_in(capped, catalogue.metrics["watch_minutes_7d"], experiment)] == [
        "pre_play_starts|watch_minutes_7d",
        WEB,
    ]


def test_what_was_not_computed_has_no_formula(project: tuple[Experiment, Catalogue], cell: Moments) -> None:
    experiment, catalogue = project
    row = row_of(Estimate, estimate(status="not_matured"))
    assert formula_of(row, cell, catalogue.metrics[PLAYS], experiment) is None
