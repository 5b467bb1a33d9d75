"""Faults that audits must find: rows of a table changed, landing files lost, a simulator that misbehaves."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from deltalake import DeltaTable as LogReader
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.audit_suites import suite_of
from jobs.tables import Tables
from metrics.simulation.settings import Faults

Change = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class TableFault:
    """What a table would hold; `finder`: the expectation that is there for it."""

    what: str
    table: str
    finder: str
    change: Change


@dataclass(frozen=True)
class LandingFault:
    """What happens to the landing folder of events of a day."""

    what: str
    finder: str
    damage: Callable[[Path], None]


@dataclass(frozen=True)
class Altered(Tables):
    """The tables, one of them read from `folder` as if a fault had happened; nothing else is written."""

    fault: TableFault
    folder: Path

    def write(self, days: Sequence[date]) -> None:
        """The faulty rows of these days as a table of its own, without the constraints that would refuse some."""
        table = self.declared[self.fault.table]
        rows = super().read(table.name)
        column = suite_of(table.name, self.project).day_column
        of_days = rows.where(F.col(column).isin(list(days))) if column else rows
        writer = self.fault.change(of_days).write.format("delta").mode("overwrite")
        writer.option("overwriteSchema", True).partitionBy(*table.partitioned_by).save(str(self.folder))

    def read(self, name: str) -> DataFrame:
        if name == self.fault.table:
            return self.spark.read.format("delta").load(str(self.folder))
        return super().read(name)

    def files(self, name: str) -> LogReader | None:
        return LogReader(str(self.folder)) if name == self.fault.table else super().files(name)

    def in_own_session(self) -> "Altered":
        return replace(self, spark=self.spark.newSession())


def _where(condition: str) -> Change:
    return lambda frame: frame.where(condition)


def _set(column: str, sql: str, share: float = 1.0) -> Change:
    """The column as the SQL says, in a share of the rows."""
    some = f"pmod(xxhash64(profile_id, '{column}'), 1000) < {share * 1000:g}"
    return lambda frame: frame.withColumn(
        column, F.expr(sql) if share == 1 else F.when(F.expr(some), F.expr(sql)).otherwise(F.col(column))
    )


def _change(column: str, sql: str, where: str) -> Change:
    """The column as the SQL says, where a condition holds: for tables without profiles."""
    return lambda frame: frame.withColumn(column, F.when(F.expr(where), F.expr(sql)).otherwise(F.col(column)))


def _with_more(condition: str, column: str, sql: str) -> Change:
    """The rows under the condition a second time, with one column changed."""
    return lambda frame: frame.unionByName(frame.where(condition).withColumn(column, F.expr(sql)))


def _of(table: str, *faults: tuple[str, str, Change]) -> tuple[TableFault, ...]:
    return tuple(TableFault(what, table, finder, change) for what, finder, change in faults)


def _lost(share: float, by: str = "profile_id") -> Change:
    return _where(f"pmod(xxhash64({by}), 1000) >= {share * 1000:g}")


EVENTS = _of(
    "events",
    ("the last three hours missing", "event_ts_fresh", _where("hour(event_ts) < 21")),
    ("two hours in the middle missing", "hour_shares_usual", _where("hour(event_ts) NOT IN (17, 18)")),
    ("volume doubled, ids new", "rows_usual", _with_more("true", "event_id", "concat(event_id, '!')")),
    ("half of all rows lost", "rows_usual", _lost(0.5, "event_id")),
    ("no row", "rows_at_least_floor", _where("false")),
    (
        "a tenth of the rows twice",
        "key_unique",
        _with_more("pmod(xxhash64(event_id), 10) = 0", "device", "device"),
    ),
    ("a device gone", "device_shares_usual", _where("device <> 'web'")),
    ("a device renamed", "device_shares_usual", _set("device", "if(device = 'ios', 'iPhone', device)")),
    ("a region gone", "region_shares_usual", _where("region <> 'apac'")),
    ("an event type gone", "event_type_shares_usual", _where("event_type <> 'play_start'")),
    ("region null in 15% of the rows", "region_mostly_known", _set("region", "NULL", 0.15)),
    ("a tenth of the rows days late", "arrives_on_its_day", _set("ingest_day", "date_add(day, 2)", 0.1)),
    (
        "one profile with a third of the rows",
        "rows_of_heavy_profiles",
        _set("profile_id", "if(pmod(xxhash64(event_id), 3) = 0, 1, profile_id)"),
    ),
    ("a negative duration", "watch_ms_at_least_0", _set("watch_ms", "-watch_ms", 0.01)),
    ("a duration of two days", "rebuffer_ms_at_most_86400000", _set("rebuffer_ms", "172800000", 0.01)),
    ("rows of another day", "event_ts_on_day", _set("event_ts", "event_ts + INTERVAL 1 DAY", 0.01)),
    ("an event type nobody knows", "event_type_in_set", _set("event_type", "'plya_start'", 0.01)),
    ("profiles without household", "household_id_not_null", _set("household_id", "NULL", 0.01)),
    ("a column retyped", "schema", _set("watch_ms", "CAST(watch_ms AS STRING)")),
    ("a column missing", "schema", lambda frame: frame.drop("region")),
)
PROFILES = _of(
    "profiles",
    ("a fifth of the snapshot missing", "rows_usual", _lost(0.2)),
    ("profiles twice", "key_unique", _with_more("profile_id % 10 = 0", "plan", "'basic'")),
    ("profiles without household", "household_id_not_null", _set("household_id", "NULL", 0.01)),
    ("a snapshot of three days ago", "snapshot_day_fresh", _set("snapshot_day", "date_sub(snapshot_day, 3)")),
    ("sign-up unknown for a fifth", "signup_day_mostly_known", _set("signup_day", "NULL", 0.2)),
    (
        "sign-up after the snapshot",
        "signup_day_not_after_snapshot_day",
        _set("signup_day", "date_add(snapshot_day, 1)", 0.01),
    ),
)
EXPOSURES = _of(
    "exposures",
    ("an arm nobody declared", "arm_of_experiment", _set("arm", "'blue'", 0.02)),
    ("exposures twice", "key_unique", _with_more("profile_id % 10 = 0", "device", "device")),
    ("the last four hours missing", "exposed_at_fresh", _where("hour(exposed_at) < 20")),
    ("nine of ten lost", "rows_usual", _lost(0.9)),
    ("tenure unknown for a fifth", "tenure_days_mostly_known", _set("tenure_days", "NULL", 0.2)),
    (
        "exposures of another day",
        "exposed_at_on_day",
        _set("exposed_at", "exposed_at + INTERVAL 1 DAY", 0.02),
    ),
)
PROFILE_DAYS = _of(
    "profile_days",
    ("half of the plays lost", "measures_reconciled", _set("play_starts", "double(floor(play_starts / 2))")),
    (
        "a play too many for one profile in 500",
        "measures_reconciled",
        _change("play_starts", "play_starts + 1", "pmod(xxhash64(profile_id), 500) = 0"),
    ),
    ("one profile in a hundred lost", "measures_reconciled", _lost(0.01)),
    ("a measure not a number", "measures_finite", _set("watch_minutes", "double('NaN')", 0.01)),
    ("a measure negative", "measures_not_negative", _set("watch_minutes", "-1 - watch_minutes", 0.01)),
    ("a measure unknown", "measures_known", _set("crashes", "CAST(NULL AS DOUBLE)")),
    ("profiles twice", "key_unique", _with_more("profile_id % 100 = 0", "household_id", "household_id")),
    ("profiles without household", "household_id_not_null", _set("household_id", "NULL", 0.01)),
)
EXPOSURE_DAYS = _of(
    "exposure_day_measures",
    ("profiles never exposed", "profiles_reconciled", _set("profile_id", "-profile_id", 0.02)),
    ("a third of the profiles lost", "exposed_measured", _lost(0.33)),
    ("an experiment nobody declared", "experiment_id_in_set", _set("experiment_id", "'checkout'", 0.02)),
)
WINDOWS = _of(
    "profile_windows",
    ("one profile in a hundred missing", "profiles_reconciled", _lost(0.01)),
    ("profiles in the other arm", "profiles_reconciled", _set("arm", "'control'", 0.05)),
    ("an arm nobody declared", "arm_of_experiment", _set("arm", "'blue'", 0.01)),
    (
        "outcomes before they matured",
        "matured_reconciled",
        _set("play_starts_7d", "coalesce(play_starts_7d, 0)"),
    ),
    ("outcomes of matured profiles unknown", "matured_reconciled", _set("watch_minutes_7d", "NULL", 0.05)),
    ("an outcome not a number", "measures_finite", _set("crash_rate_numerator", "double('Infinity')", 0.01)),
    ("profiles twice", "key_unique", _with_more("profile_id % 100 = 0", "device", "device")),
    (
        "exposed after the analysis day",
        "exposed_at_not_after_analysis_day",
        _set("exposed_at", "exposed_at + INTERVAL 30 DAY", 0.01),
    ),
)
_OVERALL = "segment = 'all'"
ESTIMATES = _of(
    "estimates",
    ("a level of a segment missing", "segments_reconciled", _where("segment_value <> 'web'")),
    (
        "fewer profiles than in the windows",
        "profiles_reconciled",
        _change("n_profiles_arm", "n_profiles_arm - 1", _OVERALL),
    ),
    ("a mean not a number", "numbers_finite", _change("arm_mean", "double('NaN')", _OVERALL)),
    ("an effect missing", "ok_has_numbers", _change("effect", "NULL", f"status = 'ok' AND {_OVERALL}")),
    ("an interval beside its effect", "interval_around_effect", _change("ci_low", "ci_high + 1", _OVERALL)),
    ("a p-value above 1", "p_value_at_least_0_at_most_1", _change("p_value", "1.5", _OVERALL)),
    ("a status nobody knows", "status_in_set", _change("status", "'fine'", _OVERALL)),
    ("rows twice", "key_unique", _with_more(_OVERALL, "role", "role")),
)


def _without_hours(*hours: int) -> Callable[[Path], None]:
    def damage(day_folder: Path) -> None:
        for hour in hours:
            shutil.rmtree(day_folder / f"hour={hour:02d}")

    return damage


LANDINGS = (
    LandingFault("the files of the last three hours not there", "event_ts_fresh", _without_hours(21, 22, 23)),
    LandingFault("the files of two hours not there", "hour_shares_usual", _without_hours(17, 18)),
    LandingFault("half of the files not there", "rows_usual", _without_hours(*range(0, 24, 2))),
)
SERVICE = Faults(late=0.1, bots=0.01)
SERVED = (
    ("a tenth of the events 1 to 3 days late", "arrives_on_its_day"),
    ("a bot for a hundred profiles", "rows_of_heavy_profiles"),
)
# What the audits of tables never see, because it does not get that far.
KEPT_OUT = Faults(duplicates=0.03, broken=0.03, null_keys=0.03, clock_skew=0.03)
CROSSED = "one profile in twenty in both arms"
UNBALANCED = "exposures of one arm lost on a device"
EXPOSURE_LOG = Faults(crossovers=0.05, srm_device="tv", srm_share=0.8)


def landed_day(data_dir: Path, day: date) -> Path:
    return data_dir / "landing" / "events" / f"ingest_day={day}"
