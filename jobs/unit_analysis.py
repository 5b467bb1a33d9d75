"""The analysis of one file of units, as `watchlift analyze` prints it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.tables import code_version
from metrics.configuration.units import UnitExperiment, UnitFile, raw_name
from metrics.errors import InputError
from metrics.readout.document import jsonable
from metrics.rollup.units import refuse_repeats, typed_units, unit_windows
from metrics.rows import Estimate, InteractionRow, SrmCheck
from metrics.statistics.analysis import estimate
from metrics.statistics.srm_checks import srm_checks

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class UnitAnalysis:
    estimates: tuple[Estimate, ...]
    srm_checks: tuple[SrmCheck, ...]
    interactions: tuple[InteractionRow, ...]


def analyze_units(spark: SparkSession, experiment: UnitExperiment, replicates: int = 0) -> UnitAnalysis:
    """Every estimate, sample-ratio check and interaction test of the file. Raises InputError for a faulty file."""
    typed = typed_units(read_units(spark, experiment.file), experiment).persist()
    try:
        with _rows_as_long_as_the_header(experiment.file):
            windows = unit_windows(typed, experiment)
        design, catalogue = experiment.design, experiment.catalogue
        # Beside each other: of a file of ordinary size Spark's planning takes longer than its rows do.
        with ThreadPoolExecutor() as pool:
            single = pool.submit(refuse_repeats, typed, experiment)
            ratios = pool.submit(_sample_ratios, windows, experiment)
            estimated = pool.submit(estimate, windows, design, catalogue, None, replicates=replicates)
        single.result()
        analysis, checks = estimated.result(), ratios.result()
        if any(check.triggered for check in checks):
            analysis = analysis.blocked()
    finally:
        typed.unpersist()
    rows = tuple(_identified(row, experiment, analysis.input_version) for row in analysis.estimates)
    return UnitAnalysis(rows, checks, analysis.interactions)


def read_units(spark: SparkSession, file: UnitFile) -> DataFrame:
    """The file's rows; a CSV's fields as texts. Raises InputError where there is none."""
    if "://" not in file.path and not Path(file.path).exists():
        raise InputError(
            f"source.path: no such file '{file.path}'; paths start at the specification's folder"
        )
    try:
        if file.format == "csv":
            separator = "\t" if ".tsv" in Path(file.path).suffixes else ","
            # All columns are parsed, also those that nobody asks for: so a row of too few or too many fields is seen.
            strict = spark.read.options(mode="FAILFAST", columnPruning=False)
            return strict.csv(file.path, header=True, sep=separator, escape='"')
        return spark.read.format(file.format).load(file.path)
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"{file.path} cannot be read as {file.format}: {reason_of(error)}; correct source.path or source.format"
        ) from None


def reason_of(error: PySparkException | Py4JJavaError) -> str:
    """Spark's own first line."""
    told = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
    return str(told).splitlines()[0]


@contextmanager
def _rows_as_long_as_the_header(file: UnitFile) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:  # unit_windows looks at all rows
        if "MALFORMED_RECORD_IN_PARSING" not in str(error):
            raise
        raise InputError(
            f"{file.path}: a row has more or fewer fields than the header; correct it, or write Parquet if a field "
            "holds line breaks"
        ) from None


def as_document(analysis: UnitAnalysis) -> dict[str, Any]:
    """Rows of `estimates`, `srm_checks` and `interactions`, with null where there is no number (or, here, no time)."""
    document: dict[str, Any] = jsonable(analysis)
    for check in document["srm_checks"]:
        check["window_end"] = None
    return document


def _sample_ratios(windows: DataFrame, experiment: UnitExperiment) -> tuple[SrmCheck, ...]:
    """Cumulative checks; a file has no times, so they are all one."""
    exposed = windows.withColumn("exposed_at", F.lit(_ANY_TIME))
    clustered = experiment.file.cluster is not None
    return srm_checks(
        exposed, experiment.design, _ANY_TIME + timedelta(1), kinds=(), has_households=clustered
    )


def _identified(row: Estimate, experiment: UnitExperiment, input_version: str) -> Estimate:
    dropped = tuple(raw_name(name) for name in row.dropped_covariates or ())
    return replace(
        row,
        dropped_covariates=dropped,
        spec_hash=experiment.design.spec_hash,
        input_version=input_version,
        code_version=code_version(),
    )
