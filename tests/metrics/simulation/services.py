"""Small simulated services for the tests."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from metrics.checksum import checksum
from metrics.configuration.catalogue import Catalogue, load_catalogue
from metrics.configuration.experiment import Experiment, load_experiment
from metrics.simulation.events import events
from metrics.simulation.exposures import assigned, exposure_log, participants, visits
from metrics.simulation.population import profiles
from metrics.simulation.settings import Settings, epoch_day

CONF = Path(__file__).resolve().parents[3] / "conf"
CATALOGUE: Catalogue = load_catalogue(CONF / "metrics.yml")
EXPERIMENT: Experiment = load_experiment(CONF / "experiments" / "homepage_ranking.yml", CATALOGUE)
BASE = Settings(profiles=600, first_day=date(2026, 2, 23), days=14, seed=11, exposed_share=1.0)


@dataclass(frozen=True)
class ServiceFrames:
    """Every frame of one simulation, made on demand and kept."""

    spark: SparkSession
    settings: Settings
    experiment: Experiment = EXPERIMENT
    partitions: int = 2

    @cached_property
    def population(self) -> DataFrame:
        total = self.settings.profiles + self.settings.bots
        return profiles(self.spark.range(0, total, 1, self.partitions), self.settings)

    @cached_property
    def visits(self) -> DataFrame:
        return visits(self.assigned, self.experiment, self.settings).persist()

    @cached_property
    def assigned(self) -> DataFrame:
        return assigned(self.population, self.experiment, self.settings)

    @cached_property
    def joined(self) -> DataFrame:
        joined = participants(self.assigned, self.visits, self.experiment, self.settings)
        return joined.repartition(self.partitions, "profile_id").persist()

    @cached_property
    def log(self) -> DataFrame:
        return exposure_log(self.joined, self.visits, self.experiment, self.settings).persist()

    @cached_property
    def events(self) -> DataFrame:
        return self._events(self.joined, "arm").persist()

    def lived_in(self, arm: str) -> DataFrame:
        """The events of a world where everybody is in one arm."""
        return self._events(self.joined.withColumn("lived", F.lit(arm)), "lived")

    def _events(self, joined: DataFrame, arm: str) -> DataFrame:
        first_day = epoch_day(self.settings.first_day)
        return events(joined, self.settings, arm, self.experiment.control, first_day)


def service(spark: SparkSession, partitions: int = 2, **overrides: Any) -> ServiceFrames:
    return ServiceFrames(spark, replace(BASE, **overrides), partitions=partitions)


def fingerprint(frame: DataFrame) -> str:
    """Equal for equal rows in any order; no column may be a map."""
    row = frame.agg(checksum(frame.columns).alias("sum")).first()
    assert row is not None
    return str(row["sum"])
