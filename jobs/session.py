"""The only place that builds a Spark session. Sizes come from conf/spark/*.conf; what results rest on is set here,
but for how landing files are cut (jobs/landing.py)."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # Rows that lie by profile are joined by more than their profile where they lie.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    # Eight bytes, with statistics; what Spark writes otherwise is an older type of twelve, which is dearer to read.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


@contextmanager
def spark_session(name: str) -> Iterator[SparkSession]:
    """A session for one application, stopped at its end."""
    builder = SparkSession.builder.appName(name)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    # What is loaded by now stays to the end, so that collections need not look at it: statsmodels asks for one, a tenth
    # of a second each, whenever it adjusts p-values.
    gc.freeze()
    try:
        yield spark
    finally:
        spark.stop()
