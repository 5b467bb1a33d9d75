"""Writing the rows that broke a rule to events_quarantine."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.tables import Tables
from metrics.rollup.landing import quarantined

# Events and exposures are ingested beside each other, and share the partitions of their days.
_ONE_AT_A_TIME = Lock()


def replace_quarantine(
    tables: Tables, kind: str, judged: Mapping[str, DataFrame], days: Sequence[date]
) -> None:
    """Replace the ingest days' rows of one kind of source ("events", "exposures") by the broken rows of `judged`.

    `judged`: frames of metrics.rollup.landing.judge by source name.
    """
    name = "events_quarantine"
    broken = [quarantined(frame, f"{kind}.{source}") for source, frame in judged.items()]
    with _ONE_AT_A_TIME:
        others = tables.read_days(name, days, "ingest_day").where(~F.col("source").startswith(f"{kind}."))
        if not broken and tables.read_days(name, days, "ingest_day").isEmpty():
            return
        tables.replace(name, reduce(DataFrame.unionByName, broken, others), {"ingest_day": days})
