"""Files of units to estimates: the reference cases, through the whole of `watchlift analyze` but its own Spark."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.unit_analysis import UnitAnalysis, analyze_units, as_document
from metrics.configuration.units import load_unit_experiment
from metrics.errors import InputError
from metrics.rows import Estimate
from metrics.schemas import declared_tables
from tests.metrics.statistics.support import reference

SPEC = """
id: reference
source:
  path: profiles.csv
  unit: profile_id
  cluster: household_id
  arm: arm
  columns:
    y_plays: {kind: mean, covariates: [pre_plays, pre_watch, tenure_days, pre_active_days]}
    y_watch: {kind: mean, covariates: [pre_plays, pre_watch, tenure_days, pre_active_days]}
    capped: {kind: mean, column: y_watch, winsorize: 0.995}
    trimmed: {kind: mean, column: y_watch, winsorize: [0.4, 0.9]}
    converted: {kind: proportion}
    rebuffer: {kind: ratio, numerator: rebuffer_seconds, denominator: watch_seconds}
    watch_p75: {kind: quantile, column: y_watch, quantile: 0.75}
arms: {control: 0.5, treatment: 0.5}
strata: [region, device]
segments: [segment]
metrics: {primary: [y_plays], secondary: [y_watch, capped, converted], guardrails: {rebuffer: {margin: 0.01}}}
"""
UNITS = """
id: small
source:
  path: units.csv
  unit: user
  arm: variant
  columns: {spend: {kind: mean, covariates: [before, plan]}, kept: {kind: proportion}}
arms: {a: 0.5, b: 0.5}
"""
BASE = {"user": "u", "variant": "a", "spend": "1.5", "kept": "true", "before": "2", "plan": "basic"}


@pytest.fixture(scope="module")
def analysis(spark: SparkSession, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> UnitAnalysis:
    folder = tmp_path_factory.mktemp("units")
    (folder / "spec.yml").write_text(SPEC.replace("profiles.csv", str(shared / "reference" / "profiles.csv")))
    return analyze_units(spark, load_unit_experiment(folder / "spec.yml"), replicates=200)


def row(analysis: UnitAnalysis, metric: str, estimator: str, value: str = "all") -> Estimate:
    (found,) = [
        r
        for r in analysis.estimates
        if (r.metric, r.estimator, r.segment_value) == (metric, estimator, value)
    ]
    return found


def numbers(found: Estimate) -> list[float | None]:
    return [found.effect, found.std_error, found.df, found.p_value, found.ci_low, found.ci_high]


def expected(shared: Path, case: str, vcov: str = "cr1s") -> list[float]:
    block = reference(shared, case)
    return [block["estimate"], *(block[vcov][name] for name in ("se", "df", "p", "ci_low", "ci_high"))]


@pytest.mark.parametrize(
    ("metric", "estimator", "case"),
    [
        ("y_plays", "difference_in_means", "dm_y_plays"),
        ("y_watch", "difference_in_means", "dm_y_watch"),
        ("converted", "difference_in_means", "dm_converted"),
        ("y_plays", "cuped", "cuped4_y_plays"),
        ("y_watch", "cuped", "cuped4_y_watch"),
        ("y_plays", "lin", "lin_y_plays"),
        ("y_watch", "lin", "lin_y_watch"),
    ],
)
def test_estimates_are_those_of_r(
    analysis: UnitAnalysis, shared: Path, metric: str, estimator: str, case: str
) -> None:
    assert numbers(row(analysis, metric, estimator)) == pytest.approx(expected(shared, case), rel=1e-9)


def test_capped_stratified_segments_and_ratios_are_those_of_r(analysis: UnitAnalysis, shared: Path) -> None:
    capped = row(analysis, "capped", "difference_in_means")
    winsor = reference(shared, "winsor_y_watch")["type1"]
    assert (capped.effect, capped.std_error, capped.winsor_threshold) == pytest.approx(
        (winsor["estimate"], winsor["cr1s"]["se"], winsor["threshold"]), rel=1e-9
    )
    strata = reference(shared, "poststrat_y_plays")
    found = row(analysis, "y_plays", "post_stratified")
    assert (found.effect, found.std_error) == pytest.approx((strata["estimate"], strata["se_cr1s"]), rel=1e-9)
    levels = reference(shared, "hte_segment_y_watch")["by_segment"]
    for level in ("low", "mid", "high"):
        found = row(analysis, "y_watch", "difference_in_means", level)
        block = levels[level]
        assert (found.effect, found.std_error) == pytest.approx(
            (block["estimate"], block["cr1s"]["se"]), rel=1e-9
        )
    ratio = reference(shared, "ratio_rebuffer")
    found = row(analysis, "rebuffer", "ratio")
    assert (found.effect, found.std_error, found.relative_effect, found.relative_std_error) == pytest.approx(
        (ratio["diff"], ratio["cr1"]["se_diff"], ratio["lift"], ratio["cr1"]["se_lift"]), rel=1e-9
    )


def test_both_tails_are_cut_at_pooled_quantiles(analysis: UnitAnalysis, shared: Path) -> None:
    rows = pd.read_csv(shared / "reference" / "profiles.csv")
    low, high = (np.quantile(rows["y_watch"], q, method="inverted_cdf") for q in (0.4, 0.9))
    means = rows["y_watch"].clip(low, high).groupby(rows["arm"]).mean()
    found = row(analysis, "trimmed", "difference_in_means")
    assert low > rows["y_watch"].min()
    assert found.effect == pytest.approx(means["treatment"] - means["control"], rel=1e-9)
    assert found.control_mean == pytest.approx(means["control"], rel=1e-12)
    assert (found.winsor_lower_threshold, found.winsor_threshold) == pytest.approx((low, high), rel=1e-12)


def test_interactions_and_sample_ratios_are_those_of_r(analysis: UnitAnalysis, shared: Path) -> None:
    test = reference(shared, "hte_segment_y_plays")["interaction"]
    (found,) = [r for r in analysis.interactions if r.metric == "y_plays"]
    assert (found.statistic, found.df1, found.df2, found.p_value) == pytest.approx(
        (test["F_cr1s"], test["df1"], test["df2"], test["p_F_cr1s"]), rel=1e-9
    )
    strata = reference(shared, "srm_strata")
    checks = {(c.unit, c.slice, c.slice_value): c for c in analysis.srm_checks}
    assert checks["profile", "all", "all"].chi_square == pytest.approx(strata["overall_chi2"], rel=1e-9)
    assert len(checks) == 2 * (1 + 20)


def test_bootstrap_rows_stand_beside_the_closed_form(analysis: UnitAnalysis) -> None:
    for metric, closed in (("y_plays", "difference_in_means"), ("rebuffer", "ratio")):
        for value in ("all", "low"):
            found, plain = row(analysis, metric, "bootstrap", value), row(analysis, metric, closed, value)
            assert (found.effect, found.control_mean) == (plain.effect, plain.control_mean)
            assert found.std_error == pytest.approx(plain.std_error, rel=0.2)
            assert (found.ci_low or 0) < (found.effect or 0) < (found.ci_high or 0)
            assert (found.df, found.statistic, found.vcov) == (None, None, "bootstrap")


def test_quantiles_are_exact_and_their_spread_is_that_of_resampled_households(
    analysis: UnitAnalysis, shared: Path
) -> None:
    rows = pd.read_csv(shared / "reference" / "profiles.csv")
    for value in ("all", "mid"):
        cell = rows if value == "all" else rows[rows["segment"] == value]
        arms = {arm: own["y_watch"].to_numpy() for arm, own in cell.groupby("arm")}
        quantiles = {arm: np.quantile(own, 0.75, method="inverted_cdf") for arm, own in arms.items()}
        found = row(analysis, "watch_p75", "quantile", value)
        assert (found.control_mean, found.arm_mean) == (quantiles["control"], quantiles["treatment"])
        assert found.effect == quantiles["treatment"] - quantiles["control"]
        assert found.std_error == pytest.approx(resampled_quantile_error(cell), rel=0.25)
    assert {r.estimator for r in analysis.estimates if r.metric == "watch_p75"} == {"quantile"}


def resampled_quantile_error(cell: pd.DataFrame, replicates: int = 200) -> float:
    """The ordinary bootstrap over households, the long way."""
    random = np.random.default_rng(1)
    codes, households = pd.factorize(cell["household_id"])
    values, treated = cell["y_watch"].to_numpy(), (cell["arm"] == "treatment").to_numpy()
    effects = []
    for _ in range(replicates):
        weights = np.bincount(random.integers(0, len(households), len(households)), minlength=len(households))
        copies = np.repeat(np.arange(len(cell)), weights[codes])
        upper, lower = copies[treated[copies]], copies[~treated[copies]]
        quantiles = [np.quantile(values[own], 0.75, method="inverted_cdf") for own in (upper, lower)]
        effects.append(quantiles[0] - quantiles[1])
    return float(np.std(effects, ddof=1))


def test_the_document_has_the_columns_of_the_tables_and_no_nan(analysis: UnitAnalysis) -> None:
    document = json.loads(json.dumps(as_document(analysis), allow_nan=False))
    tables = declared_tables(load_unit_experiment_catalogue())
    assert set(document["estimates"][0]) == set(tables["estimates"].columns)
    assert set(document["interactions"][0]) == set(tables["interactions"].columns)
    assert {c["window_end"] for c in document["srm_checks"]} == {None}
    assert {r["status"] for r in document["estimates"]} == {"ok"}


def load_unit_experiment_catalogue() -> Any:
    from metrics.configuration.catalogue import Catalogue

    return Catalogue({}, {})


@pytest.mark.parametrize("case", ["few_clusters_arm_by_household", "few_clusters_arm_by_profile"])
def test_few_clusters_get_cr2(spark: SparkSession, shared: Path, tmp_path: Path, case: str) -> None:
    text = UNITS.replace("units.csv", str(shared / "reference" / "fewclusters.csv"))
    text = text.replace("unit: user", "unit: profile_id\n  cluster: household_id")
    text = text.replace("arm: variant", f"arm: {case.removeprefix('few_clusters_')}")
    text = text.replace(
        "{spend: {kind: mean, covariates: [before, plan]}, kept: {kind: proportion}}",
        "{y: {kind: mean, covariates: [x]}}",
    )
    (tmp_path / "spec.yml").write_text(text.replace("{a: 0.5, b: 0.5}", "{control: 0.5, treatment: 0.5}"))
    found = analyze_units(spark, load_unit_experiment(tmp_path / "spec.yml"))
    for estimator, block in (("difference_in_means", "unadjusted"), ("ols", "with_x")):
        want = reference(shared, case)[block]
        names = ("se", "df", "p", "ci_low", "ci_high")
        assert numbers(row(found, "y", estimator)) == pytest.approx(
            [want["estimate"], *(want["cr2"][name] for name in names)], rel=1e-9
        )


def analyzed(spark: SparkSession, folder: Path, rows: list[dict[str, str]]) -> UnitAnalysis:
    pd.DataFrame([{**BASE, **changes} for changes in rows]).to_csv(folder / "units.csv", index=False)
    (folder / "spec.yml").write_text(UNITS)
    return analyze_units(spark, load_unit_experiment(folder / "spec.yml"))


def people(n: int = 60) -> list[dict[str, str]]:
    return [
        {
            "user": f"00{i}",
            "variant": "ab"[i % 2],
            "spend": f"{(i * 7) % 13}",
            "kept": ("true", "FALSE", "1", "0")[i % 4] if i else "0",
            "before": f"{(i * 5) % 11}" if i % 9 else "NA",
            "plan": ("basic", "family", "")[i % 3],
        }
        for i in range(n)
    ]


def test_texts_truths_and_gaps_are_read_as_what_they_are(spark: SparkSession, tmp_path: Path) -> None:
    """Ids keep their zeros, plans become dummies, NA and empty are missing; a null outcome drops one metric only."""
    rows = people()
    rows[3]["spend"] = ""
    found = analyzed(spark, tmp_path, rows)
    spend, kept = row(found, "spend", "ols"), row(found, "kept", "difference_in_means")
    assert (spend.vcov, spend.n_profiles_control, spend.n_profiles_arm) == ("hc2", 30, 29)
    assert (kept.n_profiles_control, kept.n_profiles_arm, kept.n_households) == (30, 30, 60)
    assert kept.df == 58
    assert {r.unit for r in found.srm_checks} == {"profile"}
    frame = pd.DataFrame([{**BASE, **changes} for changes in rows])
    truth = frame["kept"].str.lower().map({"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0})
    means = truth.groupby(frame["variant"]).mean()
    assert kept.effect == pytest.approx(means["b"] - means["a"], rel=1e-12)
    # Intercept, before, two of three plans (basic, family, unknown), the indicator of what is missing, arm.
    assert spend.df == 59 - (1 + 1 + 2 + 1 + 1)


def family(spark: SparkSession, folder: Path, rows: list[dict[str, str]], **names: str) -> UnitAnalysis:
    """The same with clusters in column `family`, and columns renamed."""
    frame = pd.DataFrame([{**BASE, "family": "", **changes} for changes in rows]).rename(columns=names)
    frame.to_csv(folder / "units.csv", index=False)
    text = UNITS.replace("unit: user", "unit: user\n  cluster: family")
    for old, new in names.items():
        text = text.replace(old, new)
    (folder / "spec.yml").write_text(text)
    return analyze_units(spark, load_unit_experiment(folder / "spec.yml"))


def test_a_missing_cluster_is_no_cluster_and_households_count_by_their_smallest_id(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [
        {**person, "user": str(i + 1), "family": ("NA", "", "nan")[i % 3]}
        for i, person in enumerate(people())
    ]
    # Users 9 (arm a) and 10 (arm b) are one family, that of the smaller number.
    rows[8]["family"] = rows[9]["family"] = "f"
    found = family(spark, tmp_path, rows)
    assert row(found, "kept", "difference_in_means").n_households == 59
    (households,) = [c for c in found.srm_checks if (c.unit, c.slice) == ("household", "all")]
    assert households.observed == {"a": 30, "b": 29}


def test_names_may_hold_dots(spark: SparkSession, tmp_path: Path) -> None:
    plain = family(spark, tmp_path, people())
    dotted = family(spark, tmp_path, people(), before="before.week", plan="plan.name")
    assert numbers(row(dotted, "spend", "ols")) == numbers(row(plain, "spend", "ols"))


def test_a_broken_sample_ratio_marks_every_row(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{**person, "variant": "a" if i % 10 else "b"} for i, person in enumerate(people(300))]
    found = analyzed(spark, tmp_path, rows)
    assert any(check.triggered for check in found.srm_checks)
    assert {r.status for r in found.estimates} == {"srm_blocked"}
    assert row(found, "kept", "difference_in_means").effect is not None


def test_an_outcome_that_nobody_has_is_no_data(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{**person, "spend": ""} for person in people()]
    assert row(analyzed(spark, tmp_path, rows), "spend", "cuped").status == "no_data"
    rows = [{**person, "spend": "1" if person["variant"] == "a" else ""} for person in people()]
    assert row(analyzed(spark, tmp_path, rows), "spend", "cuped").status == "empty_arm"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "c"}, "1 rows have variant 'c', which arms does not declare"),
        ({"variant": ""}, "1 rows have variant 'null', which arms does not declare"),
        ({"user": ""}, "1 rows have no user"),
        ({"user": "001"}, "user '001' has 2 rows; give one row per unit"),
        ({"spend": "1,5"}, "1 rows of spend are no number, such as '1,5'"),
        ({"spend": "1e101"}, "1 rows of spend are no number, such as '1e101'"),
        ({"spend": "inf"}, "1 rows of spend are no number, such as 'inf'"),
        ({"before": "n.a."}, "1 rows of before are no number, such as 'n.a.'"),
        ({"kept": "2"}, "kept is 2; a proportion is 0 or 1"),
    ],
)
def test_bad_rows_are_one_line(
    spark: SparkSession, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        analyzed(spark, tmp_path, [*people(30), {"user": "099", **change}])
    assert message in str(error.value)


def test_a_missing_column_or_file_is_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "spec.yml").write_text(UNITS)
    experiment = load_unit_experiment(tmp_path / "spec.yml")
    with pytest.raises(InputError, match=r"no such file .*units\.csv"):
        analyze_units(spark, experiment)
    (tmp_path / "units.csv").write_text("user,variant\n1,a\n")
    with pytest.raises(
        InputError, match="has no column 'spend'; correct the specification: it has user, variant"
    ):
        analyze_units(spark, experiment)


def test_files_that_are_not_what_they_say_are_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "spec.yml").write_text(UNITS)
    experiment = load_unit_experiment(tmp_path / "spec.yml")
    (tmp_path / "units.csv").write_text("user,variant,spend,Spend\n1,a,1,2\n")
    with pytest.raises(InputError, match="has 2 columns 'spend'; name each differently"):
        analyze_units(spark, experiment)
    analyzed(spark, tmp_path, people(30))
    whole = (tmp_path / "units.csv").read_text()
    for row in ("too,few", "too,many" + "," * 20, '"a line\nbreak",a'):
        (tmp_path / "units.csv").write_text(f"{whole}{row}\n")
        with pytest.raises(InputError, match="a row has more or fewer fields than the header"):
            analyze_units(spark, experiment)
    (tmp_path / "units.parquet").write_bytes(b"PAR1garbagePAR1")
    (tmp_path / "parquet.yml").write_text(UNITS.replace("units.csv", "units.parquet"))
    with pytest.raises(
        InputError, match=r"units\.parquet cannot be read as parquet: .*; correct source\.path"
    ):
        analyze_units(spark, load_unit_experiment(tmp_path / "parquet.yml"))


def test_parquet_and_delta_give_the_same(spark: SparkSession, tmp_path: Path) -> None:
    found = analyzed(spark, tmp_path, people())
    frame = spark.read.csv(str(tmp_path / "units.csv"), header=True)
    for kind in ("parquet", "delta"):
        frame.write.format(kind).save(str(tmp_path / kind))
        (tmp_path / f"{kind}.yml").write_text(UNITS.replace("units.csv", kind))
        again = analyze_units(spark, load_unit_experiment(tmp_path / f"{kind}.yml"))
        assert numbers(row(again, "spend", "cuped")) == numbers(row(found, "spend", "cuped"))
    dated = frame.withColumn("spend", F.lit("2026-01-01").cast("date"))
    dated.write.parquet(str(tmp_path / "dated"))
    (tmp_path / "dated.yml").write_text(UNITS.replace("units.csv", "dated"))
    with pytest.raises(InputError, match="rows of spend are no number, such as '2026-01-01'"):
        analyze_units(spark, load_unit_experiment(tmp_path / "dated.yml"))
