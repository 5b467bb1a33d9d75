"""The gate over simulated experiments: what docs/gate.md shows, at a small size."""

from pathlib import Path

import numpy as np
import pytest

from metrics.configuration.project import load_project
from metrics.looks import looks_planned, planned_information
from metrics.sequential.boundaries import boundaries
from metrics.sequential.designs import equally_spaced
from scripts.calibration.looks import normal_paths
from scripts.environment import ROOT
from scripts.gate.__main__ import SCENARIOS, main, shares
from scripts.gate.simulation import Course, Scenario

N = 400


def ends_of(scenario: Scenario) -> dict[str, float]:
    project = load_project(ROOT / "conf", ROOT / "data")
    course = Course(project.experiments[0], project.catalogue, scenario)
    return dict(shares([course.run(np.random.default_rng((7, k))) for k in range(N)]))


def test_without_an_effect_it_ships_and_rolls_back_no_more_often_than_it_may() -> None:
    """2.5% and 10%, and four Monte Carlo errors of each."""
    ends = ends_of(Scenario("no effect"))
    assert ends["ship"] < 0.025 + 4 * (0.025 * 0.975 / N) ** 0.5
    assert ends["rollback"] < 0.1 + 4 * (0.1 * 0.9 / N) ** 0.5
    assert ends["hold"] == 0


def test_harm_of_twice_its_margin_is_rolled_back_and_the_effect_sought_ships() -> None:
    assert ends_of(Scenario("harm", harm={"crash_rate": 2.0}))["rollback"] > 0.98
    assert ends_of(Scenario("effect", primary=1.0))["ship"] == pytest.approx(0.77, abs=0.1)
    assert ends_of(Scenario("twice the effect", primary=2.0))["ship"] > 0.9


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "gate.md"
    assert main(["--experiments", "2", "--output", str(page)]) == 0
    text = page.read_text()
    assert all(f"| {scenario.name} |" in text for scenario in SCENARIOS)
    assert "None" not in text and "nan" not in text


@pytest.mark.parametrize("name", ["play_starts_7d", "crash_rate", "rebuffering_ratio"])
def test_the_information_planned_has_the_power_of_the_design(name: str) -> None:
    """Crossings to the right side over looks at equal steps, simulated: within four Monte Carlo errors of 80%."""
    project = load_project(ROOT / "conf", ROOT / "data")
    experiment, n = project.experiments[0], 4000
    effect = 0.002
    most = planned_information(experiment, project.catalogue, name, effect)
    fractions = equally_spaced(looks_planned(experiment, project.catalogue.metrics[name], project.catalogue))
    z = normal_paths(np.array(fractions), n, np.random.default_rng(11)) + effect * np.sqrt(
        np.array(fractions) * most
    )
    limits = [look.z_boundary for look in boundaries(fractions, experiment.alpha, 2, experiment.spending)]
    found = (z >= np.array(limits, dtype=float)).any(axis=1).mean()
    assert found == pytest.approx(0.8, abs=4 * (0.16 / n) ** 0.5)
