"""Options that make Spark's Java start quickly, for jobs, commands and tests; nothing heavy is imported here."""

import sys
from pathlib import Path

# A day on one machine is a minute of work, a command seconds, most of it start-up: compiling less costs a quarter less
# (measured at 20,000 profiles). With that alone the JVM keeps 48 MB for compiled code, which a day fills: the rest
# would be interpreted. A backfill gains nothing by it, and the jobs run by hand do not have it. The collector and the
# room for classes are those of conf/spark/laptop.conf, for commands that have no such file: a tenth of their time.
QUICK_START = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m "
    "-XX:+UseParallelGC -XX:NewRatio=1 -XX:MetaspaceSize=256m"
)
# Nothing is said of an archive that was made for another Java or class path.
SILENT_ARCHIVE = "-Xlog:cds=off -Xlog:cds+dynamic=off"


def archived_classes() -> str:
    """Use the classes that set-up archived (scripts/class_archive.py); empty where it made no archive."""
    archive = Path(sys.prefix) / "spark-classes.jsa"
    return f"-XX:SharedArchiveFile={archive} {SILENT_ARCHIVE}" if archive.is_file() else ""
