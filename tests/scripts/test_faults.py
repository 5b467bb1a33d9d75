"""The fault harness at a small size: it finds what is wrong, and nothing is wrong after these faults."""

import pytest
from pyspark.sql import SparkSession

from scripts.faults.comparison import Difference, difference
from scripts.faults.kills import kill_drivers
from scripts.faults.outcome import report
from scripts.faults.service import Service, make_service

pytestmark = [pytest.mark.spark, pytest.mark.slow]
JOBS = ("run_day", "run_experiments")


@pytest.fixture(scope="module")
def service(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Service:
    return make_service(spark, tmp_path_factory.mktemp("faults"), profiles=60)


def test_a_lost_and_a_doubled_row_are_found(service: Service) -> None:
    tables, clean = service.copy("loaded", "found"), service.tables("loaded")
    assert not difference(tables, clean)
    seen = [row["profile_id"] for row in tables.read("exposures").collect()]
    tables.delete("exposures", f"profile_id = {seen[0]}")
    rows = tables.read("profiles").limit(2).localCheckpoint()
    rows.writeTo(tables.project.tables.identifier("profiles")).append()
    assert difference(tables, clean) == Difference(
        lost={"exposures": seen.count(seen[0])}, doubled={"profiles": 2}
    )


def test_drivers_killed_at_random_moments_leave_the_tables_as_they_should_be(service: Service) -> None:
    outcomes = list(kill_drivers(service, kills=1, jobs=JOBS))
    assert len(outcomes) == len(JOBS)
    assert all(outcome.is_clean for outcome in outcomes), report(outcomes)
    assert all(": 1 kills" in outcome.fault for outcome in outcomes), report(outcomes)
