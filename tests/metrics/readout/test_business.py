"""Totals that can be checked by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metrics.configuration.catalogue import Catalogue
from metrics.readout.business import BusinessTerm, business_terms
from metrics.rows import Estimate, row_of
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import EXPERIMENT, configuration, crash_rate, estimate


def term_of(folder: Path, metric: str, **rows: Any) -> BusinessTerm:
    return next(term for term in readout_of(folder, **rows).business if term.metric == metric)


def test_weekly_total_is_effect_times_population(tmp_path: Path) -> None:
    term = term_of(tmp_path, "play_starts_7d")
    # 0.5 plays per profile and 7 days × 20,000 profiles, interval 0.304 to 0.696
    assert [term.value, term.low, term.high] == pytest.approx([10_000, 6_080, 13_920])
    assert term.headline == "10,000 more play starts a week"
    assert term.detail == "at full rollout to 20,000 profiles (95% interval: 6,080 more to 13,900 more)"


def test_a_window_of_14_days_counts_half_for_a_week(tmp_path: Path) -> None:
    experiment, catalogue = configuration(tmp_path)
    fortnight = replace(catalogue.metrics["play_starts_7d"], window=14)
    row = row_of(Estimate, estimate())
    terms = business_terms(
        experiment,
        Catalogue(catalogue.measures, {"play_starts_7d": fortnight}),
        {("play_starts_7d", "a"): row},
        20_000,
    )
    assert terms[0].value == 5_000


def test_a_ratio_counts_per_ten_thousand_of_its_base(tmp_path: Path) -> None:
    term = term_of(tmp_path, "crash_rate", estimates=[estimate(), crash_rate(0.0004)])
    assert term.headline == "4 more crashes"
    assert term.detail == "per 10,000 sessions (95% interval: 2 more to 6 more)"


def test_an_interval_over_zero_claims_no_direction(tmp_path: Path) -> None:
    term = term_of(tmp_path, "crash_rate", estimates=[estimate(), crash_rate(-0.0001)])
    assert term.headline == "No clear change in crashes"
    assert term.detail == "best guess 1 fewer per 10,000 sessions (95% interval: 3 fewer to 1 more)"


def test_a_proportion_counts_profiles(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("[watch_minutes_7d]", "[active_7d]")
    active = estimate("active_7d", role="secondary", effect=0.01, ci_low=0.005, ci_high=0.015)
    experiment = readout_of(tmp_path, text, estimates=[estimate(), active, crash_rate()])
    assert experiment.business[1].headline == "200 more active profiles"


def test_without_a_population_totals_are_per_thousand_profiles(tmp_path: Path) -> None:
    term = term_of(tmp_path, "play_starts_7d", population=None)
    assert (term.value, term.basis) == (500, "per 1,000 profiles")
