import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.statistics.support import cases, reference


def test_srm(ask: Callable[[str], Any], shared: Path) -> None:
    counts, expected = cases(shared)["srm_three_arms"]["inputs"], reference(shared, "srm_three_arms")
    arms = ["control", "a", "b"]
    pairs = [f"{arm}={n}" for arm, n in zip(arms, counts["counts"], strict=True)]
    shares = [f"{arm}={share}" for arm, share in zip(arms, counts["planned"], strict=True)]
    found = ask(f"srm --counts {' '.join(pairs)} --shares {' '.join(reversed(shares))}")
    assert list(found) == ["chi_square", "df", "p_value", "log_p_value", "log_e_value", "expected"]
    assert found["chi_square"] == pytest.approx(expected["chi2"], rel=1e-9)
    assert (found["df"], found["p_value"]) == (2, pytest.approx(expected["p"], rel=1e-9))
    assert found["log_p_value"] == pytest.approx(math.log(expected["p"]), rel=1e-9)
    assert found["expected"] == pytest.approx(dict(zip(arms, expected["expected"], strict=True)))


def test_srm_e_process(ask: Callable[[str], Any], shared: Path) -> None:
    inputs = cases(shared)["srm_eprocess_two"]["inputs"]
    for look in reference(shared, "srm_eprocess_two")["looks"]:
        (a, b), (u, v) = look["counts"], inputs["weights"]
        found = ask(f"srm --counts a={a} b={b} --shares a={u} b={v} --prior-k {inputs['k']}")
        assert found["log_e_value"] == pytest.approx(look["log_bayes_factor"], rel=1e-9, abs=1e-9)


def test_srm_for_people(text_of: Callable[[str], str]) -> None:
    text = text_of("srm --counts control=5110 variant=1480 --shares control=0.5 variant=0.5")
    assert "control     5,110   3,295.0\n" in text
    assert "p-value 10^-435.9" in text
    assert "e-value 10^392.5" in text
    assert "p-value 0.7663" in text_of("srm --counts a=5110 b=5080 --shares a=1 b=1")


def test_adjust(ask: Callable[[str], Any], shared: Path) -> None:
    for case in ("ties", "ones_zeros", "single", "unsorted", "two"):
        p_values = " ".join(map(str, cases(shared)[f"padjust_{case}"]["inputs"]["p"]))
        for method, name in (("hommel", "hommel"), ("bh", "BH")):
            expected = reference(shared, f"padjust_{case}")[name]
            found = ask(f"adjust --method {method} {p_values}")
            assert found == {"adjusted_p_values": pytest.approx(expected, rel=1e-9, abs=1e-15)}


def test_adjust_for_people(text_of: Callable[[str], str]) -> None:
    assert text_of("adjust --method holm 0.01 0.04") == "p-value  holm\n0.01     0.02\n0.04     0.04\n"


@pytest.mark.parametrize(
    "line, words",
    [
        ("srm --counts a=1 --shares a=1", "two or more arms"),
        ("srm --counts a=1 b=2 --shares a=1 c=1", "--counts has arms a, b, --shares a, c"),
        ("srm --counts a=1 a=2 --shares a=1 b=1", "--counts names arm 'a' twice"),
        ("srm --counts a=1.5 b=2 --shares a=1 b=1", "'a=1.5' has no whole number"),
        ("srm --counts a=-1 b=2 --shares a=1 b=1", "'a=-1' has no whole number"),
        (f"srm --counts a={10**400} b=2 --shares a=1 b=1", "has no whole number"),
        ("srm --counts 5 7 --shares a=1 b=1", "'5' does not name an arm"),
        ("srm --counts a=1 b=2 --shares a=1 b=0", "each must be above 0"),
        ("srm --counts a=1 b=2 --shares a=1 b=nan", "'nan' is not a finite number"),
        ("srm --counts a=0 b=0 --shares a=1 b=1", "at least one unit"),
        ("srm --counts a=1 b=2 --shares a=1 b=1 --prior-k 0", "prior k is 0"),
        ("adjust --method sidak 0.1", "method is 'sidak'"),
        ("adjust --method bh 1.5", "p-value 1.5 is outside 0 to 1"),
        ("adjust --method bh -1e-5", "p-value -1e-05 is outside 0 to 1"),
        ("adjust --method bh", "required: P"),
    ],
)
def test_bad_input_is_one_line(refusal: Callable[[str], str], line: str, words: str) -> None:
    assert words in refusal(line)
