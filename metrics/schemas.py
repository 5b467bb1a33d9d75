"""Every table's columns, key, partitions and row rules, each written once (DESIGN §3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.configuration.catalogue import Catalogue
from metrics.histogram import SQL_TYPE

EVENT_TYPES = (
    "session_start",
    "impression",
    "search",
    "play_attempt",
    "play_start",
    "play_failure",
    "playback",
    "play_end",
    "crash",
    "page_render",
    "survey",
    "cancel",
)


def _columns(text: str) -> dict[str, str]:
    """`a BIGINT, b MAP<STRING, STRING>` as {name: type}; one column a line or comma at depth 0."""
    parts, depth = [""], 0
    for letter in " ".join(text.split()):
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return dict(part.strip().split(" ", 1) for part in parts if part.strip())


EVENT_COLUMNS = _columns("""
    event_id STRING, event_ts TIMESTAMP, profile_id BIGINT, household_id BIGINT, session_id STRING, title_id BIGINT,
    device STRING, region STRING, event_type STRING, watch_ms BIGINT, rebuffer_ms BIGINT, latency_ms BIGINT,
    attributes MAP<STRING, STRING>
""")
EXPOSURE_COLUMNS = _columns("""
    experiment_id STRING, profile_id BIGINT, exposed_at TIMESTAMP, arm STRING, household_id BIGINT, device STRING,
    region STRING, tenure_days INT, assignment_version STRING
""")
PROFILE_COLUMNS = _columns("""
    profile_id BIGINT, household_id BIGINT, signup_day DATE, region STRING, device STRING, plan STRING
""")
# Half of a profile's hash, SQL. Events lie in its order, so that those of a profile, and of a sample of profiles, are
# found together; where rows are sampled, it is by this, so that the same profiles are in the sample of each table.
PROFILE_HASH = "CAST(shiftright(xxhash64(profile_id), 32) AS INT)"
_RUN_IDENTITY = _columns("""
    quality_run_id STRING, audited_inputs STRING, spec_hash STRING, metric_version STRING, input_version STRING,
    code_version STRING, computed_at TIMESTAMP
""")


@dataclass(frozen=True)
class Table:
    """`columns` in order with their SQL types; `checks` are Delta constraints by name."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    partitioned_by: tuple[str, ...]
    checks: Mapping[str, str] = field(default_factory=dict)

    def conform(self, frame: DataFrame) -> DataFrame:
        """Exactly the declared columns, order and types. A column that is absent is an error, never null."""
        return frame.select([F.col(name).cast(kind).alias(name) for name, kind in self.columns.items()])

    def empty_columns(self, *names: str) -> dict[str, Column]:
        """Typed nulls for columns that a writer declares not to have."""
        return {name: F.lit(None).cast(self.columns[name]) for name in names}


def measure_columns(catalogue: Catalogue) -> dict[str, str]:
    return {name: _number_or_bins(name in catalogue.histograms) for name in catalogue.measures}


def _number_or_bins(histogram: bool) -> str:
    return SQL_TYPE if histogram else "DOUBLE"


def declared_tables(catalogue: Catalogue) -> dict[str, Table]:
    """All tables, with one column per measure and outcome of the catalogue."""
    tables = (*_fact_tables(catalogue), *_result_tables(), *_control_tables())
    return {table.name: table for table in tables}


def _fact_tables(catalogue: Catalogue) -> tuple[Table, ...]:
    measures = measure_columns(catalogue)
    metrics = catalogue.metrics.values()
    outcomes = {
        name: _number_or_bins(metric.of_events) for metric in metrics for name in metric.outcome_columns
    }
    covariates = {f"pre_{name}": "DOUBLE" for name in catalogue.numbers}
    event_types = ", ".join(f"'{kind}'" for kind in EVENT_TYPES)
    return (
        Table(
            "events",
            {
                **EVENT_COLUMNS,
                **_columns("profile_hash INT, day DATE, ingest_day DATE, source_file STRING, row BIGINT"),
            },
            ("event_id", "profile_id"),
            ("day", "ingest_day"),
            {
                "known_event_type": f"event_type IN ({event_types})",
                "event_on_its_day": "CAST(event_ts AS DATE) = day",
                "durations_not_negative": "coalesce(watch_ms, 0) >= 0 AND coalesce(rebuffer_ms, 0) >= 0",
            },
        ),
        Table(
            "events_quarantine",
            _columns("""source STRING, source_file STRING, row BIGINT, ingest_day DATE, reasons ARRAY<STRING>,
                        raw STRING, replayed_on DATE"""),
            ("source", "ingest_day", "source_file", "row"),
            ("ingest_day",),
        ),
        Table("profiles", {**PROFILE_COLUMNS, "snapshot_day": "DATE"}, ("profile_id",), ()),
        Table(
            "exposures",
            {**EXPOSURE_COLUMNS, "day": "DATE"},
            ("experiment_id", "profile_id", "exposed_at", "arm"),
            ("day",),
            {"exposed_on_its_day": "CAST(exposed_at AS DATE) = day"},
        ),
        Table(
            "profile_days",
            {**_columns("day DATE, profile_id BIGINT, household_id BIGINT"), **measures},
            ("day", "profile_id"),
            ("day",),
        ),
        Table(
            "exposure_day_measures",
            {
                **_columns("day DATE, experiment_id STRING, profile_id BIGINT, household_id BIGINT"),
                **measures,
            },
            ("day", "experiment_id", "profile_id"),
            ("day",),
        ),
        Table(
            "profile_windows",
            {
                **_columns("""
                    experiment_id STRING, epoch INT, analysis_day DATE, profile_id BIGINT, household_id BIGINT,
                    arm STRING, stratum STRING, tenure_band STRING, device STRING, region STRING,
                    exposed_at TIMESTAMP, tenure_days INT
                """),
                **outcomes,
                **covariates,
                "audited_inputs": "STRING",
            },
            ("experiment_id", "epoch", "analysis_day", "profile_id"),
            ("experiment_id", "analysis_day"),
        ),
    )


def _result_tables() -> tuple[Table, ...]:
    cell = "experiment_id STRING, epoch INT, analysis_day DATE"
    return (
        Table(
            "moments",
            _columns(f"""{cell}, maturity_group STRING, segment STRING, segment_value STRING, arms ARRAY<STRING>,
                         columns ARRAY<STRING>, n_households BIGINT, payload BINARY, input_version STRING"""),
            ("experiment_id", "epoch", "analysis_day", "maturity_group", "segment", "segment_value"),
            ("experiment_id", "analysis_day"),
        ),
        Table(
            "estimates",
            {
                **_columns(f"""
                    {cell}, metric STRING, estimator STRING, segment STRING, segment_value STRING, arm STRING,
                    role STRING, control_arm STRING, control_mean DOUBLE, arm_mean DOUBLE, effect DOUBLE,
                    std_error DOUBLE, ci_low DOUBLE, ci_high DOUBLE, relative_effect DOUBLE,
                    relative_std_error DOUBLE, relative_ci_low DOUBLE, relative_ci_high DOUBLE, statistic DOUBLE,
                    df DOUBLE, p_value DOUBLE, adjusted_p_value DOUBLE, alpha DOUBLE, vcov STRING,
                    n_profiles_control BIGINT, n_profiles_arm BIGINT, n_households BIGINT,
                    variance_reduction DOUBLE, winsor_threshold DOUBLE, winsor_lower_threshold DOUBLE, mde DOUBLE,
                    status STRING, dropped_covariates ARRAY<STRING>
                """),
                **_RUN_IDENTITY,
            },
            (
                "experiment_id",
                "epoch",
                "analysis_day",
                "metric",
                "estimator",
                "segment",
                "segment_value",
                "arm",
            ),
            ("experiment_id", "analysis_day"),
        ),
        Table(
            "interactions",
            _columns(f"""{cell}, metric STRING, segment STRING, arm STRING, statistic DOUBLE, df1 DOUBLE,
                         df2 DOUBLE, p_value DOUBLE, status STRING"""),
            ("experiment_id", "epoch", "analysis_day", "metric", "segment", "arm"),
            ("experiment_id", "analysis_day"),
        ),
        Table(
            "spillover",
            _columns(f"""{cell}, metric STRING, arm STRING, n_shared_households BIGINT, n_mixed_households BIGINT,
                         n_profiles_control BIGINT, n_profiles_arm BIGINT, control_mean DOUBLE, effect DOUBLE,
                         std_error DOUBLE, ci_low DOUBLE, ci_high DOUBLE, df DOUBLE, p_value DOUBLE,
                         adjusted_p_value DOUBLE, status STRING"""),
            ("experiment_id", "epoch", "analysis_day", "metric", "arm"),
            ("experiment_id", "analysis_day"),
        ),
        Table(
            "looks",
            _columns("""experiment_id STRING, epoch INT, metric STRING, arm STRING, look INT, input_version STRING,
                        analysis_day DATE, information DOUBLE, information_fraction DOUBLE, alpha_spent DOUBLE,
                        z_boundary DOUBLE, nominal_p DOUBLE, statistic DOUBLE, repeated_ci_low DOUBLE,
                        repeated_ci_high DOUBLE, crossed BOOLEAN, computed_at TIMESTAMP"""),
            ("experiment_id", "epoch", "metric", "arm", "look", "input_version"),
            ("experiment_id",),
        ),
        Table(
            "data_quality_results",
            _columns("""table STRING, day DATE, expectation STRING, run_id STRING, severity STRING, success BOOLEAN,
                        observed STRING, unexpected_count BIGINT, details STRING"""),
            ("table", "day", "expectation", "run_id"),
            ("table", "day"),
        ),
    )


def _control_tables() -> tuple[Table, ...]:
    return (
        Table(
            "loaded_days",
            _columns("ingest_day DATE, input STRING, output STRING, computed_at TIMESTAMP"),
            ("ingest_day",),
            ("ingest_day",),
        ),
        Table(
            "srm_checks",
            _columns("""experiment_id STRING, epoch INT, window_kind STRING, window_end TIMESTAMP,
                        window_end_day DATE, unit STRING, slice STRING, slice_value STRING,
                        observed MAP<STRING, BIGINT>, expected MAP<STRING, DOUBLE>, chi_square DOUBLE, df DOUBLE,
                        p_value DOUBLE, log_e_value DOUBLE, threshold DOUBLE, triggered BOOLEAN"""),
            ("experiment_id", "epoch", "window_kind", "window_end", "unit", "slice", "slice_value"),
            ("experiment_id", "window_end_day"),
        ),
        Table(
            "enrollment_status",
            _columns("""experiment_id STRING, epoch INT, slice STRING, slice_value STRING, status STRING,
                        reason STRING, since TIMESTAMP, run STRING"""),
            ("experiment_id", "epoch", "slice", "slice_value"),
            ("experiment_id",),
        ),
        Table(
            "rollout_decisions",
            _columns("""experiment_id STRING, epoch INT, decided_for TIMESTAMP, input_version STRING,
                        stage_from DOUBLE, stage_to DOUBLE, action STRING, reasons ARRAY<STRING>, inputs STRING,
                        run STRING, refused STRING"""),
            ("experiment_id", "epoch", "decided_for", "input_version"),
            ("experiment_id",),
        ),
        Table(
            "allocations",
            _columns("""experiment_id STRING, effective_from TIMESTAMP, layer STRING, layer_salt STRING,
                        layer_buckets ARRAY<ARRAY<INT>>, exposed_share DOUBLE, unit STRING, arms ARRAY<STRING>,
                        shares MAP<STRING, DOUBLE>, arm_salt STRING"""),
            ("experiment_id", "effective_from"),
            ("experiment_id",),
        ),
        Table(
            "power",
            _columns("""experiment_id STRING, metric STRING, stratum STRING, max_information DOUBLE,
                        baseline_mean DOUBLE, baseline_sd DOUBLE, icc DOUBLE, rho DOUBLE, n_per_arm DOUBLE,
                        mde_relative DOUBLE, days_needed DOUBLE, assumptions STRING"""),
            ("experiment_id", "metric", "stratum"),
            ("experiment_id",),
        ),
    )
