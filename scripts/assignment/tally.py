"""Ids in chunks through both functions: where they disagree, and how many ids fall into which bucket."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, repeat
from operator import add

import numpy as np
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from metrics.bucketing import BUCKETS, arm_salt, bucket, bucket_column, layer_salt
from metrics.statistics.moments import Integers

# Their lengths are 0, 1, 2 and 3 bytes above whole words of four, to which salts are padded.
SALTS = (
    *(layer_salt(layer) for layer in ("homepage", "search", "früh")),
    *(arm_salt("homepage_ranking", epoch) for epoch in (0, 1)),
    arm_salt("top_ten"),
)
PAIRS = tuple(combinations(range(len(SALTS)), 2))
# Percentiles of the buckets: of two salts, their joint counts are tested for independence.
CELLS = 100
CONSECUTIVE, RANDOM, EDGES = "consecutive", "random", "edge"
# 0, −1, and both ends of what fits into 2, 3, … 64 bits.
EDGE_IDS = [n for bits in range(64) for n in (2**bits - 1, -(2**bits))]
CHUNK = 500_000


@dataclass(frozen=True)
class Functions:
    """What is compared: the column of a bucket and the plain function, each of salt and id."""

    column: Callable[[str, str], Column] = bucket_column
    plain: Callable[[str, int], int] = bucket


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over ids, which add. disagreements: ids that Spark puts elsewhere, by salt, (S,). counts: by salt and plain
    Python's bucket, (S, BUCKETS). joint: by pair of salts and both percentiles, (P, CELLS, CELLS).
    """

    ids: int
    disagreements: Integers
    counts: Integers
    joint: Integers

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.ids + other.ids,
            self.disagreements + other.disagreements,
            self.counts + other.counts,
            self.joint + other.joint,
        )


# Applies a function to iterables, as `map` or the map of a pool of processes.
Mapper = Callable[..., Iterable[Integers]]


def examine(
    spark: SparkSession,
    ids: int,
    seed: int,
    functions: Functions,
    mapper: Mapper = map,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Tally]:
    """By kind of ids: so many in all, half of them consecutive and half random, and the edges."""

    def tallies(kind: str, frames: Iterable[DataFrame]) -> Iterator[Tally]:
        for number, frame in enumerate(frames, start=1):
            say(f"{kind} ids, chunk {number}")
            yield tally(frame, functions, mapper)

    return {kind: reduce(add, tallies(kind, frames)) for kind, frames in chunks(spark, ids, seed).items()}


def chunks(spark: SparkSession, ids: int, seed: int) -> dict[str, Iterator[DataFrame]]:
    """By kind, frames of `id`. Consecutive ids are from 0, as a service hands them out.

    Random ids are xxHash64 of seed and number: 64 bits by another function than the one examined, and none comes twice.
    """
    half = ids // 2
    parts = [(first, min(first + CHUNK, half)) for first in range(0, half, CHUNK)]
    drawn = F.xxhash64(F.lit(seed), "id").alias("id")
    return {
        CONSECUTIVE: (spark.range(*part) for part in parts),
        RANDOM: (spark.range(*part).select(drawn) for part in parts),
        EDGES: iter([spark.createDataFrame([(n,) for n in EDGE_IDS], "id BIGINT")]),
    }


def tally(frame: DataFrame, functions: Functions, mapper: Mapper) -> Tally:
    """Collects the frame, which is one chunk."""
    columns = [functions.column(salt, "id").alias(salt) for salt in SALTS]
    chunk = frame.select("id", *columns).toArrow()
    ids = chunk["id"].to_numpy()
    found = np.stack([chunk[salt].to_numpy() for salt in SALTS])
    plain = np.stack(list(mapper(plain_buckets, repeat(functions.plain), SALTS, repeat(ids))))
    return counted(found, plain)


def counted(in_spark: Integers, plain: Integers) -> Tally:
    """The tally of buckets by salt and id, (S, ids)."""
    cells = plain * CELLS // BUCKETS
    return Tally(
        ids=plain.shape[1],
        disagreements=(in_spark != plain).sum(axis=1),
        counts=np.stack([np.bincount(each, minlength=BUCKETS) for each in plain]),
        joint=np.stack([_joint(cells[a], cells[b]) for a, b in PAIRS]),
    )


def plain_buckets(plain: Callable[[str, int], int], salt: str, ids: Integers) -> Integers:
    return np.array([plain(salt, unit_id) for unit_id in ids.tolist()])


def _joint(a: Integers, b: Integers) -> Integers:
    return np.bincount(a * CELLS + b, minlength=CELLS * CELLS).reshape(CELLS, CELLS)
