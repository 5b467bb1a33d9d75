import json
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from metrics.bucketing import arm_column, arm_of, bucket, bucket_column, murmur3


def reference(shared: Path, name: str) -> list[dict[str, object]]:
    cases = json.loads((shared / "reference" / "cases.json").read_text())
    return next(case["expected"]["rows"] for case in cases if case["name"] == name)


def test_murmur3_of_longs_is_the_reference_s(shared: Path) -> None:
    for row in reference(shared, "murmur3_longs"):
        data = int(str(row["long"])).to_bytes(8, "little", signed=True)
        assert murmur3(data, int(str(row["seed"]))) == int(str(row["hash"])) % 2**32


def test_murmur3_of_whole_words_is_the_reference_s(shared: Path) -> None:
    rows = [r for r in reference(shared, "murmur3_strings") if int(str(r["utf8_length"])) % 4 == 0]
    assert rows
    for row in rows:
        standard = int(str(row["murmur3_standard"])) % 2**32
        assert murmur3(str(row["string"]).encode(), int(str(row["seed"]))) == standard


def test_spark_and_python_agree_for_any_salt_and_id(spark: SparkSession) -> None:
    ids = [0, 1, -1, 42, 10**12, 2**63 - 1, -(2**63)]
    for salt in ("", "a", "layer:homepage", "arm:homepage_ranking:0", "früh"):
        frame = spark.createDataFrame([(i,) for i in ids], "id BIGINT").select(bucket_column(salt, "id"))
        assert [row[0] for row in frame.collect()] == [bucket(salt, i) for i in ids]


def test_an_arm_is_the_first_whose_cumulative_share_lies_above(spark: SparkSession) -> None:
    shares = {"control": 0.1, "a": 0.2, "b": 0.7}
    expected = {0: "control", 999: "control", 1000: "a", 2999: "a", 3000: "b", 9999: "b"}
    assert {number: arm_of(number, shares) for number in expected} == expected
    frame = spark.createDataFrame([(n,) for n in expected], "n INT").select(arm_column(F.col("n"), shares))
    assert [row[0] for row in frame.collect()] == list(expected.values())
