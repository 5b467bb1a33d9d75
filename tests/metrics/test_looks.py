"""The ledger of looks: spent once, whatever is run again, in whatever order, with whatever arrives late."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import norm, t

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiment
from metrics.looks import (
    boundary_in_force,
    conditional_power,
    drift_of,
    ledger_of,
    looks_planned,
    planned_information,
)
from metrics.power import Design, max_information
from metrics.rows import Estimate, LookRow, row_of
from metrics.sequential.boundaries import boundaries
from tests.result_rows import CATALOGUE, DAY, EXPERIMENT, configuration, crash_rate, estimate

PRIMARY = ("play_starts_7d", "treatment")
GUARDRAIL = ("crash_rate", "treatment")
PLANNED = {"play_starts_7d": 400.0}
INFORMATION = (40.0, 100.0, 220.0, 300.0)


@pytest.fixture
def project(tmp_path: Path) -> tuple[Experiment, Catalogue]:
    return configuration(tmp_path)


def on_days(
    information: Sequence[float], row: Mapping[str, Any] | None = None, last: date = DAY - timedelta(1)
) -> list[Estimate]:
    """A row a day, the last on that day; a standard error of 1 / sqrt(information)."""
    first = last - timedelta(days=len(information) - 1)
    return [
        row_of(
            Estimate,
            {
                **(row or estimate(effect=0.05)),
                "analysis_day": first + timedelta(days=k),
                "std_error": each**-0.5,
                "input_version": f"in-{k}",
            },
        )
        for k, each in enumerate(information)
    ]


def primary_looks(
    project: tuple[Experiment, Catalogue], rows: Sequence[Estimate], planned: Mapping[str, float] = PLANNED
) -> tuple[LookRow, ...]:
    return ledger_of(*project, rows, planned)[PRIMARY]


def test_each_look_has_the_boundary_of_its_information_and_is_numbered_by_its_day(
    project: tuple[Experiment, Catalogue],
) -> None:
    looks = primary_looks(project, on_days(INFORMATION))
    expected = boundaries([each / 400 for each in INFORMATION], 0.05, 2, "pocock")
    assert [look.z_boundary for look in looks] == pytest.approx([each.z_boundary for each in expected])
    assert [look.alpha_spent for look in looks] == pytest.approx([each.alpha_spent for each in expected])
    assert [look.look for look in looks] == [16, 17, 18, 19]  # of daily looks from 2026-03-02 on
    assert [look.information for look in looks] == pytest.approx(list(INFORMATION))
    assert not any(look.crossed for look in looks)


def test_a_look_crosses_where_its_repeated_interval_leaves_zero(
    project: tuple[Experiment, Catalogue],
) -> None:
    (look,) = primary_looks(project, on_days([100.0], estimate(effect=0.24, df=None)))
    assert look.z_boundary is not None and look.repeated_ci_low is not None
    assert look.z_boundary == pytest.approx(norm.isf(0.05 * math.log(1 + (math.e - 1) / 4) / 2))
    assert look.repeated_ci_low == pytest.approx(0.24 - look.z_boundary / 10)
    assert look.crossed
    (other,) = primary_looks(project, on_days([100.0], estimate(effect=-0.23, df=None)))
    assert not other.crossed and other.repeated_ci_high is not None and other.repeated_ci_high > 0


def test_with_few_households_the_boundary_is_read_off_students_t(
    project: tuple[Experiment, Catalogue],
) -> None:
    (look,) = primary_looks(project, on_days([100.0], estimate(effect=0.25, df=12.0)))
    assert look.nominal_p is not None and look.repeated_ci_low is not None
    assert look.repeated_ci_low == pytest.approx(0.25 - t.isf(look.nominal_p / 2, 12) / 10)
    assert look.statistic == pytest.approx(norm.isf(t.sf(2.5, 12)))
    assert not look.crossed and look.z_boundary is not None and look.statistic < look.z_boundary


def test_taken_again_or_in_another_order_looks_are_the_same(project: tuple[Experiment, Catalogue]) -> None:
    rows = on_days(INFORMATION)
    looks = primary_looks(project, rows)
    assert primary_looks(project, [*reversed(rows)]) == looks
    assert primary_looks(project, rows[:2]) == looks[:2]


def test_late_data_make_new_versions_of_a_look_and_those_after_it_which_spend_nothing_more(
    project: tuple[Experiment, Catalogue],
) -> None:
    rows = on_days(INFORMATION)
    looks = primary_looks(project, rows)
    late = replace(rows[1], input_version="late", std_error=110.0**-0.5)
    again = primary_looks(project, [rows[0], late, *rows[2:]])
    same = [one.input_version == other.input_version for one, other in zip(looks, again, strict=True)]
    assert same == [True, False, False, False]
    assert again[-1].alpha_spent == looks[-1].alpha_spent
    mended = primary_looks(
        project, [*rows[:3], replace(rows[3], effect=0.06)]
    )  # by other code, from the same data
    assert [look.input_version for look in mended[:3]] == [look.input_version for look in looks[:3]]
    assert mended[3].input_version != looks[3].input_version


def test_less_information_than_before_spends_nothing_and_cannot_cross(
    project: tuple[Experiment, Catalogue],
) -> None:
    looks = primary_looks(project, on_days([100.0, 90.0, 120.0], estimate(effect=0.25)))
    assert looks[1].alpha_spent == looks[0].alpha_spent
    assert (looks[1].z_boundary, looks[1].repeated_ci_low, looks[1].crossed) == (None, None, False)
    assert looks[2].alpha_spent > looks[1].alpha_spent


def test_beyond_the_planned_information_all_is_spent_and_only_once(
    project: tuple[Experiment, Catalogue],
) -> None:
    looks = primary_looks(project, on_days([300.0, 410.0, 500.0], estimate(effect=0.0)))
    assert [look.alpha_spent for look in looks[1:]] == [0.05, 0.05]
    assert looks[2].z_boundary is None


def test_the_last_look_is_at_the_planned_end_and_spends_what_is_left(
    project: tuple[Experiment, Catalogue],
) -> None:
    rows = on_days([200.0, 210.0, 220.0], last=DAY + timedelta(days=1))
    looks = primary_looks(project, rows)
    assert [look.analysis_day for look in looks] == [DAY - timedelta(days=1), DAY]
    assert looks[1].alpha_spent == 0.05
    assert looks[1].z_boundary == boundaries([0.5, 0.525], final=True)[1].z_boundary


def test_a_primarys_last_look_is_when_its_own_last_profile_has_matured(tmp_path: Path) -> None:
    """Enrolment ends on 2026-03-15; a secondary of 28 days goes on until April."""
    text = EXPERIMENT.replace("secondary: [watch_minutes_7d]", "secondary: [watch_minutes_28d]")
    longer = "{kind: mean, measure: watch_minutes, window: 28, unit: minutes, better: higher}"
    catalogue_text = f"{CATALOGUE}  watch_minutes_28d: {longer}\n"
    (tmp_path / "metrics.yml").write_text(catalogue_text)
    (tmp_path / "homepage.yml").write_text(text)
    catalogue = load_catalogue(tmp_path / "metrics.yml")
    experiment = load_experiment(tmp_path / "homepage.yml", catalogue)
    assert experiment.planned_end(catalogue) == date(2026, 4, 11)
    assert looks_planned(experiment, catalogue.metrics["play_starts_7d"], catalogue) == 14
    rows = on_days([200.0, 220.0, 220.0], last=DAY + timedelta(days=1))
    looks = primary_looks((experiment, catalogue), rows)
    assert [(look.analysis_day, look.alpha_spent == 0.05) for look in looks] == [
        (DAY - timedelta(1), False),
        (DAY, True),
    ]


def test_without_a_registered_maximum_the_planned_end_is_the_only_look(
    project: tuple[Experiment, Catalogue],
) -> None:
    assert primary_looks(project, on_days(INFORMATION), {}) == ()
    (look,) = primary_looks(project, on_days(INFORMATION, last=DAY), {})
    assert (look.information_fraction, look.alpha_spent) == (1.0, 0.05)
    assert look.z_boundary == pytest.approx(1.959964)


def test_blocked_and_empty_rows_are_no_looks(project: tuple[Experiment, Catalogue]) -> None:
    rows = on_days(INFORMATION)
    blocked = [replace(rows[0], status="srm_blocked"), replace(rows[1], effect=None, std_error=None)]
    looks = primary_looks(project, [*blocked, *rows[2:]])
    assert [look.analysis_day for look in looks] == [row.analysis_day for row in rows[2:]]


def test_a_guardrail_is_planned_by_its_margin_and_its_boundary_stays_after_all_is_spent(
    project: tuple[Experiment, Catalogue],
) -> None:
    experiment, catalogue = project
    most = planned_information(experiment, catalogue, "crash_rate", 0.0005)
    assert looks_planned(experiment, catalogue.metrics["crash_rate"], catalogue) == 20
    assert looks_planned(experiment, catalogue.metrics["play_starts_7d"], catalogue) == 14
    assert most == max_information(0.0005, Design(looks=20))
    rows = on_days([most / 2, most, 2 * most], crash_rate(0.0))
    looks = ledger_of(experiment, catalogue, rows, {})[GUARDRAIL]
    assert [look.information_fraction for look in looks] == pytest.approx([0.5, 1.0, 2.0])
    assert looks[2].z_boundary is None
    assert boundary_in_force(looks) == min(looks[:2], key=lambda look: look.z_boundary or 0)
    assert boundary_in_force(looks[:1]) == looks[0]
    registered = ledger_of(experiment, catalogue, rows, {"crash_rate": 4 * most})[GUARDRAIL]
    assert registered[0].information_fraction == pytest.approx(0.125)


def test_conditional_power_is_that_of_the_rest_under_the_effect_to_detect(
    project: tuple[Experiment, Catalogue],
) -> None:
    """With z = 0 at half of the information: P(N(drift / 2, 1 / 2) > the boundary left for the end)."""
    drift = drift_of(*project, "play_starts_7d")
    assert drift**2 == pytest.approx(max_information(1.0, Design(looks=14)))
    looks = primary_looks(project, on_days([200.0], estimate(effect=0.0)))
    critical = boundaries([0.5, 1.0])[1].z_boundary
    assert critical is not None
    expected = norm.sf(critical, loc=drift / 2, scale=math.sqrt(0.5))
    assert conditional_power(looks, 0.05, "pocock", drift) == pytest.approx(expected)
    assert conditional_power(looks, 0.05, "pocock", -drift) == pytest.approx(expected)
    spent = primary_looks(project, on_days([400.0], estimate(effect=0.0)))
    assert conditional_power(spent, 0.05, "pocock", drift) is None
