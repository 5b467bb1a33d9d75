import math
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest
from scipy.special import chdtrc

from metrics.errors import InputError
from metrics.statistics.srm import e_bh, log_chi_square_tail, log_e_value, srm_test
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


@pytest.mark.parametrize(
    ("counts", "shares", "prior_k"),
    [
        ((1000, 1100), (0.5, 0.5), 1e9),  # as written, the logarithms of Γ lose all digits of it
        ((1000, 1100), (0.5, 0.5), 1e15),
        ((700, 1500, 20), (0.25, 0.5, 0.25), 1000.0),
        ((3, 0, 11), (0.25, 0.25, 0.5), 0.01),
        ((1, 0), (0.5, 0.5), 1000.0),
    ],
)
def test_the_e_value_keeps_its_digits(
    counts: tuple[int, ...], shares: tuple[float, ...], prior_k: float
) -> None:
    """Against its predictive form, unit by unit, with 50 digits."""
    getcontext().prec = 50
    k, expected = Decimal(prior_k), Decimal(0)
    for count, share in zip(counts, map(Decimal, shares), strict=True):
        expected += sum(((k * share + j) / (k * share)).ln() for j in range(count))
    expected -= sum(((k + j) / k).ln() for j in range(sum(counts)))
    found = log_e_value(np.array(counts, float), np.array(shares), prior_k)
    assert found == pytest.approx(float(expected), rel=1e-10, abs=1e-18)


def test_the_e_value_of_twelve_million_profiles_keeps_its_digits() -> None:
    """To what arithmetic with 50 digits gives (mpmath)."""
    found = log_e_value(np.array([6_000_000.0, 6_012_000.0]), np.array([0.5, 0.5]))
    assert found == pytest.approx(1.296386213, rel=5e-10)
