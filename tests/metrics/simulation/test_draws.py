from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from scipy import stats

from metrics.simulation.draws import (
    choice,
    exponential,
    from_histogram,
    geometric,
    log_normal,
    named,
    normal,
    uniform,
)

N = 20_000


def draws(spark: SparkSession, column: Column) -> np.ndarray:
    return spark.range(N).select(column.alias("x")).toPandas()["x"].to_numpy()


def test_uniform_numbers_are_uniform_and_streams_and_seeds_are_unrelated(spark: SparkSession) -> None:
    columns = [uniform(1, "a", "id"), uniform(1, "b", "id"), uniform(2, "a", "id")]
    one, other, reseeded = spark.range(N).select(*columns).toPandas().to_numpy().T
    assert stats.kstest(one, "uniform").pvalue > 0.001
    assert one.min() > 0 and one.max() < 1
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(N)
    assert abs(np.corrcoef(one, reseeded)[0, 1]) < 4 / np.sqrt(N)


def test_a_draw_depends_on_the_value_of_an_id_and_not_on_its_type(spark: SparkSession) -> None:
    row = spark.range(7, 8).select(uniform(1, "a", "id"), uniform(1, "a", F.lit(7).cast("int"))).first()
    assert row is not None and row[0] == row[1]


@pytest.mark.parametrize(
    ("column", "cdf"),
    [
        (lambda: exponential(uniform(1, "e", "id")), stats.expon().cdf),
        (lambda: normal(1, "z", "id"), stats.norm().cdf),
        (lambda: log_normal(normal(1, "z", "id"), 0.6), stats.lognorm(0.6, scale=np.exp(-0.18)).cdf),
    ],
)
def test_draws_have_their_distribution(
    spark: SparkSession, column: Callable[[], Column], cdf: Callable[[np.ndarray], np.ndarray]
) -> None:
    assert stats.kstest(draws(spark, column()), cdf).pvalue > 0.001


def test_geometric_has_its_mean_and_variance_and_is_cut(spark: SparkSession) -> None:
    counts = draws(spark, geometric(uniform(1, "g", "id"), 2.0, 1000))
    assert counts.mean() == pytest.approx(2.0, abs=0.08)
    assert counts.var() == pytest.approx(2.0 * 3.0, rel=0.1)
    assert draws(spark, geometric(uniform(1, "g", "id"), 2.0, 3)).max() == 3


def test_a_larger_mean_never_lowers_a_geometric_draw(spark: SparkSession) -> None:
    u = uniform(1, "g", "id")
    fell = spark.range(N).where(geometric(u, 2.1, 1000) < geometric(u, 2.0, 1000))
    assert fell.count() == 0


def test_choices_come_as_often_as_their_weights(spark: SparkSession) -> None:
    weights = {"tv": 0.5, "web": 0.3, "ios": 0.2}
    names = draws(spark, named(weights, choice(uniform(1, "c", "id"), weights)))
    for name, weight in weights.items():
        assert np.mean(names == name) == pytest.approx(weight, abs=0.02)


def test_histogram_quantiles_give_back_the_histogram(spark: SparkSession) -> None:
    places = draws(spark, from_histogram(uniform(1, "h", "id"), [1, 3, 4]))
    shares = np.histogram(places, bins=3, range=(0, 1))[0] / N
    assert shares == pytest.approx([1 / 8, 3 / 8, 4 / 8], abs=0.02)
