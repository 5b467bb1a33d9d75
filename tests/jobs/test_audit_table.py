from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import audit_table
from jobs.audit_suites import AUDITED, floors_of, suite_of
from jobs.audit_table import RESULTS, AuditFailed, audit_days, audit_tables
from jobs.tables import Tables
from metrics.configuration.project import load_project
from metrics.errors import InputError
from metrics.schemas import declared_tables
from tests.jobs.conftest import CONF

DAY = date(2026, 3, 3)
NEXT = DAY + timedelta(days=1)


def write_profile_days(tables: Tables, *rows: tuple[date, int, float]) -> None:
    """Rows of (day, profile_id, active); the other measures are 0, as on a day without events."""
    frame = tables.spark.createDataFrame(list(rows), "day DATE, profile_id BIGINT, value DOUBLE")
    catalogue = tables.project.catalogue
    measures = [f"{'value' if name == 'active' else '0D'} AS {name}" for name in catalogue.measures]
    written = frame.selectExpr("day", "profile_id", "1L AS household_id", *measures)
    tables.replace("profile_days", written, {"day": sorted({day for day, _, _ in rows})})


def recorded(tables: Tables, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in tables.read(RESULTS).select(*columns).collect()), key=repr)


def test_results_are_recorded_and_a_second_run_leaves_the_same(
    tables: Tables, content: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    write_profile_days(tables, (DAY, 1, 2.0), (NEXT, 1, 2.0), (NEXT, 2, 2.0))
    results = audit_days(tables, "profile_days", [NEXT, DAY])
    first = content(RESULTS)
    assert len(first) == len(results) == 2 * len(suite_of("profile_days", tables.project).rules)
    assert {(row[0], row[1], row[5]) for row in first} == {
        ("profile_days", DAY, True),
        ("profile_days", NEXT, True),
    }
    audit_days(tables, "profile_days", [DAY, NEXT])
    assert content(RESULTS) == first


def test_a_critical_failure_is_recorded_and_then_raised_in_one_line(tables: Tables) -> None:
    write_profile_days(tables, (DAY, 1, 2.0), (NEXT, 1, float("nan")), (NEXT, 1, 2.0))
    with pytest.raises(AuditFailed) as raised:
        audit_days(tables, "profile_days", [DAY, NEXT])
    assert str(raised.value) == (
        "table profile_days, day 2026-03-04: expectation key_unique failed: 1 duplicate rows; "
        "expected one row for each key (1 more in data_quality_results); correct the measure in conf/metrics.yml, "
        "then run roll_up_profile_days --day 2026-03-04 again"
    )
    broken = tables.read(RESULTS).where("NOT success")
    assert sorted((row["day"], row["expectation"]) for row in broken.collect()) == [
        (NEXT, "key_unique"),
        (NEXT, "measures_finite"),
    ]


def test_a_warning_is_recorded_and_does_not_raise(tables: Tables) -> None:
    write_profile_days(tables, (DAY, 1, -1.0))
    audit_days(tables, "profile_days", [DAY])
    assert ("measures_not_negative", "warning", False) in recorded(
        tables, "expectation", "severity", "success"
    )


def test_rows_are_compared_with_the_days_that_were_audited_before(tables: Tables) -> None:
    before = [DAY - timedelta(days=back) for back in (1, 2, 3)]
    write_profile_days(tables, *((day, n, 1.0) for day in before for n in range(4)), (DAY, 1, 1.0))
    audit_days(tables, "profile_days", before)
    audit_days(tables, "profile_days", [DAY])
    assert ("rows_usual", False, "0.250") in recorded(tables, "expectation", "success", "observed")


def test_a_day_that_was_due_once_is_due_when_late_rows_touch_it(tables: Tables) -> None:
    write_profile_days(tables, (DAY, 1, 1.0))
    audit_tables(tables, ["profile_days"], [DAY - timedelta(days=1), DAY], due=[DAY])
    audit_tables(
        tables, ["profile_days"], [DAY - timedelta(days=1), DAY, NEXT], due=[NEXT + timedelta(days=1)]
    )
    floors = {
        row[0]: row[2] for row in recorded(tables, "day", "expectation", "observed") if "floor" in row[1]
    }
    assert floors == {
        DAY - timedelta(days=1): "0 rows, floor 0",
        DAY: "1 rows, floor 1",
        NEXT: "0 rows, floor 0",
    }


def test_other_days_and_tables_keep_their_results(tables: Tables) -> None:
    write_profile_days(tables, (DAY, 1, 1.0), (NEXT, 1, 1.0))
    audit_days(tables, "profile_days", [DAY])
    audit_days(tables, "profile_days", [NEXT])
    audit_days(tables, "exposures", [DAY])
    held = {(row[0], row[1]) for row in recorded(tables, "table", "day")}
    assert held == {("profile_days", DAY), ("profile_days", NEXT), ("exposures", DAY)}


def test_several_tables_are_all_recorded_before_one_of_them_raises(tables: Tables) -> None:
    write_profile_days(tables, (NEXT, 1, 1.0))
    with pytest.raises(AuditFailed, match=r"table profile_days, day 2026-03-03: .*rows_at_least_floor"):
        audit_tables(tables, ["profile_days", "exposures", "profiles"], [DAY, NEXT])
    assert {(row[0], row[1]) for row in recorded(tables, "table", "day")} == {
        *((name, day) for name in ("profile_days", "exposures") for day in (DAY, NEXT)),
        ("profiles", NEXT),
    }


def test_an_empty_snapshot_is_audited_as_of_the_last_day(tables: Tables) -> None:
    with pytest.raises(AuditFailed, match=r"table profiles, day 2026-03-04: .*rows_at_least_floor .*0 rows"):
        audit_days(tables, "profiles", [DAY, NEXT])
    assert {row[0] for row in recorded(tables, "day")} == {NEXT}


def test_the_job_exits_with_0_or_1_and_one_line(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def shared_session(_: str) -> Iterator[SparkSession]:
        yield tables.spark

    monkeypatch.setattr(audit_table, "spark_session", shared_session)
    write_profile_days(tables, (DAY, 1, 1.0), (NEXT, 1, float("inf")))
    place = ["--conf-dir", str(CONF), "--data-dir", str(tables.project.data_dir), "--table", "profile_days"]
    assert audit_table.main([*place, "--day", "2026-03-03"]) == 0
    assert audit_table.main([*place, "--from", "2026-03-03", "--to", "2026-03-04"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "measures_finite failed" in errors[0]
    assert audit_table.main(place) == 2


@pytest.mark.parametrize("name", AUDITED)
def test_every_suite_reads_columns_that_its_table_declares(name: str) -> None:
    project = load_project(CONF, Path("data"))
    suite, table = suite_of(name, project), declared_tables(project.catalogue)[name]
    assert set(suite.columns_read) <= set(table.columns)
    assert suite.key == table.key
    assert suite.day_column is None or suite.day_column in table.partitioned_by
    assert len({rule.name for rule in suite.rules}) == len(suite.rules)


def test_a_table_without_an_audit_is_refused() -> None:
    with pytest.raises(InputError, match="table 'moments' has no audit; choose one of events, "):
        suite_of("moments", load_project(CONF, Path("data")))


def test_exposures_are_due_only_while_an_experiment_enrols() -> None:
    project = load_project(CONF, Path("data"))
    (experiment,) = project.experiments
    first, last = experiment.start, experiment.last_enrollment_day
    days: Sequence[date] = [first - timedelta(days=1), first, last, last + timedelta(days=1)]
    assert list(floors_of("exposures", project, days, [(first, last)]).values()) == [0, 1, 1, 0]
    assert list(floors_of("events", project, days, [(first, last)]).values()) == [1, 1, 1, 1]
