"""Murmur3 bucketing, the same in Spark SQL and in plain Python, so that every service assigns alike.

bucket = pmod(hash(salt, unit id), 10000): Spark's `hash` of the salt, padded with spaces to a multiple of four
bytes (where it equals standard MurmurHash3 x86_32), chained into the hash of the BIGINT id, seed 42 (DESIGN §7).
"""

from collections.abc import Mapping
from itertools import accumulate

from pyspark.sql import Column
from pyspark.sql import functions as F

from metrics.configuration.experiment import BUCKETS

_SEED = 42
_MASK = 0xFFFFFFFF


def layer_salt(layer: str) -> str:
    return f"layer:{layer}"


def arm_salt(experiment_id: str, epoch: int = 0) -> str:
    """Another salt for each epoch: a restart draws anew."""
    return f"arm:{experiment_id}:{epoch}"


def bucket(salt: str, unit_id: int) -> int:
    """Bucket 0…9999 of a unit; `unit_id` is a signed 64-bit integer."""
    seed = murmur3(_padded(salt).encode(), _SEED)
    return _signed(murmur3(unit_id.to_bytes(8, "little", signed=True), seed)) % BUCKETS


def bucket_column(salt: str, unit_id: Column | str) -> Column:
    """The same as `bucket` for a BIGINT column."""
    column = F.col(unit_id) if isinstance(unit_id, str) else unit_id
    return F.pmod(F.hash(F.lit(_padded(salt)), column.cast("bigint")), F.lit(BUCKETS))


def arm_of(bucket_number: int, shares: Mapping[str, float]) -> str:
    """The first arm, in file order, whose cumulative share lies above the bucket."""
    return next(arm for arm, upper in _upper_bounds(shares).items() if bucket_number < upper)


def arm_column(bucket_number: Column, shares: Mapping[str, float]) -> Column:
    """The same as `arm_of` for a column."""
    bounds = _upper_bounds(shares)
    arms = [F.when(bucket_number < upper, F.lit(arm)) for arm, upper in bounds.items()]
    return F.coalesce(*arms)


def murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3 x86_32 (Appleby) of `data`, whose length is a multiple of four, as an unsigned integer."""
    state = seed
    for start in range(0, len(data), 4):
        word = int.from_bytes(data[start : start + 4], "little") * 0xCC9E2D51 & _MASK
        state ^= _rotate(word, 15) * 0x1B873593 & _MASK
        state = (_rotate(state, 13) * 5 + 0xE6546B64) & _MASK
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    return state ^ state >> 16


def _upper_bounds(shares: Mapping[str, float]) -> dict[str, float]:
    # Rounded to kill the rounding error of cumulative sums such as 0.1 + 0.2; the last arm takes what is left.
    cumulative = [round(BUCKETS * total, 6) for total in accumulate(shares.values())]
    return dict(zip(shares, [*cumulative[:-1], float(BUCKETS)], strict=True))


def _padded(salt: str) -> str:
    return salt + " " * (-len(salt.encode()) % 4)


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _MASK


def _signed(value: int) -> int:
    return value - (1 << 32) if value & 0x80000000 else value
