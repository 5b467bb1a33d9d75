"""Were the arms alike before the exposure, and do they reach across households? Said by every form of the readout."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from metrics.readout.document import document
from metrics.readout.page import render_page
from metrics.readout.terminal import WIDTH, render_text
from metrics.rows import SpilloverRow
from metrics.statistics.balance import Balance, CovariateBalance, JointBalance, StrataBalance
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import DAY, srm_check

ALIKE = Balance(
    population="to_date",
    covariates=(
        CovariateBalance("pre_play_starts", "treatment", 5.1, 5.12, 0.02, 0.04, 0.0041, 0.617),
        CovariateBalance("device=tv", "treatment", 0.4, 0.391, -0.009, 0.007, -0.0184, 0.199),
    ),
    joint=(
        JointBalance("all", "all", "treatment", 10_000, 9_985, 1.02, 2.0, 14_000.0, 0.361, 0.361),
        JointBalance("stratum", "eu|tv", "treatment", 4_000, 3_900, 0.5, 2.0, 6_000.0, 0.607, 1.0),
    ),
    strata=StrataBalance(1.3, 2.0, 0.522),
)
SPILLOVER = SpilloverRow(
    experiment_id="homepage",
    epoch=0,
    analysis_day=DAY,
    metric="play_starts_7d",
    arm="treatment",
    status="ok",
    n_shared_households=4_000,
    n_mixed_households=1_950,
    n_profiles_control=5_200,
    n_profiles_arm=5_800,
    effect=0.31,
    std_error=0.05,
    ci_low=0.212,
    ci_high=0.408,
    p_value=0.002,
    adjusted_p_value=0.002,
)


def told(tmp_path: Path, **rows: Any) -> tuple[str, str]:
    """What the terminal says, on one line, and the page."""
    readout = readout_of(tmp_path, **rows)
    text = render_text(readout)
    assert max(map(len, text.splitlines())) <= WIDTH
    return " ".join(text.split()), render_page(readout)


def test_arms_that_were_alike(tmp_path: Path) -> None:
    sentence = (
        "the arms were alike: covariates together p 0.361; strata p 0.522; "
        "furthest device=tv, −0.018 standard deviations."
    )
    text, page = told(tmp_path, balance=ALIKE)
    assert f"BEFORE THE EXPOSURE: {sentence}" in text
    assert f"T{sentence[1:]}" in page
    assert "eu|tv" in page and "pre_play_starts" in page


def test_arms_that_differed_stand_out(tmp_path: Path) -> None:
    apart = replace(ALIKE, joint=(replace(ALIKE.joint[0], p_value=1e-6, adjusted_p_value=1e-6),))
    text, page = told(tmp_path, balance=apart)
    assert "THE ARMS DIFFERED: covariates together p <0.001" in text and "THE ARMS DIFFERED" in page
    assert document(readout_of(tmp_path, balance=apart))["balance"]["joint"][0]["p_value"] == 1e-6


def test_an_effect_across_households_is_told_from_none(tmp_path: Path) -> None:
    rows = [asdict(SPILLOVER)]
    counted = "1,950 of 4,000 households with several profiles hold different arms."
    text, page = told(tmp_path, spillover=rows)
    for form in (text, page):
        assert counted in form
        assert (
            "play starts (7 days) by +0.310 (95% interval +0.212 to +0.408, p 0.002): arms reach across"
            in form
        )
    none = [asdict(replace(SPILLOVER, effect=0.01, ci_low=-0.09, ci_high=0.11, adjusted_p_value=0.84))]
    assert "no sign that arms reach across a household" in told(tmp_path, spillover=none)[0]
    unknown = [asdict(replace(SPILLOVER, status="not_matured", effect=None, ci_low=None, ci_high=None))]
    assert told(tmp_path, spillover=unknown)[0].count("Housemates") == 0


def test_nothing_of_households_where_the_sample_ratio_is_broken_or_they_are_what_was_randomized(
    tmp_path: Path,
) -> None:
    broken = [srm_check(triggered=True, threshold=1.0, log_e_value=99.0)]
    assert "HOUSEHOLDS" not in told(tmp_path, spillover=[asdict(SPILLOVER)], srm_checks=broken)[0]
    assert "HOUSEHOLDS" not in told(tmp_path)[0]
    assert "BEFORE THE EXPOSURE: not known yet." in told(tmp_path)[0]
