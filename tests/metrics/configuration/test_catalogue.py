from pathlib import Path

import pytest

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.errors import ConfigurationError

TEXT = """
measures:
  plays: {sql: "count(1)"}
  active: {sql: "true", kind: any}
metrics:
  plays_7d: {kind: mean, measure: plays, window: 7, winsorize: 0.99, better: higher}
  rate: {kind: ratio, numerator: plays, denominator: active, window: to_date, better: lower}
"""


def load(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "metrics.yml"
    path.write_text(text)
    return load_catalogue(path)


def test_metrics_know_their_columns_and_maturity_group(tmp_path: Path) -> None:
    metrics = load(tmp_path, TEXT).metrics
    assert (metrics["plays_7d"].outcome_columns, metrics["plays_7d"].maturity_group) == (("plays_7d",), "7d")
    assert metrics["rate"].outcome_columns == ("rate_numerator", "rate_denominator")
    assert (metrics["rate"].window, metrics["rate"].maturity_group) == (None, "to_date")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "measure: plays,",
            "measure: play,",
            "metrics.plays_7d: uses measure 'play', which is not under measures",
        ),
        (
            "kind: mean",
            "kind: meen",
            "metrics.plays_7d.kind: is 'meen'; expected one of mean, ratio, proportion, retention, quantile",
        ),
        ("window: 7", "window: week", "window: is 'week'; expected a number of days from 1, or to_date"),
        ("winsorize: 0.99", "winsorize: 99.5", "winsorize: is 99.5; expected a quantile between 0.5 and 1"),
        ("better: lower", "better: less", "better: is 'less'; expected one of higher, lower"),
        ("numerator: plays", "measure: plays, numerator: plays", "metrics.rate.measure: is not a key here"),
        ("kind: mean", "kind: proportion", "measure: 'plays' is of kind sum; a proportion needs kind any"),
        ("  plays_7d:", "  Plays 7d:", "metrics.Plays 7d: is not a column name"),
    ],
)
def test_a_fault_names_key_and_remedy(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, TEXT.replace(old, new))
    assert any(says in fault for fault in caught.value.faults)


def test_a_quantile_of_a_histogram_is_one_of_events(tmp_path: Path) -> None:
    text = TEXT.replace(
        "metrics:",
        """  delay: {sql: "latency_ms", kind: histogram}
metrics:
  delay_p95: {kind: quantile, measure: delay, window: 7, quantile: 0.95, better: lower}
  plays_p95: {kind: quantile, measure: plays, window: 7, quantile: 0.95, better: higher}""",
    )
    catalogue = load(tmp_path, text)
    assert [catalogue.metrics[name].of_events for name in ("delay_p95", "plays_p95", "rate")] == [
        True,
        False,
        False,
    ]
    assert (catalogue.numbers, catalogue.histograms) == (("plays", "active"), ("delay",))
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text.replace("measure: plays, window: 7, win", "measure: delay, window: 7, win"))
    assert any(
        "metrics.plays_7d: uses measure 'delay', a histogram; only a metric of kind quantile" in fault
        for fault in caught.value.faults
    )


def test_retention_quantiles_and_both_tails(tmp_path: Path) -> None:
    extra = """  back: {kind: retention, measure: active, day: 7, better: higher}
  median: {kind: quantile, measure: plays, window: 7, quantile: 0.5, better: higher}
"""
    text = TEXT + extra
    metrics = load(tmp_path, text).metrics
    assert (metrics["back"].window, metrics["back"].day, metrics["back"].is_share) == (8, 7, True)
    assert metrics["median"].quantile == 0.5
    both = load(tmp_path, text.replace("winsorize: 0.99", "winsorize: [0.01, 0.99]")).metrics
    assert (metrics["plays_7d"].winsorize, both["plays_7d"].winsorize) == ((0.99,), (0.01, 0.99))
    for old, new, says in (
        ("winsorize: 0.99", "winsorize: [0.99, 0.01]", "winsorize: is [0.99, 0.01]; expected a quantile"),
        ("winsorize: 0.99", "winsorize: []", "winsorize: is []; expected a quantile"),
        ("day: 7", "day: 0", "day: is 0; expected days from 1 to 3,650"),
        ("measure: active", "measure: plays", "a retention needs kind any"),
        ("quantile: 0.5", "quantile: 50", "quantile: is 50; expected between 0 and 1"),
        ("quantile: 0.5", "quantile: 0.5, winsorize: 0.9", "winsorize: changes nothing about a quantile"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, text.replace(old, new))
        assert any(says in fault for fault in caught.value.faults)
