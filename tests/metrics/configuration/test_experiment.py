from datetime import date
from pathlib import Path

import pytest

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Amendment, Experiment, load_experiment
from metrics.errors import ConfigurationError

CONF = Path(__file__).resolve().parents[3] / "conf"
TEXT = (CONF / "experiments" / "homepage_ranking.yml").read_text()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(CONF / "metrics.yml")


def load(tmp_path: Path, catalogue: Catalogue, *changes: tuple[str, str]) -> Experiment:
    """The homepage experiment with some text replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "homepage_ranking.yml"
    path.write_text(text)
    return load_experiment(path, catalogue)


def test_the_homepage_experiment_reads_as_it_is_written(tmp_path: Path, catalogue: Catalogue) -> None:
    experiment = load(tmp_path, catalogue)
    assert (experiment.control, experiment.treatments) == ("control", ("treatment",))
    assert experiment.metric_names[:2] == ("play_starts_7d", "watch_minutes_7d")
    assert experiment.guardrails["rebuffering_ratio"] == 0.0005
    assert experiment.covariates is not None
    assert experiment.covariates.columns == ("pre_play_starts", "pre_watch_minutes", "tenure_days", "device")
    assert experiment.last_enrollment_day == date(2026, 3, 15)
    assert experiment.planned_end(catalogue) == date(2026, 3, 21)
    assert experiment.first_covariate_day == date(2026, 2, 16)


def test_every_spending_function_of_the_commands_may_be_declared(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    assert load(tmp_path, catalogue, ("spending: pocock", "spending: 'hsd:-4'")).spending == "hsd:-4"


def test_the_hash_follows_the_file(tmp_path: Path, catalogue: Catalogue) -> None:
    unchanged = load(tmp_path, catalogue).spec_hash
    assert load(tmp_path, catalogue).spec_hash == unchanged
    assert load(tmp_path, catalogue, ("power: 0.8", "power: 0.9")).spec_hash != unchanged


def test_an_amendment_names_the_file_before_it(tmp_path: Path, catalogue: Catalogue) -> None:
    before = load(tmp_path, catalogue)
    record = f"amendments: [{{date: 2026-03-04, reason: One more segment., was: {before.spec_hash}}}]\nowner:"
    amended = load(tmp_path, catalogue, ("owner:", record))
    assert amended.amendments == (Amendment(date(2026, 3, 4), "One more segment.", before.spec_hash),)
    assert amended.spec_hashes == {before.spec_hash, amended.spec_hash}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("owner:", "amendments: yes\nowner:", "amendments: is True; expected a list"),
        ("owner:", "amendments: [late]\nowner:", "amendments[1]: is 'late'; expected a mapping"),
        (
            "owner:",
            "amendments: [{date: 2026-03-04, reason: '', was: 0123456789abcdef}]\nowner:",
            "amendments[1].reason: is empty; give a text",
        ),
        (
            "owner:",
            "amendments: [{date: 2026-03-04, reason: more, was: before}]\nowner:",
            "amendments[1].was: is 'before'; give the file's hash before the change",
        ),
        (
            "owner:",
            "amendments: [{date: 2026-03-04, reason: a, was: 0123456789abcdef}, "
            "{date: 2026-03-03, reason: b, was: 0123456789abcdee}]\nowner:",
            "amendments[2].date: is 2026-03-03, before the amendment above it",
        ),
        ("owner:", "ownr:", "ownr: is not a key here; did you mean 'owner'?"),
        ("control: 0.5,", "control: 0.6,", "arms: shares add up to 1.1; they must add up to 1"),
        ("control: 0.5, treatment: 0.5", "control: 0.5", "arms: names 1;"),
        (
            "layer: homepage",
            "layer: homepage\ntargeting: {device: []}",
            "targeting.device: lists nothing, so nobody could be enrolled",
        ),
        (
            "layer: homepage",
            "layer: homepage\ntargeting: {plan: [basic]}",
            "targeting.plan: is not a key here",
        ),
        (
            "layer: homepage",
            "layer: homepage\ntargeting: {tenure_band: [old]}",
            "targeting.tenure_band: lists 'old'; expected among new, established, unknown",
        ),
        (
            "[0.01, 0.05, 0.2, 0.5]",
            "[0.01, 0.33333]",
            "rollout.stages: is [0.01, 0.33333]; give shares to four decimals",
        ),
        ("[play_starts_7d]", "[play_start_7d]", "metric 'play_start_7d' is not in metrics.yml"),
        ("[watch_minutes_7d]", "[play_starts_7d]", "metric 'play_starts_7d' has two roles"),
        ("{margin: 0.001}", "{margin: -0.001}", "start_failure_rate.margin: is -0.001; expected more than 0"),
        ("{margin: 0.001}", "{margin: 0.1, unit: x}", "start_failure_rate.unit: is not a key here"),
        ("start: 2026-03-02", "start: soon", "start: is 'soon'; expected"),
        ("spending: pocock", "spending: hsd", "sequential.spending: is 'hsd'; expected one of pocock,"),
        ("days: 14, measures: [play_starts,", "days: 14, measures: [plays,", "'plays' is not a measure"),
        ("[tenure_band, device, region]", "[colour]", "segments: 'colour' is not known at exposure"),
        ("alpha: 0.05", "alpha: 5", "design.alpha: is 5; expected between 0 and 1"),
        ("[0.01, 0.05, 0.2, 0.5]", "[0.5, 0.2]", "rollout.stages: is [0.5, 0.2]; expected rising shares"),
        ("layer: homepage", "layer: homepage\nlayer: other", "key 'layer' is given twice"),
        ("enrollment_days: 14", "enrollment_days: 0", "enrollment_days: is 0; expected days from 1 to 3,650"),
        ("start: 2026-03-02\n", "", "start: is missing; add it"),
    ],
)
def test_a_fault_names_file_key_and_remedy(
    tmp_path: Path, catalogue: Catalogue, old: str, new: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, catalogue, (old, new))
    assert says in str(caught.value)
    assert str(caught.value).startswith("homepage_ranking.yml: ")
    assert "\n" not in str(caught.value)


def test_every_fault_of_a_file_is_reported(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, catalogue, ("owner:", "ownr:"), ("alpha: 0.05", "alpha: 5"))
    assert len(caught.value.faults) == 2


def test_without_covariates_the_decision_is_by_difference_in_means(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    covariates = next(line for line in TEXT.splitlines() if line.startswith("covariates:"))
    estimator = next(line for line in TEXT.splitlines() if line.startswith("decision_estimator:"))
    experiment = load(tmp_path, catalogue, (covariates, ""), (estimator, ""))
    assert (experiment.covariates, experiment.decision_estimator) == (None, "difference_in_means")
