"""An experiment registered from days of one's own making: the worked example, from raw days to the table `power`."""

from datetime import date

import pytest
from pyspark.sql import functions as F

from jobs.arguments import Days
from jobs.registration import register
from jobs.tables import Tables
from metrics.looks import looks_planned
from metrics.power import Design, units_for_mean

FIRST, LAST = date(2026, 2, 23), date(2026, 3, 1)  # one window before the start on 2026-03-02
# Of 4,000 profiles 1,055 play not at all, 2,129 twice and 816 nine times: mean 2.9, sd 3.2.
TWICE, OFTEN, N = 2_129, 816, 4_000


def history(tables: Tables) -> None:
    """All are active on the first day; one comes on each of the others, too, of which plays were not counted."""
    place = F.col("profile_id")
    plays = F.when(place < TWICE, 2).when(place < TWICE + OFTEN, 9).otherwise(0)
    first = tables.spark.range(N).select(F.lit(FIRST).alias("day"), F.col("id").alias("profile_id"))
    later = tables.spark.range(1, 7).select(F.date_add(F.lit(FIRST), F.col("id").cast("int")), F.lit(N - 1))
    days = first.union(later).withColumns(
        {"household_id": F.col("profile_id"), "play_starts": F.when(F.col("day") == F.lit(FIRST), plays)}
    )
    columns = tables.declared["profile_days"].columns
    known = {name: F.col(name) if name in days.columns else F.lit(0) for name in columns}
    frame = days.select(
        *(known[name].cast(columns[name].removesuffix(" NOT NULL")).alias(name) for name in columns)
    )
    tables.replace("profile_days", frame, {"day": Days(FIRST, LAST).all})


@pytest.mark.slow
def test_the_worked_example_from_days_with_its_mean_and_sd(tables: Tables) -> None:
    history(tables)
    experiment, catalogue = tables.project.experiments[0], tables.project.catalogue
    rows = {(row.metric, row.stratum): row for row in register(tables, experiment)}
    row = rows["play_starts_7d", "all"]
    assert (row.baseline_mean, row.baseline_sd) == pytest.approx((2.9, 3.2), rel=1e-3)
    looks = looks_planned(experiment, catalogue.metrics["play_starts_7d"], catalogue)
    inflation = units_for_mean(Design(looks=looks), 2.9, 3.2, 0.01).factors.inflation
    assert row.n_per_arm is not None
    assert row.n_per_arm / inflation == pytest.approx(191_136, rel=0.01)
    # Its plays of seven days are unknown, its minutes are not: each metric has a population of its own.
    assert "no_variance" in (rows["watch_minutes_7d", "all"].assumptions or "")
