"""The suites against planted faults: each on a day of its own, so that one audit must name every day and rule."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from expectations import audit as audit_module
from expectations.audit import audit
from expectations.facts import day_facts
from expectations.results import AuditResult, failures
from expectations.rules import Between, Fresh, Holds, InSet, NotNull, Suite
from expectations.usual import Past, pasts
from tests.expectations.rows import (
    DAY,
    ESTIMATE_COLUMNS,
    EVENT_COLUMNS,
    EXPOSURE_COLUMNS,
    EXPOSURE_DAY_COLUMNS,
    PROFILE_COLUMNS,
    PROFILE_DAY_COLUMNS,
    WINDOW_COLUMNS,
    estimate,
    estimates_suite,
    event,
    events_suite,
    exposure,
    exposure_day,
    exposure_day_measures_suite,
    exposures_suite,
    failed,
    frame_of,
    later,
    no_jobs_cached,
    profile,
    profile_day,
    profile_days_suite,
    profile_windows_suite,
    profiles_suite,
    the,
    version_of,
    window,
)

Fault = tuple[dict[str, Any], str]
LOCAL = ("127.0.0.1", "::1", "localhost")
FAR_LATER = datetime(2027, 1, 1)

EVENT_FAULTS: list[Fault] = [
    ({"profile_id": None}, "profile_id_not_null"),
    ({"event_type": "plya_start"}, "event_type_in_set"),
    ({"watch_ms": -1}, "watch_ms_at_least_0"),
    ({"rebuffer_ms": 90_000_000}, "rebuffer_ms_at_most_86400000"),
    ({"event_ts": FAR_LATER}, "event_ts_on_day"),
    ({"event_id": "twice"}, "key_unique"),
    ({"device": None}, "device_mostly_known"),
    ({"ingest_day": date(2027, 1, 1)}, "arrives_on_its_day"),
]
EXPOSURE_FAULTS: list[Fault] = [
    ({"arm": "blue"}, "arm_of_experiment"),
    ({"experiment_id": "checkout"}, "experiment_id_in_set"),
    ({"exposed_at": FAR_LATER}, "exposed_at_on_day"),
    ({"tenure_days": -2}, "tenure_days_at_least_0"),
    ({"tenure_days": None}, "tenure_days_mostly_known"),
    ({"profile_id": 77}, "key_unique"),
]
MEASURE_FAULTS: list[Fault] = [
    ({"play_starts": float("nan")}, "measures_finite"),
    ({"watch_minutes": float("inf")}, "measures_finite"),
    ({"watch_minutes": -5.0}, "measures_not_negative"),
    ({"watch_minutes": None}, "measures_known"),
    ({"household_id": None}, "household_id_not_null"),
    ({"profile_id": 77}, "key_unique"),
]
WINDOW_FAULTS: list[Fault] = [
    ({"arm": "blue"}, "arm_of_experiment"),
    ({"exposed_at": FAR_LATER}, "exposed_at_not_after_analysis_day"),
    ({"play_starts_7d": float("nan")}, "measures_finite"),
    ({"retained": 1.5}, "retained_at_least_0_at_most_1"),
    ({"tenure_band": "old"}, "tenure_band_in_set"),
    ({"stratum": None}, "stratum_not_null"),
]
ESTIMATE_FAULTS: list[Fault] = [
    ({"effect": None}, "ok_has_numbers"),
    ({"control_mean": float("nan")}, "numbers_finite"),
    ({"ci_low": 0.3}, "interval_around_effect"),
    ({"p_value": 1.5}, "p_value_at_least_0_at_most_1"),
    ({"std_error": -0.1}, "std_error_at_least_0"),
    ({"n_households": -1}, "counts_not_negative"),
    ({"status": "fine"}, "status_in_set"),
    ({"metric": "same"}, "key_unique"),
]
ALL_FAULTS = [
    pytest.param(events_suite, EVENT_COLUMNS, event, EVENT_FAULTS, id="events"),
    pytest.param(exposures_suite, EXPOSURE_COLUMNS, exposure, EXPOSURE_FAULTS, id="exposures"),
    pytest.param(profile_days_suite, PROFILE_DAY_COLUMNS, profile_day, MEASURE_FAULTS, id="profile_days"),
    pytest.param(
        exposure_day_measures_suite,
        EXPOSURE_DAY_COLUMNS,
        exposure_day,
        [*MEASURE_FAULTS, ({"experiment_id": "checkout"}, "experiment_id_in_set")],
        id="exposure_day_measures",
    ),
    pytest.param(profile_windows_suite, WINDOW_COLUMNS, window, WINDOW_FAULTS, id="profile_windows"),
    pytest.param(estimates_suite, ESTIMATE_COLUMNS, estimate, ESTIMATE_FAULTS, id="estimates"),
]


def audited(
    frame: DataFrame,
    suite: Suite,
    days: Sequence[date] = (DAY,),
    past: Mapping[date, Past] | None = None,
    floors: Mapping[date, int] | None = None,
) -> tuple[AuditResult, ...]:
    return audit(frame, suite, day_facts(frame, suite, days, version_of(frame), past or {}, floors or {}))


@pytest.mark.parametrize(("suite", "columns", "row", "faults"), ALL_FAULTS)
def test_each_fault_fails_its_own_expectation_on_its_own_day_only(
    spark: SparkSession,
    suite: Callable[[], Suite],
    columns: dict[str, str],
    row: Callable[..., dict[str, Any]],
    faults: list[Fault],
) -> None:
    days = [later(n) for n in range(len(faults) + 1)]
    rows = [row(day) for day in days]
    for day, (overrides, _) in zip(days[1:], faults, strict=True):
        rows += [row(day, **overrides), row(day, **overrides)]  # a key that repeats needs two
    assert failed(audited(frame_of(spark, columns, rows), suite(), days)) == {
        (day, name) for day, (_, name) in zip(days[1:], faults, strict=True)
    }


def test_profiles_are_one_snapshot(spark: SparkSession) -> None:
    good = frame_of(spark, PROFILE_COLUMNS, [profile(), profile()])
    assert failed(audited(good, profiles_suite())) == set()
    twice = profile(profile_id=7, signup_day=later(3))
    bad = frame_of(spark, PROFILE_COLUMNS, [twice, twice, profile(household_id=None)])
    assert {name for _, name in failed(audited(bad, profiles_suite()))} == {
        "key_unique",
        "household_id_not_null",
        "signup_day_not_after_snapshot_day",
    }


def test_clean_days_pass_together_and_say_so(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event(), event(later(1))])
    with no_jobs_cached(spark):
        results = audited(frame, events_suite(), [DAY, later(1)])
    assert failed(results) == set()
    assert len(results) == 2 * len(events_suite().rules)
    assert the(results, "event_id_not_null").details == "counted in its rows"
    assert the(results, "rows_at_least_floor").observed == "1 rows, floor 1"


def test_a_failure_says_what_was_seen_and_expected(spark: SparkSession) -> None:
    rows = [event(event_type="plya_start"), event(event_type="plya_start"), event(watch_ms=-7)]
    results = audited(frame_of(spark, EVENT_COLUMNS, rows), events_suite())
    strange = the(results, "event_type_in_set")
    assert (strange.severity, strange.unexpected_count) == ("critical", 2)
    assert strange.observed == "'plya_start' in 2 rows"
    assert strange.details == "expected event_type in play_start, playback"
    assert the(results, "watch_ms_at_least_0").observed == "from -7 to 60000"
    assert the(results, "event_id_not_null").unexpected_count == 0


def test_a_breach_never_names_a_profile(spark: SparkSession) -> None:
    rules = (Between("profile_id", 0, 10), InSet("event_id", ("e",)), Between("watch_ms", 0, 10))
    suite = replace(events_suite(), row_rules=rules)
    rows = [event(profile_id=77_123, event_id="77123-5"), event(profile_id=3, event_id="e")]
    results = audited(frame_of(spark, EVENT_COLUMNS, rows), suite)
    assert len(failed(results)) == 3
    assert "77123" not in repr(results)
    assert the(results, "profile_id_at_least_0_at_most_10").observed == "in 1 rows"
    assert the(results, "event_id_in_set").observed == "in 1 rows"


def test_several_conditions_of_one_name_say_which_broke(spark: SparkSession) -> None:
    rows = [profile_day(play_starts=float("nan")), profile_day(play_starts=float("inf")), profile_day()]
    result = the(audited(frame_of(spark, PROFILE_DAY_COLUMNS, rows), profile_days_suite()), "measures_finite")
    assert (result.observed, result.unexpected_count) == ("play_starts in 2 rows", 2)


def test_a_warning_is_recorded_and_stops_nothing(spark: SparkSession) -> None:
    results = audited(frame_of(spark, EVENT_COLUMNS, [event(watch_ms=90_000_000)]), events_suite())
    assert failed(results) == {(DAY, "watch_ms_at_most_86400000")}
    assert failures(results) == ()


def test_an_empty_day_fails_its_floor_and_nothing_else(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event()])
    results = audited(frame, events_suite(), [DAY, later(1)])
    assert failed(results) == {(later(1), "rows_at_least_floor")}
    assert [result.expectation for result in failures(results)] == ["rows_at_least_floor"]
    assert the(results, "rows_at_least_floor", later(1)).observed == "0 rows, floor 1"


def test_an_empty_table_can_be_audited(spark: SparkSession) -> None:
    results = audited(frame_of(spark, EVENT_COLUMNS, []), events_suite(), floors={DAY: 0})
    assert failed(results) == set()


def test_a_day_far_from_the_same_weekday_of_weeks_before_is_a_warning(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event() for _ in range(6)])
    weekdays = {later(-n): Past(6, 1) for n in range(1, 8)}
    past = {**weekdays, later(-7): Past(12, 1), later(-14): Past(8, 1), later(-21): Past(0, 1)}
    result = the(audited(frame, events_suite(), past=past), "rows_usual")
    assert (result.success, result.severity, result.observed) == (False, "warning", "0.600")


def test_a_young_table_is_compared_with_the_days_before_on_which_rows_were_due(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event()])
    three = {later(-n): Past(10, 1) for n in (1, 2, 7)}
    result = the(audited(frame, events_suite(), past=three), "rows_usual")
    assert (result.success, result.observed) == (False, "0.100")
    few = {**three, later(-7): Past(10, floor=0)}  # late rows on a day that was never loaded
    assert failed(audited(frame, events_suite(), past=few)) == set()
    assert failed(audited(frame, events_suite(), past=three, floors={DAY: 0})) == set()


def test_a_level_that_vanishes_is_named_and_the_same_shares_pass(spark: SparkSession) -> None:
    usual = {"device": {"tv": 0.6, "web": 0.4}, "region": {"eu": 1.0}}
    past = {later(-n): Past(200, 1, usual) for n in (1, 2, 3)}
    as_usual = [event(device="web" if n % 5 < 2 else "tv") for n in range(200)]
    assert failed(audited(frame_of(spark, EVENT_COLUMNS, as_usual), events_suite(), past=past)) == set()
    results = audited(
        frame_of(spark, EVENT_COLUMNS, [event() for _ in range(200)]), events_suite(), past=past
    )
    assert failed(results) == {(DAY, "device_shares_usual")}
    moved = the(results, "device_shares_usual")
    assert (moved.severity, moved.unexpected_count) == ("warning", 2)
    assert moved.observed == (
        "tv is 1.000 of the rows, usually 0.600; web is 0.000 of the rows, usually 0.400"
    )
    assert moved.details == '{"tv": 1.0}'


def test_a_profiles_rows_of_a_level_count_as_one_draw(spark: SparkSession) -> None:
    past = {later(-n): Past(200, 1, {"device": {"tv": 0.6, "web": 0.4}}) for n in (1, 2, 3)}
    rows = [event(profile_id=n % 5) for n in range(200)]
    assert failed(audited(frame_of(spark, EVENT_COLUMNS, rows), events_suite(), past=past)) == set()


def test_the_audits_of_earlier_days_tell_what_is_usual(spark: SparkSession) -> None:
    rows = [event(device=device) for device in ("tv", "tv", "web", None)]
    results = audited(frame_of(spark, EVENT_COLUMNS, rows), events_suite(), floors={DAY: 2})
    seen = pasts([asdict(result) for result in results])["events"][DAY]
    assert (seen.rows, seen.floor) == (4, 2)
    assert seen.shares["device"] == {"tv": 0.5, "web": 0.25, "unknown": 0.25}
    assert seen.shares["hour"] == {"12": 1.0}


def test_a_day_whose_last_hours_are_missing_is_a_warning_if_it_has_rows_enough(spark: SparkSession) -> None:
    suite = events_suite()
    few = replace(suite, day_rules=(Fresh("event_ts", 2, rows=2),))
    last = datetime(DAY.year, DAY.month, DAY.day, 21, 30)
    frame = frame_of(spark, EVENT_COLUMNS, [event(), event(event_ts=last)])
    stale = the(audited(frame, few), "event_ts_fresh")
    assert (stale.success, stale.observed) == (False, "2.50 h before the end of the day")
    assert failed(audited(frame, suite)) == set()
    fresh = frame_of(spark, EVENT_COLUMNS, [event(), event(event_ts=last + timedelta(hours=1))])
    assert failed(audited(fresh, few)) == set()


def test_rows_of_few_profiles_are_a_warning(spark: SparkSession) -> None:
    rows = [event(profile_id=7) for _ in range(501)]
    results = audited(frame_of(spark, EVENT_COLUMNS, [*rows, event()]), events_suite())
    assert failed(results) == {(DAY, "rows_of_heavy_profiles")}
    assert the(results, "rows_of_heavy_profiles").observed == "0.9980"


def test_a_snapshot_of_two_days_ago_is_a_warning(spark: SparkSession) -> None:
    yesterday = frame_of(spark, PROFILE_COLUMNS, [profile(snapshot_day=later(-1))])
    assert failed(audited(yesterday, profiles_suite())) == set()
    stale = frame_of(spark, PROFILE_COLUMNS, [profile(snapshot_day=later(-2))])
    assert failed(audited(stale, profiles_suite())) == {(DAY, "snapshot_day_fresh")}


@pytest.mark.parametrize(("rows", "fails"), [(200, True), (199, False)])
def test_a_column_that_no_row_of_a_day_brings_any_more_is_critical(
    spark: SparkSession, rows: int, fails: bool
) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event(region=None) for _ in range(rows)])
    results = audited(frame, events_suite(mapped=("device", "region")))
    assert {each.expectation for each in failures(results)} == ({"region_given"} if fails else set())


def test_a_missing_column_fails_the_schema_and_every_rule_that_needs_it(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event()]).drop("event_ts", "event_id", "device")
    results = audited(frame, events_suite())
    assert {name for _, name in failed(results)} == {
        "schema",
        "event_id_not_null",
        "event_ts_not_null",
        "event_ts_on_day",
        "key_unique",
        "device_mostly_known",
        "event_ts_fresh",
        "device_shares_usual",
        "region_shares_usual",
        "event_type_shares_usual",
        "hour_shares_usual",
        "rows_of_heavy_profiles",
    }
    assert the(results, "schema").observed == "event_id is missing; event_ts is missing; device is missing"
    assert "does not exist" in (the(results, "event_ts_not_null").details or "")


def test_keys_repeated_on_days_looked_at_later_are_found_without_the_columns_of_shares(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.sample.ROWS_HELD", 0)  # each day is looked at alone
    rows = [event(), *(event(later(1), event_id="twice") for _ in range(2))]
    frame = frame_of(spark, EVENT_COLUMNS, rows).drop("device")
    results = audited(frame, events_suite(), [DAY, later(1)])
    assert [each.success for each in results if each.expectation == "key_unique"] == [True, False]


def test_a_column_of_another_type_fails_the_schema_and_a_further_column_does_not(spark: SparkSession) -> None:
    frame = frame_of(spark, EVENT_COLUMNS, [event()])
    assert failed(audited(frame.selectExpr("*", "1 AS more"), events_suite())) == set()
    narrow = frame.withColumn("watch_ms", frame["watch_ms"].cast("int"))
    assert the(audited(narrow, events_suite()), "schema").observed == "watch_ms is int, not bigint"


def test_an_expectation_that_raises_is_a_critical_failure_even_where_a_warning_was_meant(
    spark: SparkSession,
) -> None:
    columns = {**EVENT_COLUMNS, "latency_ms": "STRING"}
    results = audited(frame_of(spark, columns, [event(latency_ms="fast")]), events_suite())
    raised = the(results, "latency_ms_at_most_86400000")
    assert (raised.success, raised.severity, raised.unexpected_count) == (False, "critical", None)
    assert raised.details == "ColumnValuesBetween metrics cannot be computed on column of type StringType()."
    assert raised in failures(results)
    assert the(results, "watch_ms_at_least_0").success


def test_an_expectation_that_raises_in_spark_leaves_the_others_checked(spark: SparkSession) -> None:
    raising = Holds("raises", (("device", "CAST(device AS INT) > 0"),), ("device",), "warning")
    suite = replace(events_suite(), row_rules=(raising, NotNull("event_id"), NotNull("profile_id")))
    frame = frame_of(spark, EVENT_COLUMNS, [event(profile_id=None), event(later(1))])
    results = audited(frame, suite, [DAY, later(1)])
    assert failed(results) == {(DAY, "raises"), (later(1), "raises"), (DAY, "profile_id_not_null")}
    assert the(results, "event_id_not_null").details == "checked together: 2 days, 2026-03-05 to 2026-03-06"
    details = the(results, "raises").details or ""
    assert "CAST_INVALID_INPUT" in details
    assert "tv" not in details  # a row's value
    assert "\n" not in details


def test_a_failure_whose_day_is_not_found_is_never_lost(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "breaches", lambda *_: {})
    frame = frame_of(spark, EVENT_COLUMNS, [event(watch_ms=-1), event(later(1))])
    results = audited(frame, events_suite(), [DAY, later(1)])
    assert failed(results) == {(DAY, "watch_ms_at_least_0"), (later(1), "watch_ms_at_least_0")}


def test_the_run_id_is_that_of_the_rows_and_rules(spark: SparkSession) -> None:
    rows = [event(event_id=f"e{n}", profile_id=n) for n in range(3)]
    suite = events_suite()
    first = audited(frame_of(spark, EVENT_COLUMNS, rows), suite)
    assert audited(frame_of(spark, EVENT_COLUMNS, rows[::-1]), events_suite()) == first
    in_range = audited(frame_of(spark, EVENT_COLUMNS, [*rows, event(later(1))]), suite, [DAY, later(1)])
    assert {r.run_id for r in in_range if r.day == DAY} == {first[0].run_id}
    changed = audited(frame_of(spark, EVENT_COLUMNS, [*rows[:2], {**rows[2], "watch_ms": 1}]), suite)
    assert changed[0].run_id != first[0].run_id


def test_auditing_sends_nothing_to_the_network(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def local_only(self: socket.socket, address: Any) -> None:
        assert isinstance(address, str) or address[0] in LOCAL, address
        connect(self, address)

    def resolve(host: Any, *options: Any, **named: Any) -> Any:
        assert host in LOCAL, f"looked up {host}"
        return look_up(host, *options, **named)

    frame = frame_of(spark, EVENT_COLUMNS, [event(watch_ms=-1)])
    for cached in (audit_module._context, audit_module._spark_batches, audit_module._pandas_batches):
        cached.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert failed(audited(frame, events_suite())) == {(DAY, "watch_ms_at_least_0")}
    assert audit_module._context().config.analytics_enabled is False
