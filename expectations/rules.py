"""What a suite is made of: rules as plain data. No Great Expectations here: a suite is cheap to build and to hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class NotNull:
    column: str
    severity: Severity = "critical"

    @property
    def name(self) -> str:
        return f"{self.column}_not_null"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def expected(self) -> str:
        return f"{self.column} not null"


@dataclass(frozen=True)
class Between:
    """low <= column <= high, both ends optional; null passes, NaN breaks any `high`."""

    column: str
    low: float | None
    high: float | None
    severity: Severity = "critical"

    @property
    def name(self) -> str:
        ends = (("at_least", self.low), ("at_most", self.high))
        return "_".join([self.column, *(f"{word}_{end:.15g}" for word, end in ends if end is not None)])

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def expected(self) -> str:
        low = "" if self.low is None else f"{self.low:.15g} <= "
        high = "" if self.high is None else f" <= {self.high:.15g}"
        return f"{low}{self.column}{high}"


@dataclass(frozen=True)
class InSet:
    """The column is one of the values; null passes."""

    column: str
    values: tuple[str, ...]
    severity: Severity = "critical"

    @property
    def name(self) -> str:
        return f"{self.column}_in_set"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def expected(self) -> str:
        return f"{self.column} in {', '.join(self.values)}"


@dataclass(frozen=True)
class Holds:
    """Every condition, SQL over the row's columns by a label, is true; null passes, as in an SQL CHECK.

    `columns` are those that the conditions read. Many conditions under one name are one row of results, whose
    `observed` says which of the labels broke.
    """

    name: str
    conditions: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    severity: Severity = "critical"

    @property
    def sql(self) -> str:
        return " AND ".join(f"({condition})" for _, condition in self.conditions)

    @property
    def expected(self) -> str:
        return self.conditions[0][1] if len(self.conditions) == 1 else f"{self.name} for each of its columns"


@dataclass(frozen=True)
class SchemaDeclared:
    """Every declared column is there, with its type. Further columns pass: a measure may leave the catalogue."""

    severity: Severity = "critical"
    name: str = "schema"
    expected: str = "every declared column with its type"


@dataclass(frozen=True)
class KeyUnique:
    """No two rows of a day share the key."""

    severity: Severity = "critical"
    name: str = "key_unique"
    expected: str = "one row for each key"


@dataclass(frozen=True)
class RowsAtLeastFloor:
    """A day has at least as many rows as its floor."""

    severity: Severity = "critical"
    name: str = "rows_at_least_floor"
    expected: str = "as many rows as the floor"


@dataclass(frozen=True)
class RowsNearMedian:
    """A day's rows over the median of the days before lie in [low, high]; passes while there are too few such days."""

    low: float
    high: float | None
    severity: Severity = "warning"
    name: str = "rows_near_median"

    @property
    def expected(self) -> str:
        high = "" if self.high is None else f", at most {self.high:g}"
        return f"rows over the median of the days before: at least {self.low:g}{high}"


@dataclass(frozen=True)
class MostlyKnown:
    """The column is not null in at least `share` of a day's rows; passes where there are none.

    A rule about days, because a share over many days can hide a bad one.
    """

    column: str
    share: float
    severity: Severity = "warning"

    @property
    def name(self) -> str:
        return f"{self.column}_mostly_known"

    @property
    def expected(self) -> str:
        return f"{self.column} known in at least {self.share:.0%} of the rows"


RowRule = NotNull | Between | InSet | Holds
DayRule = SchemaDeclared | KeyUnique | RowsAtLeastFloor | RowsNearMedian | MostlyKnown
Rule = RowRule | DayRule


@dataclass(frozen=True)
class Suite:
    """A table's rules. `columns` are the declared types by name; `remedy` says what to do, and may hold {day}.

    `day_column` splits the table into days; None for a snapshot that is replaced whole.
    """

    table: str
    day_column: str | None
    columns: Mapping[str, str]
    key: tuple[str, ...]
    day_rules: tuple[DayRule, ...]
    row_rules: tuple[RowRule, ...]
    remedy: str

    @property
    def rules(self) -> tuple[Rule, ...]:
        return (*self.day_rules, *self.row_rules)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The key and the columns that the rules look at: an audit's input."""
        ruled = [column for rule in self.row_rules for column in rule.columns]
        return tuple(dict.fromkeys((*self.key, *ruled, *self.mostly_known)))

    @property
    def mostly_known(self) -> tuple[str, ...]:
        return tuple(rule.column for rule in self.day_rules if isinstance(rule, MostlyKnown))

    @property
    def fingerprint(self) -> str:
        """Changes with any rule; equal for equal suites, in every process."""
        definition = repr((self.table, sorted(self.columns.items()), self.key, self.rules))
        return hashlib.sha256(definition.encode()).hexdigest()[:16]
