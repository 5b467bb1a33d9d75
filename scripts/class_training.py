"""What the class archive is trained on: reading JSON lines, aggregating, and writing and merging Delta tables."""

import json
import sys
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import functions as F

from jobs.session import spark_session


def main(folder: str) -> None:
    landing, table = Path(folder) / "landing.json", str(Path(folder) / "table")
    landing.write_text("\n".join(json.dumps({"id": n, "at": "2026-03-01T00:00:00Z"}) for n in range(100)))
    with spark_session("class-training") as spark:
        rows = spark.read.schema("id BIGINT, at STRING").json(str(landing))
        day, group = F.to_date(F.try_to_timestamp("at")).alias("day"), (F.col("id") % 7).alias("group")
        days = rows.select("id", day, group).groupBy("day", "group").agg(F.sum("id").alias("total"))
        writer = days.write.format("delta").mode("overwrite").partitionBy("day")
        writer.save(table)
        writer.option("replaceWhere", "day = '2026-03-01'").save(table)
        stored = DeltaTable.forPath(spark, table).alias("t")
        merge = stored.merge(days.alias("s"), "t.day = '2026-03-01' AND t.group = s.group")
        merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
        spark.read.format("delta").load(table).join(days, ["day", "group"]).orderBy("group").toArrow()


if __name__ == "__main__":
    main(sys.argv[1])
