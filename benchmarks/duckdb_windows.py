"""One row per exposed profile by DuckDB: outcomes and covariates; and how many profiles each arm got."""

from collections.abc import Iterator, Sequence

import pandas as pd
from scipy.stats import chisquare

from benchmarks.duckdb_script import Script
from metrics.configuration.catalogue import Metric
from metrics.configuration.experiment import NEW_PROFILE_DAYS, Covariates

_TEXTS = ("arm", "stratum", "tenure_band", "device", "region")
# A p-value that no sample ratio as planned has.
_BROKEN = 1e-6


def build_windows(script: Script) -> None:
    """windows.parquet: outcomes where they are mature, sums of the days before where the profile was there by then."""
    covariates = script.experiment.covariates
    assert covariates is not None  # the project's own experiment has some
    measures = sorted(
        {name for metric in script.metrics for name in metric.measures} | {*covariates.measures}
    )
    sums, known = _sums(script.metrics, covariates), _known(script, covariates)
    script.run(f"CREATE OR REPLACE TEMP TABLE exposed AS {_first_exposures(script)}")
    script.write(
        "windows",
        f"""
        SELECT profile_id, household_id, arm, concat_ws('|', {", ".join(script.experiment.strata)}) AS stratum,
            CASE WHEN tenure_days IS NULL THEN 'unknown' WHEN tenure_days < {NEW_PROFILE_DAYS} THEN 'new'
                ELSE 'established' END AS tenure_band, device, region, exposed_at, tenure_days, {", ".join(known)}
        FROM exposed LEFT JOIN (
            SELECT profile_id, {", ".join(sums)} FROM ({_measured(script, measures)}) GROUP BY profile_id
        ) USING (profile_id)""",
    )


def _first_exposures(script: Script) -> str:
    """As of the first exposure in the enrolment, of profiles that were seen in one arm only."""
    experiment = script.experiment
    names = ("arm", "household_id", "device", "region", "tenure_days")
    as_of = ", ".join(f"arg_min({name}, exposed_at) AS {name}" for name in names)
    return f"""
        SELECT profile_id, min(exposed_at) AS exposed_at, min(exposed_at)::DATE AS exposure_day, {as_of}
        FROM exposures WHERE experiment_id = '{experiment.id}' AND exposed_at >= DATE '{experiment.start}'
            AND exposed_at < DATE '{script.day}' + 1
        GROUP BY profile_id HAVING count(DISTINCT arm) = 1
            AND min(exposed_at)::DATE <= DATE '{experiment.last_enrollment_day}'"""


def _measured(script: Script, measures: Sequence[str]) -> str:
    """Measures by day from the exposure day, `since`; of that day itself only what came after the exposure."""
    columns = ", ".join(measures)

    def both(name: str) -> str:
        before = f"SELECT day, profile_id, {columns} FROM {script.history(name)}"
        return f"({before} UNION ALL SELECT day, profile_id, {columns} FROM {script.made(name)})"

    at = f"SELECT profile_id, day - exposure_day AS since, {columns} FROM"
    return (
        f"{at} {both('profile_days')} JOIN exposed USING (profile_id) WHERE day <> exposure_day UNION ALL "
        f"{at} {both('exposure_day_measures')} JOIN exposed USING (profile_id) WHERE day = exposure_day"
    )


def _sums(metrics: Sequence[Metric], covariates: Covariates) -> Iterator[str]:
    for metric in metrics:
        inside = f"since BETWEEN 0 AND {metric.window - 1}" if metric.window else "since >= 0"
        for name, measure in zip(metric.outcome_columns, metric.measures, strict=True):
            yield f"sum({measure}) FILTER ({inside}) AS {name}"
    for measure in covariates.measures:
        yield f"sum({measure}) FILTER (since BETWEEN {-covariates.days} AND -1) AS pre_{measure}"


def _known(script: Script, covariates: Covariates) -> Iterator[str]:
    """Null until mature, or where the profile was not there; of those who did nothing, 0."""
    for metric in script.metrics:
        mature = f"exposure_day + {(metric.window or 1) - 1} <= DATE '{script.day}'"
        for name in metric.outcome_columns:
            yield f"CASE WHEN {mature} THEN coalesce({name}, 0) END AS {name}"
    for measure in covariates.measures:
        was_there = f"tenure_days >= {covariates.days}"
        yield f"CASE WHEN {was_there} THEN coalesce(pre_{measure}, 0) END AS pre_{measure}"


def as_frame(script: Script) -> pd.DataFrame:
    """The rows of windows by household, texts as categories."""
    for name in _TEXTS:
        levels = f"SELECT DISTINCT {name} FROM {script.made('windows')} ORDER BY {name}"
        script.run(f"DROP TYPE IF EXISTS {name}_levels; CREATE TYPE {name}_levels AS ENUM ({levels})")
    texts = ", ".join(f"{name}::{name}_levels AS {name}" for name in _TEXTS)
    sql = f"SELECT * REPLACE ({texts}) FROM {script.made('windows')} ORDER BY household_id"
    return script.database.execute(sql).df()


def check_sample_ratios(script: Script) -> None:
    """Profiles by arm, over all and in each stratum's column; and households, each in the arm of its first profile."""
    arms = script.experiment.arms
    household = "SELECT arg_min(arm, (exposed_at, profile_id)) AS arm FROM exposed GROUP BY household_id"
    counted = ["SELECT 'profiles' AS slice, arm FROM exposed", f"SELECT 'households', arm FROM ({household})"]
    counted += [f"SELECT {name}, arm FROM exposed" for name in script.experiment.strata]
    sql = f"SELECT slice, arm, count(*) AS n FROM ({' UNION ALL '.join(counted)}) GROUP BY ALL"
    by_slice = script.database.execute(sql).df().pivot(index="slice", columns="arm", values="n").fillna(0)
    for name, observed in by_slice[list(arms)].iterrows():
        p_value = chisquare(observed, [share * observed.sum() for share in arms.values()]).pvalue
        if p_value < _BROKEN:
            raise AssertionError(f"{name}: {dict(observed)} profiles, planned {dict(arms)}")
