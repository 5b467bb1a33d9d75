"""Writing the rows that broke a rule to events_quarantine."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from threading import Lock
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.landing import DamagedFile
from jobs.tables import Tables
from metrics.rollup.landing import quarantined

# Events and exposures are ingested beside each other, and share the partitions of their days.
_ONE_AT_A_TIME = Lock()


def replace_quarantine(
    tables: Tables,
    kind: str,
    judged: Mapping[str, DataFrame],
    damaged: Sequence[DamagedFile],
    days: Sequence[date],
) -> None:
    """Replace the ingest days' rows of one kind of source ("events", "exposures") by what of them was not loaded.

    `judged`: frames of metrics.rollup.landing.judge by source name, of which the broken rows are taken. A damaged file
    is one row, of number -1 and without a raw row.
    """
    name = "events_quarantine"
    broken = [quarantined(frame, f"{kind}.{source}") for source, frame in judged.items()]
    broken += [tables.frame(name, [_file_row(kind, file) for file in damaged])] if damaged else []
    with _ONE_AT_A_TIME:
        others = tables.read_days(name, days, "ingest_day").where(~F.col("source").startswith(f"{kind}."))
        if not broken and tables.read_days(name, days, "ingest_day").isEmpty():
            return
        tables.replace(name, reduce(DataFrame.unionByName, broken, others), {"ingest_day": days})


def _file_row(kind: str, file: DamagedFile) -> dict[str, Any]:
    return {
        "source": f"{kind}.{file.source}",
        "source_file": file.path,
        "row": -1,
        "ingest_day": file.ingest_day,
        "reasons": ["damaged_file"],
        "raw": None,
        "replayed_on": None,
    }
