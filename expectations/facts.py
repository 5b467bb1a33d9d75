"""A few numbers about each day of a table, on which the rules about whole days are checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from expectations.counts import Counts, known_counts, safely_counted
from expectations.known import Known
from expectations.reconciliation import Compared, differing, in_words
from expectations.rules import (
    DayRule,
    FewFromHeavy,
    Fresh,
    KeyUnique,
    MostRows,
    Reconciled,
    RowsAtLeastFloor,
    RowsUsual,
    SchemaDeclared,
    ShareOf,
    SharesUsual,
    Suite,
)
from expectations.sample import UNIT, Sample, brought, held_together, sample_of
from expectations.shares import DayShares, day_shares, moves
from expectations.usual import Past, Shares, rows_in_words, shares_as_text, usual_rows, usual_shares

BY_STATISTICS = "by the statistics and constraints of its files"
BY_COUNT = "counted in its rows"
_KEY = "_key"


@dataclass(frozen=True)
class Seen:
    """What a rule looks at on a day: `value` is checked, None passes; `kept` is for the audits of later days."""

    value: float | None
    words: str | None = None
    unexpected: int | None = None
    kept: str | None = None


NOTHING = Seen(None)
NO_SHARES = DayShares({}, 0.0)


@dataclass(frozen=True)
class DayFacts:
    """`seen` by rule name; a rule that is not there could not be looked at: a column that it needs is missing.

    `known`: rules about rows that hold in all of the day's, and how that is known.
    """

    day: date
    version: str
    rows: int
    seen: Mapping[str, Seen]
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Below:
    """What a day's rows are beside the layer below: numbers to compare, and shares of it, each by rule name.

    `is_empty`: the layer below has nothing of the day, so that no row is due.
    """

    compared: Mapping[str, Sequence[Compared]] = field(default_factory=dict)
    shares: Mapping[str, float | None] = field(default_factory=dict)
    is_empty: bool = False


@dataclass(frozen=True)
class _OfDay:
    """All that Spark told of a day, beside what is known of others."""

    day: date
    counts: Counts
    floor: int
    duplicates: int | None
    among: str
    schema_differences: Sequence[str]
    spread: DayShares | None
    past: Mapping[date, Past]
    below: Below

    @property
    def is_due(self) -> bool:
        return self.floor > 0


def day_facts(
    frame: DataFrame,
    suite: Suite,
    days: Sequence[date],
    version: Column,
    past: Mapping[date, Past],
    floors: Mapping[date, int],
    below: Mapping[date, Below] | None = None,
    known: Known | None = None,
) -> tuple[DayFacts, ...]:
    """Facts for each of the days, rows or none; one or two Spark jobs, one more for each further group of days.

    `version`: an aggregate over a day's rows that names them; `past`: what audits saw of other days; `floors`: the
    fewest rows of a day, 1 where not given. A floor of 0 says that no rows are due, and nothing usual is asked.
    `known`: what needs no reading of the rows, if anything.
    """
    of_days = {day: known.of_day(suite.day_column, day) for day in days} if known else {}
    differences = _schema_differences(frame, suite)
    held = _held(suite, of_days)
    # Of other types than declared a condition may raise, which Great Expectations tells of each rule.
    doubtful = [] if differences else [rule for rule in suite.row_rules if rule.name not in held]
    counted = known_counts(suite, of_days) or safely_counted(frame, suite, days, version, doubtful)
    most = max(each.rows for each in counted.values())
    sample = sample_of(frame, suite.unit_hash, most)
    duplicates, spread = _company(sample, suite, {day: each.rows for day, each in counted.items()})
    due = {day: floors.get(day, 1) for day in days}
    all_days = {**past, **{day: Past(counted[day].rows, due[day], _shares_of(spread, day)) for day in days}}

    def facts(day: date) -> DayFacts:
        of_day = _OfDay(
            day,
            counted[day],
            due[day],
            None if duplicates is None else duplicates.get(day, 0),
            sample.words,
            differences,
            None if spread is None else spread.get(day, NO_SHARES),
            all_days,
            (below or {}).get(day, Below()),
        )
        seen = {rule.name: _seen(rule, of_day) for rule in suite.day_rules}
        kept = {name: found for name, found in seen.items() if found is not None}
        how = dict.fromkeys(counted[day].unbroken, BY_COUNT) | dict.fromkeys(held, BY_STATISTICS)
        return DayFacts(day, counted[day].version, counted[day].rows, kept, how)

    return tuple(facts(day) for day in days)


def enrolment_floors(
    days: Sequence[date], enrolments: Sequence[tuple[date, date]], floor: int
) -> dict[date, int]:
    """The floor on days when an experiment enrols (its first and last day, both included), 0 on others."""
    return {day: floor if any(first <= day <= last for first, last in enrolments) else 0 for day in days}


def _held(suite: Suite, known: Mapping[date, Known]) -> frozenset[str]:
    """The rules about rows that are known to hold in those of all days."""
    return frozenset(
        rule.name
        for rule in suite.row_rules
        if known and all(of_day.holds(rule) for of_day in known.values())
    )


def _seen(rule: DayRule, of: _OfDay) -> Seen | None:
    """What the rule looks at; None where a column is missing, so that its expectation raises and says so."""
    rows = of.counts.rows
    match rule:
        case SchemaDeclared():
            return Seen(len(of.schema_differences), "; ".join(of.schema_differences) or None)
        case KeyUnique():
            n = of.duplicates
            return None if n is None else Seen(n, f"{n} duplicate rows{of.among}", n)
        case RowsAtLeastFloor():
            return Seen(rows - of.floor, rows_in_words(rows, of.floor))
        case RowsUsual():
            usual = usual_rows(of.day, of.past) if of.is_due else None
            return Seen(rows / usual, f"{rows / usual:.3f}") if usual else NOTHING
        case MostRows():
            return _mostly(of.counts.holds.get(rule.name), rows, rule.rows)
        case Fresh():
            return _fresh(rule, of)
        case SharesUsual():
            return _moved(rule, of)
        case FewFromHeavy():
            return None if of.spread is None else Seen(of.spread.heavy, f"{of.spread.heavy:.4f}")
        case Reconciled():
            found = differing(of.below.compared.get(rule.name, ()))
            return Seen(len(found), in_words(found), len(found))
        case ShareOf():
            share = of.below.shares.get(rule.name)
            return NOTHING if share is None else Seen(share, f"{share:.4f}")


def _mostly(holds: int | None, rows: int, least: int) -> Seen | None:
    if holds is None:
        return None
    return Seen(holds / rows, f"{holds / rows:.4f}", rows - holds) if rows >= least else NOTHING


def _fresh(rule: Fresh, of: _OfDay) -> Seen | None:
    if rule.column not in of.counts.latest:
        return None
    latest = of.counts.latest[rule.column]
    if latest is None or of.counts.rows < rule.rows:
        return NOTHING
    end = datetime(of.day.year, of.day.month, of.day.day, tzinfo=UTC) + timedelta(days=1)
    hours = (end - latest).total_seconds() / 3600
    return Seen(hours, f"{hours:.2f} h before the end of the day")


def _moved(rule: SharesUsual, of: _OfDay) -> Seen | None:
    if of.spread is None:
        return None
    now = of.spread.by_label.get(rule.label)
    if not (now and of.is_due):
        return NOTHING
    usual, days = usual_shares(of.day, rule.label, of.past)
    moved = moves(now, usual, days)
    return Seen(len(moved), "; ".join(map(str, moved)) or None, len(moved), shares_as_text(now.shares))


def _shares_of(spread: Mapping[date, DayShares] | None, day: date) -> dict[str, Shares]:
    labels = (spread or {}).get(day, NO_SHARES).by_label
    return {label: found.shares for label, found in labels.items()}


def _company(
    sample: Sample, suite: Suite, rows: Mapping[date, int]
) -> tuple[dict[date, int] | None, dict[date, DayShares] | None]:
    """What is asked of single rows' company, by day: repeated keys and shares; None where a column is missing."""
    duplicates: dict[date, int] | None = {}
    spread: dict[date, DayShares] | None = {}
    for days in held_together(rows, sample.one_in) if suite.day_column else [list(rows)]:
        some = sample
        if suite.day_column and len(days) < len(rows):
            some = replace(sample, rows=sample.rows.where(F.col(suite.day_column).isin(days)))
        looked_at = _looked_at(some, suite)
        repeated, shares = _duplicates(looked_at, some.rows, suite, days), _spread(looked_at, suite)
        duplicates = None if duplicates is None or repeated is None else duplicates | repeated
        spread = None if spread is None or shares is None else spread | shares
    return duplicates, spread


def _looked_at(sample: Sample, suite: Suite) -> pa.Table:
    """Of the sample's rows the day, a hash of the key, the profile, and the level of each label that is asked for.

    What needs a column that is missing is not there.
    """
    present, columns = set(sample.rows.columns), dict[str, Column]()
    if suite.day_column in present:
        columns["day"] = F.col(suite.day_column)
    if set(_key(suite)) <= present:
        columns[_KEY] = F.xxhash64(*_key(suite))
    shared = _shares_asked(suite)
    if UNIT in present and (shared or any(isinstance(rule, FewFromHeavy) for rule in suite.day_rules)):
        columns[UNIT] = F.col(UNIT)
    for rule in shared:
        if {UNIT, rule.column} <= present:
            columns[rule.label] = F.coalesce(F.expr(rule.sql).cast("string"), F.lit("unknown"))
    return brought(sample, columns)


def _key(suite: Suite) -> list[str]:
    return list(dict.fromkeys((*([suite.day_column] if suite.day_column else []), *suite.key)))


def _shares_asked(suite: Suite) -> list[SharesUsual]:
    return [rule for rule in suite.day_rules if isinstance(rule, SharesUsual)]


def _spread(looked_at: pa.Table, suite: Suite) -> dict[date, DayShares] | None:
    """Shares by day, of a suite that asks for them; None where a column that they need is missing."""
    labels = [rule.label for rule in _shares_asked(suite)]
    heavy = next((rule.heavy for rule in suite.day_rules if isinstance(rule, FewFromHeavy)), None)
    if not labels and heavy is None:
        return {}
    if not {UNIT, *labels} <= set(looked_at.column_names):
        return None
    return day_shares(looked_at, labels, heavy)


def _duplicates(
    looked_at: pa.Table, rows: DataFrame, suite: Suite, days: Sequence[date]
) -> dict[date, int] | None:
    """Rows beyond the first of their key, by day; None where a column of the key is missing.

    Great Expectations' own uniqueness counts over all days at once. Here it is asked of 64-bit hashes: equal keys have
    equal hashes, and only if hashes repeat are the keys themselves counted.
    """
    if _KEY not in looked_at.column_names:
        return None
    if pc.count_distinct(looked_at[_KEY]).as_py() == looked_at.num_rows:
        return {}
    repeated = rows.groupBy(*_key(suite)).count().where("count > 1")
    day = [suite.day_column] if suite.day_column else []
    found = repeated.groupBy(*day).agg(F.sum(F.col("count") - 1).alias("n")).collect()
    if not day:
        return {each: row["n"] or 0 for each in days for row in found}
    return {row[day[0]]: row["n"] for row in found}


def _schema_differences(frame: DataFrame, suite: Suite) -> list[str]:
    present = {field.name: plain_type(field.dataType.simpleString()) for field in frame.schema.fields}
    return [
        f"{name} is missing" if name not in present else f"{name} is {present[name]}, not {plain_type(kind)}"
        for name, kind in suite.columns.items()
        if present.get(name) != plain_type(kind)
    ]


def plain_type(kind: str) -> str:
    """A SQL type as Spark writes it, so that a declared one can be compared with a frame's."""
    return kind.lower().replace(" ", "")
