"""The whole day as a DuckDB and numpy script would do it, from the same landing files to the same numbers.

It leaves out what takes no time beside the rest (looks, decision), what the product does for safety (commits that
others can read meanwhile, the raw text of broken rows), interaction tests and spillover.
"""

import math

import pandas as pd

from benchmarks.duckdb_roll_up import roll_up_rows
from benchmarks.duckdb_script import Script, null
from benchmarks.duckdb_windows import as_frame, build_windows, check_sample_ratios
from benchmarks.numpy_estimates import Estimates, estimates
from metrics.configuration.sources import Source
from metrics.schemas import EVENT_TYPES

_DAY_MS = 24 * 60 * 60 * 1000


def ingest(script: Script) -> None:
    """events, profiles and exposures of the day: rows that break no rule, the first copy of each."""
    _ingest_events(script)
    _ingest_profiles(script)
    _ingest_exposures(script)


def _ingest_events(script: Script) -> None:
    """Copies are few: which ids come twice is found out first, of two columns; only their rows are put in order."""
    (source,) = script.before.project.sources.events
    script.run(f"CREATE OR REPLACE TEMP VIEW landed AS {_landed_events(script, source)}")
    key = "hash(event_id, profile_id)"
    script.run(
        f"CREATE OR REPLACE TEMP TABLE twice AS SELECT {key} AS key FROM landed GROUP BY key HAVING count(*) > 1"
    )
    good = f"SELECT * EXCLUDE (broken) FROM landed WHERE NOT broken AND {key}"
    first = "row_number() OVER (PARTITION BY event_id, day, profile_id ORDER BY source_file, row) = 1"
    script.write("events", f"{good} NOT IN (FROM twice) UNION ALL ({good} IN (FROM twice) QUALIFY {first})")
    _require_few_broken(script, "landed", source)


def _landed_events(script: Script, source: Source) -> str:
    day = f"DATE '{script.day}'"
    types = ", ".join(f"'{kind}'" for kind in EVENT_TYPES)
    broken = (
        "event_id IS NULL OR profile_id IS NULL OR household_id IS NULL OR event_ts IS NULL "
        f"OR event_ts >= {day} + INTERVAL 1 DAY + INTERVAL {source.max_minutes_ahead} MINUTE "
        f"OR event_ts::DATE < {day} - {source.max_days_late} "
        f"OR event_type IS NULL OR event_type NOT IN ({types}) OR least(watch_ms, rebuffer_ms, latency_ms) < 0"
    )
    return f"""
        SELECT *, event_ts::DATE AS day, coalesce({broken}, false) AS broken FROM (
            SELECT event_id, try_cast(ts AS TIMESTAMP) AS event_ts, profile_id, household_id, session_id, title_id,
                device, region, event_type, watch_ms, rebuffer_ms, latency_ms, attributes,
                {day} AS ingest_day, filename AS source_file, file_row_number AS row
            FROM {script.landed("events")})"""


def _require_few_broken(script: Script, relation: str, source: Source) -> None:
    rows, broken = script.one(f"SELECT count(*), count_if(broken) FROM {relation}")
    if not rows or broken > source.max_quarantined * rows:
        raise AssertionError(f"{source.name}: {broken} of {rows} rows are broken")


def _ingest_profiles(script: Script) -> None:
    last = "row_number() OVER (PARTITION BY profile_id ORDER BY filename DESC, file_row_number DESC) = 1"
    script.write(
        "profiles",
        f"SELECT profile_id, household_id, try_cast(signup_day AS DATE) AS signup_day, region, device, plan "
        f"FROM {script.landed('profiles')} WHERE profile_id IS NOT NULL AND household_id IS NOT NULL QUALIFY {last}",
    )


def _ingest_exposures(script: Script) -> None:
    """Those of the day, beside those of the days before."""
    key = "experiment_id, profile_id, exposed_at, arm"
    arms = ", ".join(f"'{arm}'" for arm in script.experiment.arms)
    first = f"row_number() OVER (PARTITION BY {key} ORDER BY e.filename, e.file_row_number) = 1"
    script.write(
        "exposures",
        f"""
        SELECT experiment_id, profile_id, exposed_at, arm, coalesce(e.household_id, p.household_id) AS household_id,
            e.device, e.region, exposed_at::DATE - signup_day AS tenure_days, assignment_version
        FROM (SELECT * REPLACE (try_cast(exposed_at AS TIMESTAMP) AS exposed_at) FROM {script.landed("exposures")}) e
        LEFT JOIN {script.made("profiles")} p USING (profile_id)
        WHERE exposed_at IS NOT NULL AND arm IN ({arms}) QUALIFY {first}""",
    )
    columns = f"{key}, household_id, device, region, tenure_days"
    before = columns.replace("exposed_at", "exposed_at::TIMESTAMP AS exposed_at")
    script.run(
        f"CREATE OR REPLACE TEMP VIEW exposures AS SELECT {columns} FROM {script.made('exposures')} "
        f"UNION ALL SELECT {before} FROM {script.history('exposures')}"
    )


def check_landed(script: Script) -> None:
    """What the audits ask of the day's events, profiles and exposures. Raises AssertionError."""
    types = ", ".join(f"'{kind}'" for kind in EVENT_TYPES)
    durations = ("watch_ms", "rebuffer_ms", "latency_ms")
    script.refuse(
        "events",
        null("event_id", "event_ts", "profile_id", "household_id", "event_type")
        | {f"{name}_range": f"{name} NOT BETWEEN 0 AND {_DAY_MS}" for name in durations}
        | {"event_type": f"event_type NOT IN ({types})", "day": "event_ts::DATE <> day"},
        few=null("device", "region") | {"late": "ingest_day > day"},
    )
    script.refuse_repeats("events", "event_id, profile_id")
    script.refuse(
        "profiles",
        null("profile_id", "household_id") | {"signup": f"signup_day > DATE '{script.day}'"},
        few=null("signup_day"),
    )
    script.refuse_repeats("profiles", "profile_id")
    script.refuse(
        "exposures",
        null("experiment_id", "profile_id", "exposed_at", "arm", "household_id")
        | {"tenure": "tenure_days < 0"},
        few=null("tenure_days"),
    )
    script.refuse_repeats("exposures", "experiment_id, profile_id, exposed_at, arm")
    _shares(script)


def _shares(script: Script) -> None:
    """How the day's events are spread: what later days are compared with."""
    labels = "device, region, event_type, hour(event_ts)"
    sets = ", ".join(f"({label})" for label in labels.split(", "))
    rows = f"SELECT {labels}, count(*) AS n FROM {script.sampled('events')} GROUP BY GROUPING SETS ({sets})"
    script.write("shares", rows)


def roll_up(script: Script) -> None:
    """profile_days and exposure_day_measures of the day."""
    day = f"event_ts >= DATE '{script.day}' AND event_ts < DATE '{script.day}' + 1"
    events = f"(SELECT * EXCLUDE (day) FROM {script.made('events')} WHERE {day})"
    catalogue = script.before.project.catalogue
    roll_up_rows(script.database, catalogue, events, "exposures", script.day, script.folder)


def check_rolled_up(script: Script) -> None:
    """Measures are known, finite, not negative, and add up to what the events say."""
    numbers = script.before.project.catalogue.numbers
    unlikely = {name: f"{name} IS NULL OR {name} < 0 OR NOT isfinite({name})" for name in numbers}
    for name, key in (
        ("profile_days", "day, profile_id"),
        ("exposure_day_measures", "day, experiment_id, profile_id"),
    ):
        script.refuse(name, null("profile_id", "household_id") | unlikely)
        script.refuse_repeats(name, key)
    plays = "SELECT count_if(event_type = 'play_start'), sum(watch_ms) / 60000 FROM " + script.made("events")
    rolled = f"SELECT sum(play_starts), sum(watch_minutes) FROM {script.made('profile_days')}"
    if not all(map(math.isclose, script.one(plays), script.one(rolled))):
        raise AssertionError(f"profile_days do not add up to the events: {script.one(rolled)}")


def experiment(script: Script) -> Estimates:
    """Windows, their checks, sample ratios and all estimates, as of the day."""
    build_windows(script)
    outcomes = [name for metric in script.metrics for name in metric.outcome_columns]
    unlikely = {name: f"{name} < 0 OR NOT isfinite({name})" for name in outcomes}
    script.refuse("windows", null("profile_id", "household_id", "arm", "stratum") | unlikely)
    script.refuse_repeats("windows", "profile_id")
    check_sample_ratios(script)
    found = estimates(as_frame(script), script.experiment, script.metrics)
    rows = [(*key, effect, error) for key, (effect, error) in found.items()]
    columns = ["metric", "estimator", "segment", "segment_value", "effect", "std_error"]
    pd.DataFrame(rows, columns=columns).to_parquet(script.folder / "estimates.parquet")
    return found
