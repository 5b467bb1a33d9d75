"""An order-free fingerprint of rows: the `input_version` of what was computed from them (DESIGN §3)."""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


def checksum(columns: Sequence[str]) -> Column:
    """Aggregate over rows: their number and the XOR of their hashes, such as `20000-9f3c...`; no column is a map."""
    pattern = F.bit_xor(F.xxhash64(*(F.col(f"`{name}`") for name in columns)))
    return F.concat_ws("-", F.count(F.lit(1)).cast("string"), F.lower(F.hex(F.coalesce(pattern, F.lit(0)))))
