from collections import Counter
from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from metrics import histogram as h


def binned(spark: SparkSession, values: Sequence[float | None]) -> list[int | None]:
    frame = spark.createDataFrame([(i, value) for i, value in enumerate(values)], "id INT, value DOUBLE")
    rows = frame.select("id", h.bin_of(F.col("value")).alias("bin")).collect()
    return [row["bin"] for row in sorted(rows)]


def read(row: Row, name: str) -> dict[int, int]:
    return {each["bin"]: each["events"] for each in row[name]}


def test_a_bins_middle_is_within_a_seven_hundredth_of_each_of_its_values(spark: SparkSession) -> None:
    values = np.random.default_rng(2).lognormal(6, 4, 4_000)
    bins = np.array(binned(spark, values.tolist()))
    assert np.abs(h.middles(bins) / values - 1).max() < 1 / 700
    assert (np.diff(bins[np.argsort(values)]) >= 0).all()


def test_powers_of_two_begin_their_bins_and_zero_has_its_own(spark: SparkSession) -> None:
    powers = [float(2**n) for n in range(-20, 41)]
    assert binned(spark, powers) == [h.BINS_PER_DOUBLING * n for n in range(-20, 41)]
    assert binned(spark, [0.0, -3.0, None, float("nan"), float("inf")]) == [
        h.ZERO_BIN,
        h.ZERO_BIN,
        None,
        None,
        None,
    ]
    assert h.middles(np.array([h.ZERO_BIN])).tolist() == [0.0]


def test_histograms_of_parts_add_up_to_that_of_all(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    rows = [
        (int(day), int(profile), float(value), None if value > 300 else float(value) + 1)
        for day, profile, value in zip(
            random.integers(0, 3, 600), random.integers(0, 4, 600), random.gamma(1, 99, 600), strict=True
        )
    ]
    events = spark.createDataFrame(rows, "day INT, profile INT, delay DOUBLE, render DOUBLE")
    values = {"delay": F.col("delay"), "render": F.col("render")}
    by_day = h.counted(events, ["day", "profile"], values)
    together = h.counted(events, ["profile"], values).orderBy("profile").collect()
    summed = h.added_up(by_day.orderBy(F.rand(3)), ["profile"], values).orderBy("profile").collect()
    assert summed == together
    expected = Counter(binned(spark, [row[3] for row in rows if row[1] == 2 and row[3] is not None]))
    assert read(together[2], "render") == expected
    counts = by_day.select(h.n_events(F.col("delay")).alias("n")).agg(F.sum("n")).first()
    assert counts == Row(n=600.0)


def test_an_unknown_histogram_adds_nothing_and_its_number_is_unknown(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, None), (1, [(5, 2)]), (2, None)], f"profile INT, delay {h.SQL_TYPE}")
    added = h.added_up(rows, ["profile"], {"delay": F.col("delay")})
    assert {row["profile"]: read(row, "delay") for row in added.collect()} == {1: {5: 2}}
    assert sorted(numbers(rows), key=str) == [2.0, None, None]
    assert numbers(spark.range(1).select(h.empty().alias("delay"))) == [0.0]


def numbers(rows: DataFrame) -> list[float | None]:
    return [row["n"] for row in rows.select(h.n_events(F.col("delay")).alias("n")).collect()]
