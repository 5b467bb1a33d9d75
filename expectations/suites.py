"""The suite of each audited table. Each function gives a fresh one from the declared schema and what it may contain.

Critical rules guard what downstream steps rely on; a warning is recorded and read. Rules that Delta enforces as
constraints are here too where a broken constraint would mean that somebody altered the table.
"""

import sys
from collections.abc import Mapping, Sequence

from expectations.rules import (
    Between,
    DayRule,
    Every,
    FewFromHeavy,
    Fresh,
    Holds,
    InSet,
    KeyUnique,
    MostRows,
    NotAfter,
    NotNull,
    Reconciled,
    RowRule,
    RowsAtLeastFloor,
    RowsUsual,
    SchemaDeclared,
    Severity,
    ShareOf,
    SharesUsual,
    Suite,
    quoted,
)

Arms = Mapping[str, Sequence[str]]

DAY_MS = 24 * 60 * 60 * 1000
# What is usual is of the same weekday, so that half of it more or less is no weekend. Enrolment fades as the pool of
# unexposed profiles empties. A snapshot gains a few profiles a day and never loses many.
STEADY, FADING, GROWING, SNAPSHOT = (0.67, 1.5), (0.2, 5.0), (0.5, None), (0.9, 1.5)
Range = tuple[float, float | None]


def events_suite(
    columns: Mapping[str, str], key: Sequence[str], event_types: Sequence[str], mapped: Sequence[str] = ()
) -> Suite:
    """`mapped`: columns that a source gives, and that may be null in a row, but not in all rows of a day."""
    durations = ("watch_ms", "rebuffer_ms", "latency_ms")
    return Suite(
        "events",
        "day",
        columns,
        tuple(key),
        (
            *_day_rules(STEADY),
            *_mostly_known("device", "region"),
            *(MostRows(f"{name}_given", NotNull(name), 1e-9, "critical", rows=200) for name in mapped),
            # More that comes later means that a day's first numbers were short by it.
            MostRows("arrives_on_its_day", NotAfter("ingest_day", "day"), 0.95),
            Fresh("event_ts", 2, rows=2_000),
            *(SharesUsual(name, name, name) for name in ("device", "region", "event_type")),
            SharesUsual("hour", "hour(event_ts)", "event_ts"),
            # An event a minute for eight hours; of a small service one busy person may make a twentieth of the rows.
            FewFromHeavy(500, 0.1),
        ),
        (
            *_known("event_id", "event_ts", "profile_id", "household_id", "event_type"),
            InSet("event_type", tuple(event_types)),
            Holds("event_ts_on_day", (("event_ts", "CAST(event_ts AS DATE) = day"),), ("event_ts", "day")),
            *(Between(name, 0, None) for name in durations),
            *(Between(name, None, DAY_MS, "warning") for name in durations),
        ),
        "correct the landing files or conf/sources.yml, then run ingest_events again for the days that brought {day}",
        named_by_statistics=True,
    )


def profiles_suite(columns: Mapping[str, str], key: Sequence[str]) -> Suite:
    return Suite(
        "profiles",
        None,
        columns,
        tuple(key),
        # Yesterday's snapshot still serves, the one before does not.
        (*_day_rules(SNAPSHOT), *_mostly_known("signup_day"), Fresh("snapshot_day", 48)),
        (
            *_known("profile_id", "household_id"),
            NotAfter("signup_day", "snapshot_day", "warning"),
        ),
        "correct the snapshot or conf/sources.yml, then run ingest_profiles --day {day} again",
        named_by_statistics=True,
    )


def exposures_suite(columns: Mapping[str, str], key: Sequence[str], arms: Arms) -> Suite:
    return Suite(
        "exposures",
        "day",
        columns,
        tuple(key),
        (
            *_day_rules(FADING, floor="warning"),
            *_mostly_known("tenure_days"),
            Fresh("exposed_at", 3, rows=200),
        ),
        (
            *_known("experiment_id", "profile_id", "exposed_at", "arm", "household_id"),
            *_arm_rules(arms),
            Holds(
                "exposed_at_on_day",
                (("exposed_at", "CAST(exposed_at AS DATE) = day"),),
                ("exposed_at", "day"),
            ),
            Between("tenure_days", 0, None, "warning"),
        ),
        "correct the landing files or conf/sources.yml, then run ingest_exposures --day {day} again",
    )


def profile_days_suite(columns: Mapping[str, str], key: Sequence[str], measures: Sequence[str]) -> Suite:
    return Suite(
        "profile_days",
        "day",
        columns,
        tuple(key),
        (
            *_day_rules(STEADY),
            Reconciled("measures_reconciled", "each measure that adds up to be that of the day's events"),
        ),
        (*_known("profile_id", "household_id"), *_measure_rules(columns, measures, nullable=False)),
        "correct the measure in conf/metrics.yml, then run roll_up_profile_days --day {day} again",
    )


def exposure_day_measures_suite(
    columns: Mapping[str, str], key: Sequence[str], measures: Sequence[str], experiments: Sequence[str]
) -> Suite:
    return Suite(
        "exposure_day_measures",
        "day",
        columns,
        tuple(key),
        (
            *_day_rules(FADING, floor="warning"),
            Reconciled("profiles_reconciled", "no profile but those first exposed on the day"),
            ShareOf("exposed_measured", "most profiles first exposed on an active day", 0.8, None),
        ),
        (
            *_known("experiment_id", "profile_id", "household_id"),
            InSet("experiment_id", tuple(experiments)),
            *_measure_rules(columns, measures, nullable=False),
        ),
        "correct the measure in conf/metrics.yml, then run roll_up_profile_days --day {day} again",
    )


def profile_windows_suite(
    columns: Mapping[str, str],
    key: Sequence[str],
    arms: Arms,
    outcomes: Sequence[str],
    proportions: Sequence[str],
) -> Suite:
    """`outcomes`: outcome and pre-period columns, null where not matured or missing; `proportions` lie in [0, 1]."""
    return Suite(
        "profile_windows",
        "analysis_day",
        columns,
        tuple(key),
        (
            *_day_rules(GROWING),
            Reconciled("profiles_reconciled", "in each arm every first exposure of one arm only"),
            Reconciled("matured_reconciled", "outcomes of every profile that has matured", "warning"),
            ShareOf("crossovers_rare", "at most 1% of an experiment's profiles in two arms", None, 0.01),
        ),
        (
            *_known("experiment_id", "epoch", "profile_id", "household_id", "arm", "stratum", "exposed_at"),
            *_arm_rules(arms),
            Holds(
                "exposed_at_not_after_analysis_day",
                (("exposed_at", "CAST(exposed_at AS DATE) <= analysis_day"),),
                ("exposed_at", "analysis_day"),
            ),
            InSet("tenure_band", ("new", "established", "unknown")),
            *_measure_rules(columns, outcomes, nullable=True),
            *(Between(name, 0, 1) for name in proportions),
        ),
        "run roll_up_profile_days for the days before {day}, then build_profile_windows --day {day} again",
    )


def estimates_suite(
    columns: Mapping[str, str], key: Sequence[str], arms: Arms, statuses: Sequence[str]
) -> Suite:
    numbers = [name for name, kind in columns.items() if kind.upper() == "DOUBLE"]
    counts = ("n_profiles_control", "n_profiles_arm", "n_households")
    return Suite(
        "estimates",
        "analysis_day",
        columns,
        tuple(key),
        (
            *_day_rules(GROWING),
            Reconciled(
                "profiles_reconciled", "as many profiles of an arm as have the outcome in profile_windows"
            ),
            Reconciled("segments_reconciled", "profiles of a segment's levels to add up to all"),
        ),
        (
            *_known(*key, "role", "control_arm", "status"),
            *_arm_rules(arms),
            InSet("role", ("primary", "secondary", "guardrail")),
            InSet("status", tuple(statuses)),
            _finite("numbers_finite", numbers),
            _each(
                "ok_has_numbers", ("control_mean", "arm_mean", "effect"), "status <> 'ok' OR {0} IS NOT NULL"
            ),
            Every("counts_not_negative", tuple(Between(name, 0, None) for name in counts)),
            Between("std_error", 0, None),
            Between("p_value", 0, 1),
            Between("adjusted_p_value", 0, 1),
            _interval("ci_low", "effect", "ci_high"),
        ),
        "read the audit's details, then run build_profile_windows and estimate_effects --day {day} again",
    )


def _day_rules(usual: Range, floor: Severity = "critical") -> tuple[DayRule, ...]:
    return (SchemaDeclared(), KeyUnique(), RowsAtLeastFloor(floor), RowsUsual(*usual))


def _known(*columns: str) -> tuple[NotNull, ...]:
    return tuple(NotNull(column) for column in columns)


def _mostly_known(*columns: str) -> tuple[MostRows, ...]:
    return tuple(MostRows(f"{name}_mostly_known", NotNull(name), 0.9) for name in columns)


def _arm_rules(arms: Arms) -> tuple[RowRule, ...]:
    """Every arm is one of its experiment's; a row of an experiment that nobody declared is a warning."""
    cases = " ".join(f"WHEN {quoted(name)} THEN arm IN ({_listed(values)})" for name, values in arms.items())
    if not cases:
        return ()
    condition = f"CASE experiment_id {cases} END"
    return (
        Holds("arm_of_experiment", (("arm", condition),), ("experiment_id", "arm")),
        InSet("experiment_id", tuple(arms), "warning"),
    )


def _measure_rules(
    columns: Mapping[str, str], measures: Sequence[str], nullable: bool
) -> tuple[RowRule, ...]:
    """Finite is critical. Null and negative are warnings: a measure newer than its row is null, a refund negative.

    A histogram is an array of bins, none of which is without events.
    """
    histograms = [name for name in measures if columns[name].startswith("ARRAY")]
    numbers = [name for name in measures if name not in histograms]
    rules = list[RowRule]()
    if numbers:
        rules.append(_finite("measures_finite", numbers))
        at_least_0 = tuple(Between(name, 0, None) for name in numbers)
        rules.append(Every("measures_not_negative", at_least_0, "warning"))
    if histograms:
        rules.append(_each("histograms_counted", histograms, "NOT exists({0}, each -> each.events <= 0)"))
    if measures and not nullable:
        rules.append(Every("measures_known", _known(*measures), "warning"))
    return tuple(rules)


def _each(name: str, columns: Sequence[str], condition: str, severity: Severity = "critical") -> Holds:
    """The condition, with {0} for the column, for every column."""
    conditions = tuple((column, condition.format(f"`{column}`")) for column in columns)
    read = (*columns, *(("status",) if "status" in condition else ()))
    return Holds(name, conditions, read, severity)


def _finite(name: str, columns: Sequence[str]) -> Every:
    """NaN is above every number in Spark."""
    most = sys.float_info.max
    return Every(name, tuple(Between(column, -most, most) for column in columns))


def _interval(low: str, value: str, high: str) -> Holds:
    condition = f"{low} <= {value} AND {value} <= {high}"
    return Holds("interval_around_effect", ((value, condition),), (low, value, high))


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(quoted, values))
