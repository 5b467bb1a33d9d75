"""The calibration report at small size: it must see a wrong standard error, and not see one that is right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrics.statistics.estimators import Comparison, difference_in_means
from metrics.statistics.moments import Integers
from metrics.statistics.passes import RawRows
from metrics.statistics.srm import TRIGGER_ALPHA, e_bh, log_e_value
from scripts.calibration import __main__ as command
from scripts.calibration import few_clusters, looks, quantiles, replicates, sample_ratio
from scripts.calibration import population as p
from scripts.calibration.coverage import Intervals, absolute, coverage_of, intervals_of, share_of
from scripts.calibration.experiment import LEVEL, TREATMENT, plain_group, prepare
from scripts.calibration.intervals import examine, settings_of, truths
from scripts.calibration.markdown import shown
from scripts.calibration.report import Findings, report, simulate
from scripts.calibration.sizes import FULL, SEED, SMALL, Sizes, generator, scaled


@pytest.fixture(scope="module")
def findings() -> Findings:
    return simulate(SMALL, SEED, lambda _: None)


@pytest.fixture(scope="module")
def differences() -> Intervals:
    """Of the mean number of plays, in 400 experiments."""
    results = []
    for experiment in range(400):
        raw = p.draw_experiment(150, p.EVENLY, p.USUAL, generator(1, experiment))
        moments = prepare(raw, plain_group(raw, ("plays",))).whole
        results.append(difference_in_means(moments, "plays", Comparison(TREATMENT, level=LEVEL)))
    return intervals_of(map(absolute, results))


def narrowed(intervals: Intervals, factor: float) -> Intervals:
    """The same estimates, had their standard errors been so many times what they are."""
    middle = intervals.estimate
    return replace(
        intervals,
        std_error=factor * intervals.std_error,
        low=middle + factor * (intervals.low - middle),
        high=middle + factor * (intervals.high - middle),
    )


def test_a_standard_error_that_is_too_small_is_seen(differences: Intervals) -> None:
    truth = p.mean_plays(p.USUAL).effect
    right = coverage_of(differences, truth)
    assert right.covered.as_promised
    assert right.se_ratio == pytest.approx(1, abs=0.12)
    wrong = coverage_of(narrowed(differences, 0.7), truth)
    assert not wrong.covered.as_promised
    assert wrong.covered.found < 0.9
    assert wrong.se_ratio == pytest.approx(0.7 * right.se_ratio)
    assert shown(wrong.covered).startswith("**")


def test_misses_are_told_apart_by_their_side(differences: Intervals) -> None:
    far_above = coverage_of(differences, truth=1e6)
    assert (far_above.below, far_above.above, far_above.covered.found) == (1, 0, 0)


def test_an_experiment_without_a_number_is_counted_and_left_out() -> None:
    found = coverage_of(intervals_of([(1.0, 1.0, -1.0, 3.0), None, (2.0, 1.0, 0.5, 4.0)]), truth=0.0)
    assert (found.silent, found.covered.n, found.covered.found, found.above) == (1, 2, 0.5, 0.5)


def test_a_promise_may_be_a_bound() -> None:
    never = np.zeros(10_000, dtype=bool)
    assert share_of(never, 0.01, "at most").as_promised
    assert not share_of(never, 0.01).as_promised
    assert not share_of(~never, 0.01, "at most").as_promised
    assert share_of(~never, 0.95, "at least").as_promised


def test_closed_form_truths_are_what_a_large_sample_shows() -> None:
    rng = generator(2)
    profiles = p.draw_profiles(100_000, rng)
    seen = [p.outcomes(profiles, np.full(len(profiles), arm), p.USUAL, rng) for arm in (0, 1)]
    plays, watch = p.mean_plays(p.USUAL), p.mean_watch(p.USUAL)
    assert [each.plays.mean() for each in seen] == pytest.approx(plays, rel=0.02)
    assert [each.watch.mean() for each in seen] == pytest.approx(watch, rel=0.03)
    ratios = [each.failures.sum() / each.plays.sum() for each in seen]
    assert ratios == pytest.approx(p.failure_ratios(p.USUAL), rel=0.02)
    cut, threshold = p.winsorized_means(p.USUAL, 0.5, 50_000, rng)
    assert cut == pytest.approx([np.minimum(each.watch, threshold).mean() for each in seen], rel=0.04)
    assert 0 < cut.effect < watch.effect


def test_the_delays_of_a_large_sample_have_the_quantiles_of_the_closed_form() -> None:
    arm = np.tile(np.arange(2), 5_000)
    many = RawRows({"plays": np.full(10_000, 20.0)}, np.arange(10_000), arm)
    row, delay = p.start_delays(many, p.USUAL, generator(5))
    for probability in (0.5, 0.95):
        seen_delays = [np.quantile(delay[arm[row] == each], probability) for each in (0, 1)]
        assert seen_delays == pytest.approx(p.delay_quantiles(p.USUAL, probability), rel=0.05)


def test_households_straddle_arms_unless_they_are_assigned_whole() -> None:
    profiles = p.draw_profiles(500, generator(3))
    by_profile = p.assign(profiles, p.EVENLY, generator(4))
    whole = p.assign(profiles, p.Assignment(by_household=True), generator(4))

    def straddling(arm: Integers) -> int:
        pairs = set(zip(profiles.household.tolist(), arm.tolist(), strict=True))
        return len(pairs) - 500

    assert straddling(by_profile) > 100
    assert straddling(whole) == 0


def test_every_estimator_is_within_generous_bounds(findings: Findings) -> None:
    estimators = {estimator for found in findings.intervals for _, estimator, _ in found.coverages}
    assert estimators == {
        *("difference_in_means", "cuped", "ols", "lin", "post_stratified", "ratio", "ratio_cuped"),
    }
    usual = findings.intervals[0]
    for key, coverage in usual.coverages.items():
        assert coverage.covered.found >= 0.8, key
        assert 0.7 < coverage.se_ratio < 1.4, key
        assert abs(coverage.bias) < 0.6, key
    for share in usual.rejections.values():
        assert share.found <= 0.25


def test_a_wrong_truth_would_be_seen_in_the_whole_section() -> None:
    setting = replace(settings_of(SMALL)[0], n_experiments=20)
    wrong = truths(setting, lambda *_: p.Means(1e6, 0.0))
    found = examine(setting, wrong, (SEED, 1, 0)).coverages
    assert not found["cut_watch", "cuped", "absolute"].covered.as_promised
    assert found["plays", "cuped", "absolute"].covered.as_promised


def test_cr1s_fails_where_few_clusters_are_treated_and_cr2_does_not() -> None:
    found = few_clusters.examine(few_clusters.SETTINGS[2], 250, (SEED, 2, 2)).coverages
    assert not found["difference_in_means", "cr1s"].covered.as_promised
    assert found["difference_in_means", "cr2"].covered.as_promised
    for estimator in ("difference_in_means", "cuped", "ols", "lin"):
        assert found[estimator, "cr2"].se_ratio > 1.05 * found[estimator, "cr1s"].se_ratio


def test_quantiles_have_their_truth_and_one_four_spreads_away_would_be_seen() -> None:
    control, treated, _ = p.draw_minutes(p.USUAL, 0.5, 50_000, generator(SEED, quantiles.TRUTH_PLACE))
    found = quantiles.results_of(p.EVENLY, 200, 25, 300, (SEED, quantiles.PLACE))
    assert set(found) == set(quantiles.ASKED)
    for asked, results in found.items():
        intervals, truth = intervals_of(map(absolute, results)), quantiles.truth(asked, control, treated)
        right = coverage_of(intervals, truth.effect)
        assert right.covered.found >= 0.8, asked
        assert abs(right.bias) < 0.8, asked
        assert right.silent == 0, asked
        wrong = coverage_of(intervals, truth.effect + 4 * intervals.estimate.std())
        assert not wrong.covered.as_promised, asked


def test_the_bootstrap_agrees_with_the_closed_form() -> None:
    found = replicates.examine(200, 10, 1_000, (SEED, 3, 0))
    for compared in found.metrics.values():
        assert compared.ratios.mean() == pytest.approx(1, abs=0.04)
        # What is left is the noise of 1,000 replicates.
        assert compared.ratios.std() < 0.05
        assert compared.percentile.se_ratio == pytest.approx(compared.closed_form.se_ratio, rel=0.04)


def test_a_control_without_failures_has_no_relative_effect_in_any_replicate() -> None:
    raw = p.draw_experiment(100, p.EVENLY, p.USUAL, generator(7))
    failures = np.where(raw.arm == 0, 0.0, raw.columns["failures"])
    silent = replace(raw, columns={**raw.columns, "failures": failures})
    for result in replicates.compared(silent, 200, seed=1)["failure_rate"]:
        assert (result.status, result.control_mean) == ("ok", 0.0)
        assert result.relative_effect is None and result.relative_std_error is None


def test_daily_looks_spend_alpha_once_and_the_known_fault_does_not() -> None:
    paths = looks.on_paths(replace(SMALL, paths=100_000), (SEED, 4, 0))
    for spending in looks.SPENDINGS:
        assert paths.rejections[spending, looks.DAYS].as_promised
        assert paths.rejections[spending, 5].as_promised
    fault = paths.rejections["fault: pocock", 5]
    assert not fault.as_promised
    assert fault.found == pytest.approx(0.097, abs=0.005)
    assert all(share.as_promised for share in paths.coverages.values())


def test_a_look_without_a_number_has_no_boundary_and_the_others_keep_theirs() -> None:
    information = np.array([np.nan, 0.3, 0.6, 1.0])
    z = np.array([np.nan, 1.0, 2.0, 3.0])
    limits = looks.rules_where_known(information, z)["pocock"]
    assert limits[0] == np.inf
    assert limits[1:] == pytest.approx(looks.product_limits([0.3, 0.6, 1.0], "pocock"))
    assert looks.crossed(z[None], limits).tolist() == [True]
    assert np.isinf(looks.rules_where_known(information, z / 2)["pocock"]).all()


def test_every_look_reads_all_rows_so_far() -> None:
    numbers = looks.daily_numbers(looks.Setting("profiles", 200), generator(5))
    for of_estimator in numbers.values():
        z, corrected, _, profiles = np.array(of_estimator).T
        assert (np.diff(profiles) > 0).all()
        # The p-value is on t: its normal score is never further out.
        assert (np.abs(corrected) <= np.abs(z) + 1e-12).all()


def skewed_counts(experiment: int) -> Integers:
    shares = np.full(sample_ratio.STRATA.shape, 0.5)
    shares[0, 0] = sample_ratio.SKEWED_SHARE
    return sample_ratio.hourly_counts(shares, generator(6, experiment))


@pytest.mark.parametrize("experiment", range(2))
def test_the_shortcut_past_quiet_hours_finds_the_same_first_alarm(experiment: int) -> None:
    counts = skewed_counts(experiment)
    found = sample_ratio.first_trigger(counts)
    assert found is not None
    for hour in (found - 1, found):
        values = [log_e_value(each, sample_ratio.SHARES) for each in counts[hour]]
        assert (max(values) >= e_bh(values, TRIGGER_ALPHA)) == (hour == found)


def test_hourly_counts_add_up() -> None:
    counts = skewed_counts(0)
    assert counts.shape == (sample_ratio.HOURS, sample_ratio.HYPOTHESES, 2)
    of_units, crossovers = (
        counts[:, :-1].reshape(sample_ratio.HOURS, 2, sample_ratio.SLICES, 2),
        counts[:, -1],
    )
    everybody, strata = of_units[:, :, 0], of_units[:, :, 1 : 1 + sample_ratio.STRATA.size]
    regions, platforms = np.split(
        of_units[:, :, 1 + sample_ratio.STRATA.size :], [len(sample_ratio.STRATA)], axis=2
    )
    for sliced in (strata, regions, platforms):
        assert (everybody == sliced.sum(axis=2)).all()
    assert (platforms[:, :, 0] == strata[:, :, :: sample_ratio.STRATA.shape[1]].sum(axis=2)).all()
    assert (platforms[:, 0, 0] == counts[:, sample_ratio.FIRST_PLATFORM]).all()
    assert (of_units[:, 1] <= of_units[:, 0]).all() and (crossovers <= everybody[:, 0]).all()
    assert counts[-1, sample_ratio.EVERYBODY].sum() == pytest.approx(sample_ratio.PROFILES, rel=0.01)


def test_the_alarm_is_silent_on_clean_services_and_hourly_tests_are_not(findings: Findings) -> None:
    assert findings.sample_ratio.fired.found == 0
    assert not findings.sample_ratio.tested.as_promised
    assert 10_000 < np.median(findings.sample_ratio.delays) < 60_000


def test_the_report_has_every_section_and_no_holes(findings: Findings) -> None:
    page = report(findings, SMALL, SEED)
    for number in range(1, 6):
        assert f"\n## {number}. " in page
    assert "nan" not in page and "inf |" not in page and "None" not in page
    widths = [line.count(" | ") for line in page.splitlines() if line.startswith("| ---")]
    assert len(widths) >= 12


def test_the_command_writes_the_page(
    findings: Findings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Sizes, int]] = []

    def remember(sizes: Sizes, seed: int, _: Callable[[str], None]) -> Findings:
        asked.append((sizes, seed))
        return findings

    monkeypatch.setattr(command, "simulate", remember)
    page = tmp_path / "calibration.md"
    assert command.main(["--small", "--output", str(page)]) == 0
    assert asked == [(SMALL, SEED)]
    assert page.read_text(encoding="utf-8") == report(findings, SMALL, SEED)


def test_fewer_experiments_shrink_every_section() -> None:
    assert scaled(FULL.experiments) == FULL
    tenth = scaled(1_000)
    assert (tenth.experiments, tenth.paths, tenth.looked) == (1_000, 100_000, 300)
    assert tenth.households == FULL.households
