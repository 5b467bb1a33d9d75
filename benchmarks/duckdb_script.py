"""What the steps of the DuckDB script share: where its rows come from and go to, and how they are checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.duckdb_roll_up import files_of
from jobs.arguments import Days
from jobs.tables import Tables
from metrics.configuration.catalogue import Metric
from metrics.configuration.experiment import Experiment

# What is asked of single rows' company, such as whether keys repeat, is asked of so many rows, as the product does.
SAMPLED_ROWS = 200_000
# A share of the rows.
_FEW = 0.1


@dataclass(frozen=True)
class Script:
    """One day of it. `before`: the tables with the days before; what it makes goes to `folder`."""

    database: duckdb.DuckDBPyConnection
    before: Tables
    landing: Path
    folder: Path
    day: date

    @property
    def experiment(self) -> Experiment:
        return self.before.project.experiments[0]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.experiment.metrics(self.before.project.catalogue)

    def landed(self, kind: str) -> str:
        """The files of a kind that landed on the day, with where each row came from."""
        files = self.landing / kind / f"ingest_day={self.day}" / "**" / "*.parquet"
        return f"read_parquet('{files}', filename = true, file_row_number = true, hive_partitioning = false)"

    def made(self, name: str) -> str:
        return f"'{self.folder / name}.parquet'"

    def history(self, name: str) -> str:
        """A table's rows of the days before, by the day in their files' paths."""
        days = [day for day in Days(self.experiment.first_covariate_day, self.day).all if day < self.day]
        return f"read_parquet({files_of(self.before, name, *days)}, hive_partitioning = true)"

    def run(self, sql: str) -> None:
        self.database.execute(sql)

    def write(self, name: str, rows: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run(f"COPY ({rows}) TO {self.made(name)} (COMPRESSION zstd)")

    def one(self, sql: str) -> tuple[Any, ...]:
        row = self.database.execute(sql).fetchone()
        assert row is not None  # an aggregate always gives one
        return row

    def refuse(self, name: str, rules: Mapping[str, str], few: Mapping[str, str] | None = None) -> None:
        """Raises AssertionError if there are no rows, or some that are as a rule says; of `few`, a tenth."""
        both = {**rules, **(few or {})}
        counts = ", ".join(f"count_if({rule})" for rule in both.values())
        rows, *found = self.one(f"SELECT count(*), {counts} FROM {self.made(name)}")
        for rule, n in zip(both, found, strict=True):
            if n > (_FEW * rows if rule in (few or {}) else 0):
                raise AssertionError(f"{name}: {n} of {rows} rows break {rule}")
        if not rows:
            raise AssertionError(f"{name} has no rows")

    def sampled(self, name: str) -> str:
        """All rows of some of the profiles."""
        (rows,) = self.one(f"SELECT count(*) FROM {self.made(name)}")
        one_in = max(1, math.ceil(rows / SAMPLED_ROWS))
        return f"(SELECT * FROM {self.made(name)} WHERE hash(profile_id) % {one_in} = 0)"

    def refuse_repeats(self, name: str, key: str) -> None:
        sql = f"SELECT count(*), count(DISTINCT hash({key})) FROM {self.sampled(name)}"
        rows, distinct = self.one(sql)
        if rows > distinct:
            raise AssertionError(f"{name}: {rows - distinct} rows repeat {key}")


def null(*columns: str) -> dict[str, str]:
    """The rule that says of each column that it is null."""
    return {f"{name}_known": f"{name} IS NULL" for name in columns}
