"""What a suite is made of: rules as plain data. No Great Expectations here: a suite is cheap to build and to hash."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]
SHARES_USUAL = "_shares_usual"


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
    def sql(self) -> str:
        return f"`{self.column}` IS NOT NULL"

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
    def sql(self) -> str:
        ends = ((">=", self.low), ("<=", self.high))
        return " AND ".join(
            f"`{self.column}` {sign} {float(end)!r}D" for sign, end in ends if end is not None
        )

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
    def sql(self) -> str:
        return f"{self.column} IN ({', '.join(map(quoted, self.values))})"

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
        return _all_of(self.conditions)

    @property
    def expected(self) -> str:
        return self.conditions[0][1] if len(self.conditions) == 1 else _for_each(self.name)


@dataclass(frozen=True)
class Every:
    """Each of the simple rules holds, under one name: the same of many columns."""

    name: str
    rules: tuple[NotNull | Between, ...]
    severity: Severity = "critical"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(rule.column for rule in self.rules)

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        return tuple((rule.column, rule.sql) for rule in self.rules)

    @property
    def sql(self) -> str:
        return _all_of(self.conditions)

    @property
    def expected(self) -> str:
        return _for_each(self.name)


@dataclass(frozen=True)
class NotAfter:
    """Of two columns the one is at most the other; null passes."""

    column: str
    other: str
    severity: Severity = "critical"

    @property
    def name(self) -> str:
        return f"{self.column}_not_after_{self.other}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.other)

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        return ((self.column, self.sql),)

    @property
    def sql(self) -> str:
        return f"{self.column} <= {self.other}"

    @property
    def expected(self) -> str:
        return self.sql


@dataclass(frozen=True)
class SchemaDeclared:
    """Every declared column is there, with its type. Further columns pass: a measure may leave the catalogue."""

    severity: Severity = "critical"
    name: str = "schema"
    expected: str = "every declared column with its type"
    low: float | None = None
    high: float | None = 0


@dataclass(frozen=True)
class KeyUnique:
    """No two rows of a day share the key."""

    severity: Severity = "critical"
    name: str = "key_unique"
    expected: str = "one row for each key"
    low: float | None = None
    high: float | None = 0


@dataclass(frozen=True)
class RowsAtLeastFloor:
    """A day has at least as many rows as its floor: 0 or more above it."""

    severity: Severity = "critical"
    name: str = "rows_at_least_floor"
    expected: str = "as many rows as the floor"
    low: float | None = 0
    high: float | None = None


@dataclass(frozen=True)
class RowsUsual:
    """A day's rows over what is usual (expectations.usual) lie in [low, high]; passes while that is not known."""

    low: float | None
    high: float | None
    severity: Severity = "warning"
    name: str = "rows_usual"

    @property
    def expected(self) -> str:
        high = "" if self.high is None else f", at most {self.high:g}"
        return f"rows over those of the usual day: at least {self.low:g}{high}"


@dataclass(frozen=True)
class MostRows:
    """A condition is true in at least `low` of a day's rows; passes where there are fewer than `rows` of them.

    A rule about days, because a share over many days can hide a bad one.
    """

    name: str
    condition: NotNull | NotAfter
    low: float
    severity: Severity = "warning"
    high: float | None = None
    rows: int = 1

    @property
    def column(self) -> str:
        return self.condition.column

    @property
    def expected(self) -> str:
        share = "some" if self.low < 0.01 else f"at least {self.low:.0%}"
        return f"{self.condition.sql.replace('`', '')} in {share} of the rows"


@dataclass(frozen=True)
class Fresh:
    """The column's latest moment is at most `high` hours before the day's end; a date counts as its first moment.

    Passes on a day of fewer than `rows` rows, whose last hours may have none by chance.
    """

    column: str
    high: float
    rows: int = 0
    severity: Severity = "warning"
    low: float | None = None

    @property
    def name(self) -> str:
        return f"{self.column}_fresh"

    @property
    def expected(self) -> str:
        return f"the latest {self.column} at most {self.high:g} h before the end of the day"


@dataclass(frozen=True)
class SharesUsual:
    """The shares of rows by `label`, SQL over a column, are those of the usual days: no level is far from its own."""

    label: str
    sql: str
    column: str
    severity: Severity = "warning"
    low: float | None = None
    high: float | None = 0

    @property
    def name(self) -> str:
        return f"{self.label}{SHARES_USUAL}"

    @property
    def expected(self) -> str:
        return f"shares by {self.label} as on the usual day"


@dataclass(frozen=True)
class FewFromHeavy:
    """At most `high` of a day's rows are of profiles with more than `heavy` rows, as scripts have and people do not."""

    heavy: int
    high: float
    severity: Severity = "warning"
    name: str = "rows_of_heavy_profiles"
    low: float | None = None

    @property
    def expected(self) -> str:
        return f"at most {self.high:.0%} of the rows from profiles with more than {self.heavy} a day"


@dataclass(frozen=True)
class Reconciled:
    """Numbers of this table and the same numbers of the layer below do not differ."""

    name: str
    expected: str
    severity: Severity = "critical"
    low: float | None = None
    high: float | None = 0


@dataclass(frozen=True)
class ShareOf:
    """A share of the layer below, worked out by the caller, lies in [low, high]."""

    name: str
    expected: str
    low: float | None
    high: float | None
    severity: Severity = "warning"


# Checked as a condition in SQL.
Condition = Holds | Every | NotAfter
RowRule = NotNull | Between | InSet | Condition
DayRule = (
    SchemaDeclared
    | KeyUnique
    | RowsAtLeastFloor
    | RowsUsual
    | MostRows
    | Fresh
    | SharesUsual
    | FewFromHeavy
    | Reconciled
    | ShareOf
)
Rule = RowRule | DayRule


@dataclass(frozen=True)
class Suite:
    """A table's rules. `columns` are the declared types by name; `remedy` says what to do, and may hold {day}.

    `day_column` splits the table into days; None for a snapshot that is replaced whole. An audit's run id names what
    it saw: each row, or with `named_by_statistics` what Delta's statistics say of the rows, where they are too many to
    be read for that. `unit_hash`: SQL, by which a sample of a large table's profiles is drawn.
    """

    table: str
    day_column: str | None
    columns: Mapping[str, str]
    key: tuple[str, ...]
    day_rules: tuple[DayRule, ...]
    row_rules: tuple[RowRule, ...]
    remedy: str
    named_by_statistics: bool = False
    unit_hash: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        return (*self.day_rules, *self.row_rules)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The key and the columns that the rules look at: an audit's input."""
        ruled = [column for rule in self.row_rules for column in rule.columns]
        counted = [rule.column for rule in self.day_rules if isinstance(rule, MostRows | Fresh)]
        return tuple(dict.fromkeys((*self.key, *ruled, *counted)))

    @property
    def fingerprint(self) -> str:
        """Changes with any rule; equal for equal suites, in every process."""
        definition = repr((self.table, sorted(self.columns.items()), self.key, self.rules))
        return hashlib.sha256(definition.encode()).hexdigest()[:16]


def _all_of(conditions: Sequence[tuple[str, str]]) -> str:
    return " AND ".join(f"({condition})" for _, condition in conditions)


def _for_each(name: str) -> str:
    return f"{name} for each of its columns"


def quoted(value: str) -> str:
    """A text as it stands in SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
