"""From rows of profile_windows to estimates: every number against pandas and statsmodels, every row present."""

import logging
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pyspark.sql import DataFrame, SparkSession

from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiment
from metrics.rows import Estimate
from metrics.statistics import frame as frame_module
from metrics.statistics.analysis import Analysis, estimate
from metrics.statistics.estimators import Comparison, cuped
from metrics.statistics.moments import Moments
from metrics.statistics.multiplicity import adjust
from metrics.statistics.winsorize import type1_quantile
from tests.metrics.statistics.support import moments

DAY = date(2026, 3, 21)
CATALOGUE = """
measures:
  plays: {sql: "count(*)"}
  minutes: {sql: "count(*)"}
  crashes: {sql: "count(*)"}
  sessions: {sql: "count(*)"}
  active: {sql: "count(*) > 0", kind: any}
metrics:
  plays_7d: {kind: mean, measure: plays, window: 7, better: higher}
  minutes_7d: {kind: mean, measure: minutes, window: 7, winsorize: 0.9, better: higher}
  active_7d: {kind: proportion, measure: active, window: 7, better: higher}
  crash_rate: {kind: ratio, numerator: crashes, denominator: sessions, window: to_date, better: lower}
"""
EXPERIMENT = """
id: homepage
arms: {control: 0.5, a: 0.3, b: 0.2}
start: 2026-03-02
strata: [device]
covariates: {days: 14, measures: [plays, minutes], attributes: [tenure_days, device]}
metrics: {primary: [plays_7d], secondary: [minutes_7d, active_7d], guardrails: {crash_rate: {margin: 0.01}}}
segments: [device]
"""
SCHEMA = """profile_id BIGINT, household_id BIGINT, arm STRING, tenure_band STRING, device STRING, stratum STRING,
            tenure_days INT, plays_7d DOUBLE, minutes_7d DOUBLE, active_7d DOUBLE, crash_rate_numerator DOUBLE,
            crash_rate_denominator DOUBLE, pre_plays DOUBLE, pre_minutes DOUBLE"""
TYPES = {part.split()[0]: part.split()[1] for part in SCHEMA.split(",")}
NUMERIC = ["pre_plays", "pre_minutes", "tenure_days"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Catalogue]:
    return configuration(tmp_path_factory.mktemp("conf"), EXPERIMENT)


def configuration(folder: Path, experiment: str) -> tuple[Experiment, Catalogue]:
    (folder / "metrics.yml").write_text(CATALOGUE)
    (folder / "homepage.yml").write_text(experiment)
    catalogue = load_catalogue(folder / "metrics.yml")
    return load_experiment(folder / "homepage.yml", catalogue), catalogue


def random_windows(n_households: int = 700, seed: int = 1) -> pd.DataFrame:
    """Households of 1 to 4 profiles in arms of their own; heavy tails, zeros, missing covariates, unmatured rows."""
    random = np.random.default_rng(seed)
    household = np.repeat(np.arange(n_households) + 10, random.integers(1, 5, n_households))
    n = len(household)
    habit = random.gamma(1, 1, n_households)[household - 10]
    tenure = np.where(random.random(n) < 0.05, np.nan, random.integers(0, 90, n))
    known, matured = tenure >= 14, random.random(n) < 0.85
    arm = random.choice(["control", "a", "b"], n, p=[0.5, 0.3, 0.2])
    sessions = random.poisson(6 * habit).astype(float)
    rows = {
        "profile_id": random.permutation(n),
        "household_id": household,
        "arm": arm,
        "tenure_band": np.where(np.isnan(tenure), "unknown", np.where(tenure < 30, "new", "established")),
        "device": random.choice(["tv", "web", "mobile"], n),
        "tenure_days": tenure,
        "plays_7d": np.where(matured, random.poisson(4 * habit + (arm == "a")), np.nan),
        "minutes_7d": np.where(matured, np.round(random.gamma(0.5, 150 * habit), 3), np.nan),
        "active_7d": np.where(matured, random.random(n) < 0.6, np.nan),
        "crash_rate_numerator": random.binomial(sessions.astype(int), 0.1).astype(float),
        "crash_rate_denominator": sessions,
        "pre_plays": np.where(known, random.poisson(8 * habit), np.nan),
        "pre_minutes": np.where(known, np.round(random.gamma(0.5, 300 * habit), 3), np.nan),
    }
    return pd.DataFrame({**rows, "stratum": rows["device"]})


def on_spark(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    """The rows with the types of SCHEMA; NaN becomes null."""

    def typed(column: str, value: Any) -> Any:
        if pd.isna(value):
            return None
        kind = TYPES[column]
        return str(value) if kind == "STRING" else float(value) if kind == "DOUBLE" else int(value)

    records = [[typed(c, v) for c, v in zip(TYPES, row, strict=True)] for row in rows[list(TYPES)].to_numpy()]
    return spark.createDataFrame(records, SCHEMA)


def by_key(analysis: Analysis) -> dict[tuple[str, str, str, str, str], Estimate]:
    return {(r.metric, r.estimator, r.segment, r.segment_value, r.arm): r for r in analysis.estimates}


class Expected:
    """The same estimates the long way: pandas rows, statsmodels regressions."""

    def __init__(self, rows: pd.DataFrame) -> None:
        dummies = pd.get_dummies(rows["device"], drop_first=True).astype(float)
        self.dummies = [str(name) for name in dummies]
        self.everybody = rows.fillna({name: rows[name].mean() for name in NUMERIC}).join(dummies)
        population = rows[rows["plays_7d"].notna()].copy()
        population["any_missing"] = population[NUMERIC].isna().any(axis=1).astype(float)
        for name in NUMERIC:
            population[name + "_raw"] = population[name]
            population[name] = population[name].fillna(population[name].mean())
        self.thresholds = {}
        for name in ("minutes_7d", "pre_minutes_raw"):
            known = population[name].dropna().to_numpy(dtype=float)
            self.thresholds[name] = type1_quantile(known, 0.9)
            population[name + "_cut"] = population[name].clip(upper=self.thresholds[name])
        cut = population["pre_minutes_raw_cut"]
        population["pre_minutes_cut"] = cut.fillna(cut.mean())
        self.population = population.join(dummies)

    def names(self, metric: str) -> tuple[str, list[str]]:
        if metric == "minutes_7d":
            return "minutes_7d_cut", ["pre_plays", "pre_minutes_cut", "tenure_days", *self.dummies]
        return metric, [*NUMERIC, *self.dummies]

    def of(self, row: Estimate) -> tuple[float, float]:
        """Estimate and standard error."""
        if row.estimator in ("ratio", "ratio_cuped"):
            return self.ratio(self.cell(self.everybody, row), row)
        cell = self.cell(self.population, row)
        outcome, covariates = self.names(row.metric)
        y = cell[outcome]
        if row.estimator == "cuped":
            y = adjusted(cell, y, covariates)
        pair = cell["arm"].isin(["control", row.arm])
        treated = (cell.loc[pair, "arm"] == row.arm).to_numpy(dtype=float)
        extra = np.zeros((pair.sum(), 0))
        if row.estimator in ("ols", "lin"):
            extra = cell.loc[pair, [*covariates, "any_missing"]].to_numpy(dtype=float)
        if row.estimator == "post_stratified":
            extra = pd.get_dummies(cell.loc[pair, "stratum"], drop_first=True).to_numpy(dtype=float)
        extra = extra - extra.mean(axis=0)
        if row.estimator in ("lin", "post_stratified"):
            extra = np.column_stack([extra, extra * treated[:, None]])
        groups = cell.loc[pair, "household_id"]
        fit = sm.OLS(y[pair].to_numpy(), np.column_stack([np.ones(pair.sum()), treated, extra])).fit(
            cov_type="cluster", cov_kwds={"groups": groups.to_numpy()}
        )
        return fit.params[1], fit.bse[1]

    @staticmethod
    def cell(rows: pd.DataFrame, row: Estimate) -> pd.DataFrame:
        return rows if row.segment == "all" else rows[rows[row.segment] == row.segment_value]

    def ratio(self, cell: pd.DataFrame, row: Estimate) -> tuple[float, float]:
        arm = row.arm
        parts = [cell[f"{row.metric}_{part}"] for part in ("numerator", "denominator")]
        if row.estimator == "ratio_cuped":
            parts = [adjusted(cell, part, [*NUMERIC, *self.dummies]) for part in parts]
        pair = cell[cell["arm"].isin(["control", arm])]
        top, bottom = (part[pair.index] for part in parts)
        ratios, score = {}, pd.Series(0.0, index=pair.index)
        for name, sign in (("control", -1), (arm, 1)):
            own = pair["arm"] == name
            ratios[name] = top[own].sum() / bottom[own].sum()
            score[own] = sign * (top[own] - ratios[name] * bottom[own]) / bottom[own].sum()
        totals = score.groupby(pair["household_id"]).sum()
        clusters = len(totals)
        return ratios[arm] - ratios["control"], np.sqrt((totals**2).sum() * clusters / (clusters - 1))


def adjusted(cell: pd.DataFrame, y: "pd.Series[float]", covariates: list[str]) -> "pd.Series[float]":
    """Y - theta'(X - mean X), theta over all rows of the cell."""
    usable = [name for name in covariates if cell[name].nunique() > 1]
    x = cell[usable].to_numpy(dtype=float)
    theta = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(), rcond=None)[0]
    return y - (x - x.mean(axis=0)) @ theta


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    return random_windows()


@pytest.fixture(scope="module")
def analysis(spark: SparkSession, windows: pd.DataFrame, plan: tuple[Experiment, Catalogue]) -> Analysis:
    return estimate(on_spark(spark, windows), *plan, DAY)


def test_every_estimate_agrees_with_statsmodels(analysis: Analysis, windows: pd.DataFrame) -> None:
    expected = Expected(windows)
    compared = [row for row in analysis.estimates if row.vcov in ("cr1s", "cr1")]
    assert len(compared) == len(analysis.estimates)
    found = np.array([(row.effect, row.std_error) for row in compared], dtype=float)
    np.testing.assert_allclose(found, [expected.of(row) for row in compared], rtol=1e-9, atol=1e-12)


def test_every_metric_segment_and_arm_has_its_rows(analysis: Analysis) -> None:
    """3 means in 7 cells: difference and cuped in each, 3 more in `all`; 1 ratio, 2 ways in 7 cells; 2 arms."""
    assert len(by_key(analysis)) == len(analysis.estimates) == 2 * (3 * (7 * 2 + 3) + 7 * 2)
    segments = {(row.segment, row.segment_value) for row in analysis.estimates}
    assert segments == {
        ("all", "all"),
        *(("device", value) for value in ("mobile", "tv", "web")),
        *(("tenure_band", value) for value in ("established", "new", "unknown")),
    }
    assert {row.status for row in analysis.estimates} == {"ok"}


def test_thresholds_roles_levels_and_detectable_effects(analysis: Analysis, windows: pd.DataFrame) -> None:
    rows = by_key(analysis)
    cut = rows["minutes_7d", "cuped", "all", "all", "a"]
    primary = rows["plays_7d", "ols", "all", "all", "b"]
    assert cut.winsor_threshold == Expected(windows).thresholds["minutes_7d"]
    assert (cut.winsor_lower_threshold, primary.winsor_threshold) == (None, None)
    assert (primary.role, primary.alpha, cut.role, cut.alpha) == ("primary", 0.025, "secondary", 0.05)
    assert cut.mde == pytest.approx(
        (1.959963984540054 + 0.8416212335729143) * (cut.std_error or 0), rel=1e-12
    )
    assert primary.mde == pytest.approx((2.241402727604945 + 0.8416212335729143) * (primary.std_error or 0))
    assert cut.variance_reduction == pytest.approx(1 - variance_ratio(Expected(windows)), rel=1e-9)


def variance_ratio(expected: Expected) -> float:
    y, names = expected.names("minutes_7d")
    fit = sm.OLS(expected.population[y], sm.add_constant(expected.population[names])).fit()
    return float(1 - fit.rsquared)


def test_families_of_adjusted_p_values(analysis: Analysis) -> None:
    rows = by_key(analysis)
    secondary = [rows[m, "cuped", "all", "all", a] for m in ("minutes_7d", "active_7d") for a in ("a", "b")]
    assert [row.adjusted_p_value for row in secondary] == pytest.approx(holm(secondary))
    devices = [
        rows["crash_rate", "ratio", "device", d, a] for d in ("mobile", "tv", "web") for a in ("a", "b")
    ]
    assert [row.adjusted_p_value for row in devices] == pytest.approx(holm(devices))
    outside = [r for r in analysis.estimates if r.estimator not in ("cuped", "ratio")]
    outside += [r for r in analysis.estimates if r.segment == "all" and r.role != "secondary"]
    assert {row.adjusted_p_value for row in outside} == {None}


def holm(rows: list[Estimate]) -> list[float]:
    return adjust("holm", [row.p_value or 0.0 for row in rows])


def test_estimates_follow_from_the_stored_moments(analysis: Analysis) -> None:
    stored = {(m.maturity_group, m.segment, m.segment_value): m for m in analysis.moments}
    assert {group for group, _, _ in stored} == {"exposed", "7d", "to_date"}
    cell = Moments.from_bytes(stored["7d", "device", "tv"].payload)
    covariates = ["pre_plays", "pre_minutes", "tenure_days", "device=tv", "device=web"]
    again = cuped(cell, "plays_7d", covariates, Comparison(2))
    row = by_key(analysis)["plays_7d", "cuped", "device", "tv", "b"]
    assert (again.effect, again.std_error, again.p_value) == (row.effect, row.std_error, row.p_value)
    assert row.dropped_covariates == ("device=tv", "device=web")


def test_rows_in_any_order_give_the_same_digits(
    spark: SparkSession, windows: pd.DataFrame, plan: tuple[Experiment, Catalogue], analysis: Analysis
) -> None:
    shuffled = on_spark(spark, windows.sample(frac=1, random_state=5)).repartition(5)
    assert estimate(shuffled, *plan, DAY) == analysis


def test_many_partitions_give_the_same_numbers(
    spark: SparkSession,
    windows: pd.DataFrame,
    plan: tuple[Experiment, Catalogue],
    analysis: Analysis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_module, "ROWS_PER_PARTITION", 300)
    parts = by_key(estimate(on_spark(spark, windows), *plan, DAY))
    for key, row in by_key(analysis).items():
        for name, value in asdict(row).items():
            if isinstance(value, float):
                assert getattr(parts[key], name) == pytest.approx(value, rel=1e-9), (key, name)


def test_few_households_get_cr2_in_every_estimator(
    spark: SparkSession, plan: tuple[Experiment, Catalogue]
) -> None:
    rows = random_windows(45, seed=3)
    analysis = estimate(on_spark(spark, rows), *plan, DAY)
    row = by_key(analysis)["plays_7d", "ols", "all", "all", "a"]
    assert {r.vcov for r in analysis.estimates if r.status == "ok"} == {"cr2", "cr1"}
    assert 1 < (row.df or 0) < (row.n_households or 0)
    matured = rows[rows["plays_7d"].notna()]
    alone = moments(matured, ["active_7d"], ("control", "a", "b"))
    means = alone.row_products[:, 0, 1] / alone.row_products[:, 0, 0] + alone.shift[0]
    plain = by_key(analysis)["active_7d", "difference_in_means", "all", "all", "b"]
    assert (plain.control_mean, plain.arm_mean) == pytest.approx((means[0], means[2]))


def test_a_metric_unknown_on_some_rows_keeps_the_others_whole(
    spark: SparkSession, windows: pd.DataFrame, plan: tuple[Experiment, Catalogue], analysis: Analysis
) -> None:
    rows = windows.copy()
    rows.loc[rows.index % 3 == 0, "active_7d"] = np.nan
    found = estimate(on_spark(spark, rows), *plan, DAY)
    key = ("plays_7d", "cuped", "all", "all", "a")
    assert by_key(found)[key].effect == by_key(analysis)[key].effect
    lone = by_key(found)["active_7d", "difference_in_means", "all", "all", "a"]
    assert lone.n_profiles_arm == (rows["active_7d"].notna() & (rows["arm"] == "a")).sum()
    assert {m.maturity_group for m in found.moments} == {"exposed", "7d", "7d:active_7d", "to_date"}


def base(n: int = 120, **overrides: Any) -> pd.DataFrame:
    """n ordinary profiles, each its own household, arms in turn."""
    rows = random_windows(300, seed=4).head(n).reset_index(drop=True)
    rows["household_id"] = np.arange(n)
    rows["arm"] = np.array(["control", "a", "b"])[np.arange(n) % 3]
    rows["plays_7d"], rows["minutes_7d"], rows["active_7d"] = (
        np.arange(n) % 7,
        np.arange(n) % 11,
        np.arange(n) % 2,
    )
    return rows.assign(**overrides)


def statuses(
    analysis: Analysis, estimator: str = "cuped", segment: str = "all"
) -> dict[tuple[str, str], str]:
    ratios = [] if estimator == "ratio_cuped" else ["ratio"]
    rows = [r for r in analysis.estimates if r.estimator in (estimator, *ratios) and r.segment == segment]
    numbers = [row.effect is None and row.p_value is None for row in rows if row.status != "ok"]
    assert all(numbers)
    return {(row.metric, row.arm): row.status for row in rows}


@pytest.mark.parametrize("estimator", ["difference_in_means", "cuped", "ols", "lin", "post_stratified"])
def test_every_degenerate_case_is_a_row_with_a_status(
    spark: SparkSession, plan: tuple[Experiment, Catalogue], estimator: str
) -> None:
    """Arm a has matured in nobody, b is one household; nobody crashed and everybody was active."""
    logging.getLogger("py4j").setLevel(logging.ERROR)
    rows = base(active_7d=1.0, crash_rate_numerator=0.0, crash_rate_denominator=5.0)
    rows.loc[rows["arm"] == "a", ["plays_7d", "minutes_7d", "active_7d"]] = np.nan
    rows.loc[rows["arm"] == "b", "household_id"] = 999
    found = statuses(estimate(on_spark(spark, rows), *plan, DAY), estimator)
    assert found["plays_7d", "a"] == "not_matured"
    assert found["plays_7d", "b"] == "leverage_one"
    assert found["crash_rate", "a"] == "no_variance"
    assert found["crash_rate", "b"] == "leverage_one"


def test_empty_and_constant_cells(spark: SparkSession, plan: tuple[Experiment, Catalogue]) -> None:
    rows = base(active_7d=1.0)
    rows = rows[(rows["arm"] != "b") & ((rows["device"] != "tv") | (rows["arm"] == "control"))]
    analysis = estimate(on_spark(spark, rows), *plan, DAY)
    found = statuses(analysis)
    assert (found["plays_7d", "b"], found["active_7d", "a"]) == ("empty_arm", "no_variance")
    tv = by_key(analysis)["plays_7d", "cuped", "device", "tv", "a"]
    assert (tv.status, tv.n_profiles_arm, tv.effect) == ("empty_arm", 0, None)


def test_one_household_and_a_covariate_that_is_the_arm(
    spark: SparkSession, plan: tuple[Experiment, Catalogue]
) -> None:
    one = estimate(on_spark(spark, base(household_id=1)), *plan, DAY)
    assert set(statuses(one).values()) == {"one_cluster"}
    rows = base()
    rows["pre_plays"] = (rows["arm"] == "a").astype(float)
    aliased = estimate(on_spark(spark, rows), *plan, DAY)
    for estimator in ("cuped", "ols", "lin"):
        assert statuses(aliased, estimator)["plays_7d", "a"] == "collinear"
        assert statuses(aliased, estimator)["plays_7d", "b"] == "ok"
    assert statuses(aliased, "ratio_cuped") == {("crash_rate", "a"): "collinear", ("crash_rate", "b"): "ok"}


def test_no_rows_and_no_matured_rows(spark: SparkSession, plan: tuple[Experiment, Catalogue]) -> None:
    nothing = estimate(on_spark(spark, base().head(0)), *plan, DAY)
    assert set(statuses(nothing).values()) == {"no_data"}
    assert nothing.input_version == "0-0"
    early = base(plays_7d=np.nan, minutes_7d=np.nan, active_7d=np.nan)
    found = statuses(estimate(on_spark(spark, early), *plan, DAY))
    assert (found["plays_7d", "a"], found["crash_rate", "a"]) == ("not_matured", "ok")


def test_without_covariates_there_is_only_the_difference_in_means(
    spark: SparkSession, tmp_path: Path
) -> None:
    plain = "\n".join(line for line in EXPERIMENT.splitlines() if not line.startswith("covariates"))
    analysis = estimate(on_spark(spark, base()), *configuration(tmp_path, plain), DAY)
    found = {row.estimator for row in analysis.estimates}
    assert found == {"difference_in_means", "post_stratified", "ratio"}


def test_the_input_version_follows_the_rows_not_their_order(
    spark: SparkSession, plan: tuple[Experiment, Catalogue], windows: pd.DataFrame, analysis: Analysis
) -> None:
    assert analysis.input_version.startswith(f"{len(windows)}-")
    more = windows["crash_rate_numerator"] + (windows.index == 0)
    changed = windows.assign(crash_rate_numerator=more)
    assert estimate(on_spark(spark, changed), *plan, DAY).input_version != analysis.input_version


def test_a_text_column_of_many_values_is_refused(
    spark: SparkSession, plan: tuple[Experiment, Catalogue]
) -> None:
    rows = base(300 - 60, device=[f"model {i}" for i in range(240)])
    with pytest.raises(ValueError, match="column device has 240 values"):
        estimate(on_spark(spark, rows), *plan, DAY)


def test_interactions_of_every_metric_and_segmentation(analysis: Analysis, windows: pd.DataFrame) -> None:
    rows = {(r.metric, r.segment, r.arm): r for r in analysis.interactions}
    assert len(rows) == len(analysis.interactions) == 4 * 2 * 2
    assert {row.status for row in analysis.interactions} == {"ok"}
    population = windows[windows["active_7d"].notna() & windows["arm"].isin(["control", "b"])]
    levels = pd.get_dummies(population["device"]).to_numpy(dtype=float)
    treated = (population["arm"] == "b").to_numpy(dtype=float)
    groups = population["household_id"].to_numpy()
    fit = sm.OLS(
        population["active_7d"].to_numpy(), np.column_stack([levels, levels * treated[:, None]])
    ).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    test = fit.f_test(np.array([[0, 0, 0, -1, 1, 0], [0, 0, 0, -1, 0, 1]]))
    row = rows["active_7d", "device", "b"]
    expected = (float(np.squeeze(test.fvalue)), 2, len(np.unique(groups)) - 1, float(test.pvalue))
    assert (row.statistic, row.df1, row.df2, row.p_value) == pytest.approx(expected, rel=1e-8)
