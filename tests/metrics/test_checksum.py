from pyspark.sql import DataFrame, SparkSession

from metrics.checksum import checksum

SCHEMA = "id BIGINT, value DOUBLE, day DATE"


def version(frame: DataFrame) -> str:
    return str(frame.agg(checksum(frame.columns)).collect()[0][0])


def test_follows_the_rows_and_not_their_order(spark: SparkSession) -> None:
    rows = [(1, 0.5, None), (2, None, None), (3, 2.5, None)]
    whole = version(spark.createDataFrame(rows, SCHEMA))
    assert whole == version(spark.createDataFrame(rows[::-1], SCHEMA).repartition(3))
    assert whole.startswith("3-")
    assert whole != version(spark.createDataFrame([*rows[:2], (3, 2.4, None)], SCHEMA))
    assert version(spark.createDataFrame([], SCHEMA)) == "0-0"
