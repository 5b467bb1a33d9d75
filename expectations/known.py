"""What is known of a table's rows without reading them: statistics of its files, and what Delta checks as it writes.

Delta measures every file while it writes it: rows, nulls, the least and the greatest value of the first 32 columns.
Rules that follow from these need no second look at a day of billions of rows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from expectations.rules import Between, Every, Holds, InSet, NotAfter, NotNull, RowRule


@dataclass(frozen=True)
class Known:
    """`files`: one row for each, as deltalake's `get_add_actions(flatten=True)` gives them: num_records, and by column
    null_count.X, min.X, max.X, or partition.X. `constraints`: SQL that is true in every row; `not_null`: columns."""

    files: pa.Table
    constraints: frozenset[str] = frozenset()
    not_null: frozenset[str] = frozenset()

    def of_day(self, column: str | None, day: date) -> "Known":
        """The files of a day alone; of a snapshot, which is not split into days, all."""
        if column is None:
            return self
        return replace(self, files=self.files.filter(pc.equal(self.files[f"partition.{column}"], day)))

    @property
    def rows(self) -> int:
        return _sum(self.files["num_records"])

    def holds(self, rule: RowRule) -> bool:
        """Whether the rule is known to hold in every row. Where not, the rows must be looked at."""
        match rule:
            case NotNull():
                return rule.column in self.not_null or self._nulls(rule.column) == 0
            case Between():
                return self._is_within(rule)
            case Every():
                return all(self.holds(each) for each in rule.rules)
            case NotAfter():
                return self._is_ordered(rule)
            case InSet():
                return rule.sql in self.constraints
            case Holds():
                return all(condition in self.constraints for _, condition in rule.conditions)

    def count(self, condition: NotNull | NotAfter) -> int | None:
        """The rows in which the condition is true; None where that is not known."""
        if isinstance(condition, NotAfter):
            names = [f"partition.{name}" for name in (condition.column, condition.other)]
            if not set(names) <= set(self.files.column_names):
                return None
            column, other = (self.files[name] for name in names)
            return _sum(self.files["num_records"].filter(pc.less_equal(column, other)))
        nulls = self._nulls(condition.column)
        return None if nulls is None else self.rows - nulls

    def knows_range(self, column: str) -> bool:
        return self._range(column) is not None

    def latest(self, column: str) -> Any:
        """The greatest value; None where there is none. Only of a column of which `knows_range`."""
        found = self._range(column)
        return found[1] if found else None

    def version(self, columns: Sequence[str]) -> str:
        """Names what is known of the rows, in whatever files they lie. Other rows can have the same name."""
        seen = [(name, self._nulls(name), *(self._range(name) or ())) for name in sorted(columns)]
        return f"{self.rows}-{hashlib.sha256(repr(seen).encode()).hexdigest()[:16].upper()}"

    def _nulls(self, column: str) -> int | None:
        if f"partition.{column}" in self.files.column_names:
            empty = pc.is_null(self.files[f"partition.{column}"])
            return _sum(self.files["num_records"].filter(empty))
        counts = self._statistic("null_count", column)
        return None if counts is None or counts.null_count else _sum(counts)

    def _range(self, column: str) -> tuple[Any, Any] | None:
        """The least and the greatest value, (None, None) where all are null; None where a file does not say."""
        counts, lows, highs = (self._statistic(what, column) for what in ("null_count", "min", "max"))
        if counts is None or lows is None or highs is None or counts.null_count:
            return None
        with_values = pc.less(counts, self.files["num_records"])
        lows, highs = lows.filter(with_values), highs.filter(with_values)
        if lows.null_count or highs.null_count or _has_nan(lows) or _has_nan(highs):
            return None
        return pc.min(lows).as_py(), pc.max(highs).as_py()

    def _is_within(self, rule: Between) -> bool:
        found = self._range(rule.column)
        if found is None:
            return False
        low, high = found
        if low is None or high is None:
            return True  # all are null
        # Written so that a NaN is not within.
        return (rule.low is None or low >= rule.low) and (rule.high is None or high <= rule.high)

    def _is_ordered(self, rule: NotAfter) -> bool:
        found, other = self._range(rule.column), self._range(rule.other)
        if found is None or other is None:
            return False
        return found[1] is None or other[0] is None or found[1] <= other[0]

    def _statistic(self, what: str, column: str) -> pa.ChunkedArray | None:
        name = f"{what}.{column}"
        return self.files[name] if name in self.files.column_names else None


def _has_nan(values: pa.ChunkedArray) -> bool:
    """Which the least and the greatest of several would pass over."""
    return pa.types.is_floating(values.type) and bool(pc.any(pc.is_nan(values)).as_py())


def _sum(counts: pa.ChunkedArray) -> int:
    return pc.sum(counts).as_py() or 0
