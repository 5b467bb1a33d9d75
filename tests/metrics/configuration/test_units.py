from pathlib import Path

import pytest

from metrics.configuration.units import load_unit_experiment
from metrics.errors import ConfigurationError

SPEC = """
id: pricing_test
source:
  path: units.csv
  unit: user_id
  cluster: family_id
  arm: variant
  columns:
    spend: {kind: mean, winsorize: 0.995, covariates: [spend_before, tenure]}
    errors_per_call: {kind: ratio, numerator: errors, denominator: calls}
    kept: {kind: proportion, column: retained_7}
arms: {gate_30: 0.5, gate_40: 0.5}
strata: [country]
segments: [platform]
metrics: {primary: [kept], secondary: [spend], guardrails: {errors_per_call: {margin: 0.01}}}
design: {alpha: 0.05}
vcov: auto
"""


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "spec.yml"
    path.write_text(text)
    return load_unit_experiment(path)


def test_the_example_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "spec.yml"
    path.write_text(SPEC)
    experiment = load_unit_experiment(path)
    design, metrics = experiment.design, experiment.catalogue.metrics
    assert (design.control, design.treatments, design.vcov) == ("gate_30", ("gate_40",), "auto")
    assert (design.primary, design.secondary, design.guardrails) == (
        ("kept",),
        ("spend",),
        {"errors_per_call": 0.01},
    )
    assert design.covariates_of(metrics["spend"]) == ("pre_spend_before", "pre_tenure")
    assert experiment.file.path == str(tmp_path / "units.csv")
    assert experiment.file.outcomes == {
        "spend": "spend",
        "errors_per_call_numerator": "errors",
        "errors_per_call_denominator": "calls",
        "kept": "retained_7",
    }
    assert experiment.file.columns(design, experiment.catalogue) == (
        *("user_id", "family_id", "variant", "spend", "errors", "calls", "retained_7"),
        *("country", "platform", "spend_before", "tenure"),
    )


def test_without_clusters_errors_are_hc2(tmp_path: Path) -> None:
    path = tmp_path / "spec.yml"
    path.write_text(SPEC.replace("  cluster: family_id\n", ""))
    assert load_unit_experiment(path).design.vcov == "hc2"


def test_a_column_without_a_role_is_a_secondary_metric(tmp_path: Path) -> None:
    path = tmp_path / "spec.yml"
    path.write_text(SPEC.replace("secondary: [spend], ", ""))
    assert load_unit_experiment(path).design.secondary == ("spend",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: mean", "kind: median", "source.columns.spend.kind: is 'median'; expected one of"),
        ("winsorize: 0.995", "winsorize: 99.5", "winsorize: is 99.5; expected a quantile"),
        ("gate_40: 0.5", "gate_40: 0.6", "arms: shares add up to 1.1"),
        ("primary: [kept]", "primary: [keept]", "metric 'keept' is not in source.columns"),
        ("  arm: variant\n", "", "source.arm: is missing"),
        ("unit: user_id", "unitt: user_id", "source.unitt: is not a key here"),
        ("vcov: auto", "vcov: hc3", "vcov: is 'hc3'; expected one of auto, cr1s, cr2, hc2"),
        ("    spend:", "    spend.net:", "has a dot"),
        ("numerator: errors, ", "", "source.columns.errors_per_call.numerator: is missing"),
    ],
)
def test_faults_name_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SPEC
    with pytest.raises(ConfigurationError, match=r"spec\.yml: ") as error:
        load(tmp_path, SPEC.replace(old, new))
    assert any(message in fault for fault in error.value.faults)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    kept:",
            "    errors_per_call_numerator: {kind: mean}\n    kept:",
            "'errors_per_call_numerator' is both",
        ),
        (
            "    kept: {kind: proportion, column",
            "    household_id: {kind: proportion, column",
            "'household_id' is both",
        ),
        ("    spend:", "    Platform:", "'Platform' is both a segment or stratum and metric Platform"),
        (
            "segments: [platform]",
            "segments: [stratum]",
            "'stratum' is both a column of its own and a segment",
        ),
        (
            "    kept:",
            "    pre_tenure: {kind: mean}\n    kept:",
            "'pre_tenure' is both the covariate tenure and",
        ),
    ],
)
def test_columns_of_different_meaning_may_not_share_a_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SPEC
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, SPEC.replace(old, new))
    assert any(message in fault for fault in error.value.faults)


def test_arms_are_named_as_the_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "spec.yml"
    path.write_text(SPEC.replace("gate_30: 0.5", '"Variant A (grün)": 0.5'))
    assert load_unit_experiment(path).design.control == "Variant A (grün)"


def test_clusters_cannot_be_randomised_without_a_column(tmp_path: Path) -> None:
    text = SPEC.replace("  cluster: family_id\n", "") + "randomized_by: cluster\n"
    with pytest.raises(
        ConfigurationError, match=r"randomized_by: is 'cluster' and source\.cluster is not given"
    ):
        load(tmp_path, text)
