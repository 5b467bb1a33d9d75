import pytest
from pyspark.sql import SparkSession

from tests.metrics.simulation.services import ServiceFrames, service


@pytest.fixture(scope="session")
def plain(spark: SparkSession) -> ServiceFrames:
    """A service without faults."""
    return service(spark)
