import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import chdtrc

from metrics.errors import InputError
from metrics.statistics.srm import e_bh, log_chi_square_tail, srm_test
from tests.metrics.statistics.support import cases, profiles, reference

CHI_SQUARE_CASES = ("51_3_48_7", "50_50_large", "three_arms", "tiny_expected", "zero_arm", "extreme")


@pytest.mark.parametrize("case", CHI_SQUARE_CASES)
def test_chi_square_agrees_with_r(shared: Path, case: str) -> None:
    inputs, expected = cases(shared)[f"srm_{case}"]["inputs"], reference(shared, f"srm_{case}")
    found = srm_test(inputs["counts"], inputs["planned"])
    assert found.df == expected["df"]
    assert found.chi_square == pytest.approx(expected["chi2"], rel=1e-9)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-9)
    assert found.log_p_value == pytest.approx(expected.get("log_p", math.log(expected["p"] or 1)), rel=1e-9)
    assert list(found.expected) == pytest.approx(expected["expected"], rel=1e-12)


def test_strata_agree_with_r(shared: Path) -> None:
    rows = profiles(shared)
    expected = reference(shared, "srm_strata")["by_stratum"]
    for (region, device), stratum in rows.groupby(["region", "device"]):
        counts = stratum["arm"].value_counts().reindex(["control", "treatment"]).tolist()
        assert srm_test(counts, [0.5, 0.5]).p_value == pytest.approx(
            expected[f"{region}:{device}"]["p"], rel=1e-9
        )


@pytest.mark.parametrize("case", ["two", "three", "ones"])
def test_e_process_agrees_with_the_formula(shared: Path, case: str) -> None:
    inputs = cases(shared)[f"srm_eprocess_{case}"]["inputs"]
    for look in reference(shared, f"srm_eprocess_{case}")["looks"]:
        found = srm_test(look["counts"], inputs["weights"], inputs["k"])
        assert found.log_e_value == pytest.approx(look["log_bayes_factor"], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("df", [2, 3, 7])
def test_log_tail_continues_where_the_tail_underflows(df: int) -> None:
    """Even df have a closed form: sum over j < df/2 of (x/2)^j / j! e^(-x/2)."""
    for chi_square in (1.0, 50.0, 1300.0):
        assert log_chi_square_tail(chi_square, df) == pytest.approx(
            math.log(chdtrc(df, chi_square)), rel=1e-10
        )
    if df == 2:
        assert log_chi_square_tail(5000.0, df) == pytest.approx(-2500.0, rel=1e-14)
    # The derivative of log Q at x tends to -1/2: continuous across the switch.
    step = log_chi_square_tail(1340.0, df) - log_chi_square_tail(1330.0, df)
    assert step == pytest.approx(-5 + (df / 2 - 1) * math.log(1340 / 1330), abs=1e-4)


def test_many_looks_rarely_alarm() -> None:
    """14 days of hourly looks at a fair split: the e-process passes 1/alpha in at most alpha of the runs."""
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        control = np.cumsum(random.binomial(60, 0.5, 14 * 24))
        looks = zip(control, 60 * np.arange(1, 14 * 24 + 1) - control, strict=True)
        alarms += any(srm_test(pair, [0.5, 0.5]).log_e_value >= math.log(1 / 0.05) for pair in looks)
    assert alarms <= 0.05 * 400


def test_e_bh_by_hand() -> None:
    """4 hypotheses at 0.01: the largest must reach 400, two of them 200, three 133."""
    assert e_bh([0.0, 0.0, 0.0, math.log(399)]) == pytest.approx(math.log(400))
    assert e_bh([0.0, 0.0, math.log(210), math.log(250)]) == pytest.approx(math.log(200))
    assert e_bh([0.0, math.log(140), math.log(150), math.log(250)]) == pytest.approx(math.log(4 / 0.03))


@pytest.mark.parametrize(
    "counts, shares",
    [([1], [1.0]), ([1, 2], [1.0]), ([0, 0], [0.5, 0.5]), ([-1, 2], [0.5, 0.5]), ([1, 2], [1, 0])],
)
def test_impossible_input_is_refused(counts: list[int], shares: list[float]) -> None:
    with pytest.raises(InputError):
        srm_test(counts, shares)


@pytest.mark.parametrize("prior_k", [0.0, -1.0, math.nan, math.inf])
def test_a_prior_needs_weight(prior_k: float) -> None:
    with pytest.raises(InputError, match="prior k"):
        srm_test([1, 2], [0.5, 0.5], prior_k)
