"""conf/layers.yml, and experiments that do not fit into their layer."""

from pathlib import Path

import pytest

from metrics.configuration.project import load_project
from metrics.configuration.validation import faults_of
from tests.jobs.result_tables import write_configuration

OTHER = """id: other
layer: homepage
arms: {control: 0.5, b: 0.5}
start: 2026-03-04
metrics: {primary: [play_starts_7d]}
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """One experiment, in layer `homepage`, whose last stage is 0.5."""
    return write_configuration(tmp_path / "conf")


def test_a_holdout_is_read(conf: Path) -> None:
    assert load_project(conf).holdouts == {}
    (conf / "layers.yml").write_text("layers: {homepage: {holdout: 0.05}}")
    assert load_project(conf).holdouts == {"homepage": 0.05}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("layers: {homepag: {holdout: 0.05}}", "layers.yml: layers.homepag: is the layer of no experiment"),
        ("layers: {homepage: {holdout: 1}}", "layers.yml: layers.homepage.holdout: is 1; expected a share"),
        ("layers: {homepage: {holdout: many}}", "layers.yml: layers.homepage.holdout: is"),
        ("layers: {homepage: {holdouts: 0.1}}", "layers.yml: layers.homepage.holdouts: is not a key here"),
        ("holdout: 0.1", "layers.yml: layers: is missing"),
    ],
)
def test_a_faulty_layer_is_named(conf: Path, text: str, fault: str) -> None:
    (conf / "layers.yml").write_text(text)
    assert any(line.startswith(fault) for line in faults_of(conf)), faults_of(conf)


@pytest.mark.parametrize(
    ("other", "layers", "fault"),
    [
        ("rollout: {stages: [0.5]}", "", None),
        ("rollout: {stages: [0.4]}", "layers: {homepage: {holdout: 0.1}}", None),
        ("rollout: {stages: [0.6]}", "", "homepage 0.5, other 0.6 do not fit; lower rollout.stages"),
        (
            "rollout: {stages: [0.5]}",
            "layers: {homepage: {holdout: 0.1}}",
            "do not fit beside a holdout of 0.1;",
        ),
        ("rollout: {stages: [0.5]}\nrandomized_by: cluster", "", "are randomized by unit and by cluster"),
    ],
)
def test_experiments_that_do_not_fit_beside_each_other_are_refused(
    conf: Path, other: str, layers: str, fault: str | None
) -> None:
    (conf / "experiments" / "other.yml").write_text(f"{OTHER}{other}\n")
    if layers:
        (conf / "layers.yml").write_text(layers)
    load_project(conf)  # whatever was planned: there is room for what is allocated
    found = [
        line for line in faults_of(conf) if line.startswith("experiments: layer 'homepage' on 2026-03-04: ")
    ]
    assert [fault is not None and fault in line for line in found] == ([True] if fault else [])


def test_experiments_of_different_times_may_have_the_whole_layer_each(conf: Path) -> None:
    later = OTHER.replace("2026-03-04", "2026-06-01")
    (conf / "experiments" / "other.yml").write_text(later + "rollout: {stages: [1.0]}\n")
    assert faults_of(conf) == ()
