from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metrics.sequential.boundaries import boundaries
from metrics.sequential.designs import equally_spaced, inflation
from tests.metrics.statistics.support import cases, reference

LOOK = [
    "look", "information_fraction", "alpha_spent", "z_boundary", "nominal_p", "repeated_ci_low", "repeated_ci_high"
]  # fmt: skip
BASELINE = "power --mean 2.9 --sd 3.2"


def test_power(ask: Callable[[str], Any], shared: Path) -> None:
    expected = reference(shared, "power_two_means")
    base = expected["n_exact_z"]
    assert [round(expected[name], -3) for name in ("n_exact_z", "n_rounded_z")] == [191_000] * 2
    found = ask(f"{BASELINE} --mde-relative 0.01")
    assert found == {
        "n_per_arm": {"control": pytest.approx(base), "treatment": pytest.approx(base)},
        "mde_absolute": pytest.approx(0.029),
        "mde_relative": 0.01,
        "variance_reduction": 0.0,
        "design_effect": 1.0,
        "inflation": 1.0,
    }
    clusters = "--icc 0.1 --cluster-size 1.8 --cluster-cv 0.6"
    everything = ask(
        f"{BASELINE} --mde-relative 0.01 --rho 0.5 --allocation 1:3 --looks 4 --randomized-by cluster {clusters}"
    )
    assert everything["variance_reduction"] == 0.25
    assert everything["design_effect"] == pytest.approx(1 + (1.8 * 1.36 - 1) * 0.1)
    assert everything["inflation"] == inflation(equally_spaced(4), "pocock")
    control = 2 / 3 * base * 0.75 * everything["design_effect"] * everything["inflation"]
    assert everything["n_per_arm"] == {
        "control": pytest.approx(control),
        "treatment": pytest.approx(3 * control),
    }
    assert ask(f"{BASELINE} --mde-relative 0.01 {clusters}") == found


def test_mde_of_n(ask: Callable[[str], Any], shared: Path) -> None:
    expected = reference(shared, "power_mde")
    found = ask(f"{BASELINE} --n 50000 --allocation 5:3")
    assert found["mde_absolute"] == pytest.approx(expected["mde"], rel=1e-9)
    assert found["mde_relative"] == pytest.approx(expected["relative"], rel=1e-9)
    assert found["n_per_arm"] == {"control": 50000, "treatment": pytest.approx(30000)}
    assert ask("power --mean 0 --sd 1 --n 100")["mde_relative"] is None


def test_proportions(ask: Callable[[str], Any], shared: Path) -> None:
    n = reference(shared, "power_proportions")["n_pooled_null"]
    for line in ("--p2 0.61", "--mde-relative 0.016666666666666666"):
        assert ask(f"power --p1 0.6 {line}")["n_per_arm"]["treatment"] == pytest.approx(n, rel=1e-9)
    assert ask(f"power --p1 0.6 --n {n}")["mde_absolute"] == pytest.approx(0.01, rel=1e-9)


def test_several_arms_have_names(ask: Callable[[str], Any]) -> None:
    found = ask(f"{BASELINE} --n 10 --allocation 1:1:2")
    assert found["n_per_arm"] == {"control": 10, "treatment_1": 10, "treatment_2": 20}


def test_power_for_people(text_of: Callable[[str], str]) -> None:
    text = text_of(f"{BASELINE} --mde-relative 0.01 --rho 0.6")
    assert text.startswith("arm          units\ncontrol    122,327\ntreatment  122,327\n")
    assert "detects a change of 0.029 (1.000% of the control's)\n" in text
    assert "(" not in text_of("power --mean 0 --sd 1 --n 10")


def test_boundaries(ask: Callable[[str], Any]) -> None:
    found = ask("boundaries --information 0.25 0.5 1")
    assert found["final"] is None
    assert [list(look) for look in found["looks"]] == [LOOK] * 3
    for row, look in zip(found["looks"], boundaries([0.25, 0.5, 1.0], 0.05, 2), strict=True):
        assert row == {name: getattr(look, name) for name in LOOK}


def test_boundaries_and_what_was_found(ask: Callable[[str], Any], shared: Path) -> None:
    inputs = cases(shared)["path_stop_early"]["inputs"]
    expected = reference(shared, "path_stop_early")["integrated"]
    z, se, information = (" ".join(map(str, inputs[name])) for name in ("z", "se", "information_rates"))
    found = ask(
        f"boundaries --alpha 0.025 --sides 1 --information {information} --statistic {z} --std-error {se}"
    )
    assert found["final"] == {
        "p_value": pytest.approx(expected["final_p"], abs=1e-9),
        "ci_low": pytest.approx(expected["final_ci_low"], abs=1e-9),
        "ci_high": pytest.approx(expected["final_ci_high"], abs=1e-9),
        "median_unbiased": pytest.approx(expected["median_unbiased"], abs=1e-9),
    }
    assert found["looks"][1]["repeated_ci_low"] == pytest.approx(0.10749742281830796, abs=1e-7)
    assert found["looks"][2]["repeated_ci_low"] is None


def test_a_statistic_without_standard_error(ask: Callable[[str], Any]) -> None:
    found = ask("boundaries --information 0.5 1 --statistic -1e-05")
    assert found["looks"][0]["repeated_ci_low"] is None
    assert found["final"]["p_value"] == pytest.approx(1.0, abs=1e-4)
    assert [found["final"][name] for name in ("ci_low", "ci_high", "median_unbiased")] == [None] * 3


def test_a_final_look_spends_all(ask: Callable[[str], Any]) -> None:
    assert ask("boundaries --information 0.5 0.9 --final")["looks"][1]["alpha_spent"] == 0.05
    assert ask("boundaries --information 0.5 0.9")["looks"][1]["alpha_spent"] < 0.0499
    cannot = ask("boundaries --information 0.02 1 --spending hsd:-900 --sides 1 --alpha 0.025")["looks"][0]
    assert (cannot["z_boundary"], cannot["nominal_p"]) == (None, None)


def test_boundaries_for_people(text_of: Callable[[str], str]) -> None:
    text = text_of(
        "boundaries --information 0.02 0.5 1 --spending obrien_fleming --statistic 1 2 --std-error 0.2 0.1"
    )
    assert "2             0.5     0.003051    2.9626   0.003051  -0.09626 to 0.4963\n" in text
    assert "reject at a look where |Z| reaches the boundary; at a dash it cannot\n" in text
    assert "stopping at look 2: p-value 0.0455, estimate 0.2,\n95% interval 0.004" in text
    one_sided = "boundaries --alpha 0.025 --sides 1 --information 1 --statistic 2 --std-error 1"
    assert "95% interval" in text_of(one_sided)


@pytest.mark.parametrize(
    "line, words",
    [
        ("power", "no baseline, or two"),
        (f"{BASELINE} --p1 0.5 --n 10", "no baseline, or two"),
        ("power --mean 1 --n 10", "--mean and --sd belong together"),
        (BASELINE, "none given of --mde-relative, --n; give exactly one"),
        (f"{BASELINE} --n 10 --mde-relative 0.1", "--mde-relative, --n given"),
        (f"{BASELINE} --n 10 --p2 0.5", "--p2 has no --p1"),
        ("power --p1 0.5 --p2 0.6 --n 10", "--n, --p2 given"),
        ("power --p1 0.5 --p2 0.5", "both 0.5"),
        ("power --p1 0.5 --mde-relative 1", "proportion is 1.0"),
        ("power --mean 0 --sd 1 --mde-relative 0.1", "mean is 0"),
        ("power --mean 1 --sd 0 --n 10", "sd is 0"),
        (f"{BASELINE} --n 0", "n is 0"),
        (f"{BASELINE} --n nan", "'nan' is not a finite number"),
        (f"{BASELINE} --n 10 --alpha 0", "alpha is 0"),
        (f"{BASELINE} --n 10 --power 1", "power is 1"),
        (f"{BASELINE} --n 10 --rho 1", "rho is 1"),
        (f"{BASELINE} --n 10 --allocation 1:0", "'1:0' is not control:treatment"),
        (f"{BASELINE} --n 10 --allocation 3", "'3' is not control:treatment"),
        (f"{BASELINE} --n 10 --looks 0", "looks is 0"),
        (f"{BASELINE} --n 10 --spending hsd", "spending is 'hsd'"),
        (f"{BASELINE} --n 10 --randomized-by cluster --icc 0.1", "needs --icc and --cluster-size"),
        ("boundaries --information 0", "information 0.0"),
        ("boundaries --information -0.5", "information -0.5"),
        ("boundaries --information", "expected at least one argument"),
        ("boundaries --information 1 --alpha 1", "alpha is 1"),
        ("boundaries --information 1 --sides 3", "invalid choice: 3"),
        ("boundaries --information 1 --spending x", "spending is 'x'"),
        ("boundaries --information 1 --statistic 1 2", "2 statistics for 1 looks"),
        ("boundaries --information 1 --std-error 1", "1 standard errors for 0 statistics"),
        ("boundaries --information 1 --statistic 1 --std-error 0", "standard error 0.0"),
    ],
)
def test_bad_input_is_one_line(refusal: Callable[[str], str], line: str, words: str) -> None:
    assert words in refusal(line)
