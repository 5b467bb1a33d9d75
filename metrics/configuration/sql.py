"""The guard of SQL in conf/: an expression is a value of one row, or an aggregate of rows, and nothing else."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokens import TokenType

from metrics.configuration.sql_functions import AGGREGATES, REFUSED, SCALARS
from metrics.configuration.yaml import shown

_MOST_LETTERS = 20_000
_OWN_ROW = "use the columns of the row itself"
_READS_TABLE = f"reads a table; {_OWN_ROW}"
_QUERIES = (TokenType.SELECT, TokenType.FROM, TokenType.TABLE, TokenType.WITH)
_SPARK_TYPES = (
    *("BOOLEAN", "TINYINT", "BYTE", "SMALLINT", "SHORT", "INT", "INTEGER", "BIGINT", "LONG", "FLOAT", "REAL"),
    *(
        "DOUBLE",
        "DECIMAL",
        "DEC",
        "NUMERIC",
        "STRING",
        "CHARACTER",
        "CHAR",
        "VARCHAR",
        "BINARY",
        "DATE",
        "TIME",
    ),
    *("TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "INTERVAL", "VARIANT", "ARRAY", "STRUCT", "MAP"),
)
# How many types or fields a nested type is made of.
_PARTS = {exp.DType.ARRAY: range(1, 2), exp.DType.MAP: range(2, 3), exp.DType.STRUCT: range(1, 10_000)}
_WITH_FIELDS = ("STRUCT", "MAP", "ARRAY", "VARIANT")
_COUNTS_AND_SUMS = ("count", "count_if", "sum")
_UNIT_FIRST = ("dateadd", "date_add", "datediff", "date_diff", "timestampadd", "timestampdiff")
# Spark makes the moment of the run of these texts, wherever it makes a date of a text.
_CLOCK = re.compile(r"\s*(now|today|tomorrow|yesterday)(\s*(utc|gmt|z|[+-]\d.*|\w+/\w+))?\s*", re.IGNORECASE)
_NEVER_DATES = (exp.Like, exp.ILike, exp.RegexpLike, exp.Bracket)
_OPERATORS = (
    *(exp.And, exp.Or, exp.Not, exp.Paren, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.In),
    *(exp.Between, exp.Like, exp.ILike, exp.RegexpLike, exp.Any, exp.All, exp.Escape, exp.DPipe, exp.Concat),
    *(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift),
    *(exp.BitwiseRightShift, exp.Dot, exp.Bracket, exp.Tuple, exp.Case, exp.If, exp.Cast, exp.Collate),
)
_ALLOWED = (
    *_OPERATORS,
    *(exp.Column, exp.Identifier, exp.Literal, exp.RawString, exp.HexString, exp.Boolean, exp.Null, exp.Star),
    *(exp.Anonymous, exp.Extract, exp.Trim, exp.StrPosition, exp.Overlay, exp.Substring, exp.Lambda),
    *(exp.Kwarg, exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.Interval, exp.IntervalSpan, exp.Var),
    *(exp.Alias, exp.Distinct, exp.Filter, exp.Where, exp.WithinGroup, exp.Order, exp.Ordered),
)


class SqlFault(ValueError):
    """What is wrong with a piece of SQL, and the remedy, in one line."""


class _Dialect(Spark):
    """Spark's types only, and every function under the name that it is written with, known to sqlglot or not."""

    class Tokenizer(Spark.Tokenizer):
        KEYWORDS: ClassVar[dict[Any, Any]] = {
            word: kind
            for word, kind in Spark.Tokenizer.KEYWORDS.items()
            if kind not in SparkParser.TYPE_TOKENS or word in (*_SPARK_TYPES, "NULL")
        }

    class Parser(SparkParser):
        FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        ARRAY_CONSTRUCTORS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {
            name: SparkParser.NO_PAREN_FUNCTION_PARSERS[name] for name in ("CASE", "IF")
        }
        FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {
            name: SparkParser.FUNCTION_PARSERS[name]
            for name in ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "OVERLAY", "POSITION", "SUBSTRING", "SUBSTR")
        }


_DIALECT = _Dialect()


def expression_faults(text: str, columns: Mapping[str, str] | None, aggregate: bool) -> tuple[str, ...]:
    """Why `text` is not one expression over `columns` (SQL types by name; None where they are not known).

    With `aggregate` every column must stand inside an aggregate, else there may be none. Nothing that passes can read a
    table, write, run code, or depend on the clock, on chance or on the order of rows. Types are left to Spark.
    """
    try:
        tree = _parsed(text, text, exp.Condition, "one SQL expression")
    except SqlFault as fault:
        return (str(fault),)
    if foreign := next((node for node in tree.walk() if not isinstance(node, _ALLOWED)), None):
        return (_foreign(foreign),)
    checks = (
        _function_faults(tree),
        _column_faults(tree, columns),
        _clock_faults(tree),
        _nesting_faults(tree) if aggregate else _aggregate_faults(tree),
    )
    return tuple(dict.fromkeys(fault for check in checks for fault in check))


def adds_up(text: str) -> bool:
    """Whether an aggregate's values over parts of the rows add up to its value over all, as far as its SQL shows it.

    One count or sum, perhaps with a filter, perhaps times or over a number; others (a distinct count) may not add up.
    """
    tree = _parsed(text, text, exp.Condition, "one SQL expression")
    if isinstance(tree, exp.Mul | exp.Div) and isinstance(tree.expression, exp.Literal):
        tree = tree.this
    call = _called(tree)
    is_sum = isinstance(call, exp.Anonymous) and _name(call) in _COUNTS_AND_SUMS
    return is_sum and not call.find(exp.Distinct)


def schema_columns(ddl: str) -> dict[str, str]:
    """The columns that a schema declares, and their SQL types. Raises SqlFault."""
    if ddl.rstrip().endswith(","):
        raise SqlFault("ends with a comma; leave it out")
    declared = _parsed(ddl, f"STRUCT<{ddl}>", exp.DataType, "a schema such as `id BIGINT, at STRING`")
    for node in declared.find_all(exp.DataType):
        if node.this in _PARTS and len(node.expressions) not in _PARTS[node.this]:
            raise SqlFault(
                f"has a bare {node.this.value}; say of what, such as ARRAY<INT> or MAP<STRING, INT>"
            )
    if declared.find(exp.DefaultColumnConstraint, exp.CollateColumnConstraint):
        raise SqlFault("says more than names and types; leave DEFAULT and COLLATE out")
    names = [column.name.lower() for column in declared.expressions]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SqlFault(f"names column {shown(twice)} twice; name each once")
    return {column.name: column.args["kind"].sql("spark") for column in declared.expressions}


def _parsed(text: str, framed: str, kind: type[exp.Expr], what: str) -> exp.Expr:
    if not text.strip():
        raise SqlFault(f"is empty; give {what}")
    if len(text) > _MOST_LETTERS:
        raise SqlFault(f"has {len(text):,} characters; give at most {_MOST_LETTERS:,}")
    try:
        tokens = _DIALECT.tokenize(framed)
        trees = _DIALECT.parser().parse_into(kind, tokens)
    except RecursionError:
        raise SqlFault(f"{shown(text)} is nested too deeply; write it flatter") from None
    except SqlglotError as error:
        raise SqlFault(f"{shown(text)} is not {what}{_place(error)}; correct it") from None
    if any(token.comments for token in tokens):
        raise SqlFault("holds a comment, which can hide the rest; make it one of the YAML file")
    # What stands in parentheses might be dropped on the way to a tree.
    if any(
        one.token_type == TokenType.L_PAREN and two.token_type in _QUERIES for one, two in pairwise(tokens)
    ):
        raise SqlFault(_READS_TABLE)
    tree = trees[0] if len(trees) == 1 else None
    if tree is None or any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise SqlFault(f"{shown(text)} is not {what}; correct it")
    return tree


def _place(error: SqlglotError) -> str:
    found = getattr(error, "errors", None)
    return f" ({found[0]['description'].rstrip('.')} at {shown(found[0]['highlight'])})" if found else ""


def _foreign(node: exp.Expr) -> str:
    if isinstance(node, exp.Query | exp.Exists | exp.From | exp.Table):
        return _READS_TABLE
    if isinstance(node, exp.Window):
        return f"looks at other rows (OVER); {_OWN_ROW}"
    return f"holds {shown(node.sql(_DIALECT))}, which is no part of an expression here; {_OWN_ROW}"


def _name(call: exp.Anonymous) -> str:
    return call.name.lower()


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and _name(node) in AGGREGATES


def _function_faults(tree: exp.Expr) -> Iterator[str]:
    for call in tree.find_all(exp.Anonymous):
        name = _name(call)
        if isinstance(call.parent, exp.Dot) and call.arg_key == "expression":
            yield f"calls {shown(call.parent.sql(_DIALECT))}, a function of a catalogue; use Spark's own functions"
        elif name in REFUSED:
            yield f"calls {name}(), which {REFUSED[name]}"
        elif name == "unix_timestamp" and not call.expressions:
            yield f"calls {name}(), which {REFUSED['now']}"
        elif name not in SCALARS and name not in AGGREGATES:
            near = get_close_matches(name[:100], SCALARS | AGGREGATES, 1)
            hint = f"did you mean {near[0]}()?" if near else "use a function of Spark SQL"
            yield f"calls {shown(name)}, which is no function of Spark; {hint}"


def _column_faults(tree: exp.Expr, columns: Mapping[str, str] | None) -> Iterator[str]:
    known = {name.lower(): kind for name, kind in (columns or {}).items()}
    for star in tree.find_all(exp.Star):
        if not (isinstance(star.parent, exp.Anonymous) and _name(star.parent) == "count"):
            yield "has a '*', which is no value; name a column, or use count(*)"
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star) or _is_unit(column):
            continue
        root, *fields = (part.name.lower() for part in column.parts)
        if columns is None and not fields and root in REFUSED:
            yield f"uses {root}, which {REFUSED[root]}; if it is a column, declare the schema"
        elif columns is not None and root not in known:
            yield f"uses column {shown(root)}, which is not there; {_near(root, known)}"
        elif fields and root in known and not known[root].upper().startswith(_WITH_FIELDS):
            yield f"uses a field of column '{root}', which is a {known[root]}; use the column itself"


def _is_unit(column: exp.Column) -> bool:
    """Whether it is the DAY of `datediff(DAY, a, b)`."""
    call = column.parent
    return (
        isinstance(call, exp.Anonymous)
        and _name(call) in _UNIT_FIRST
        and len(call.expressions) == 3
        and column.index == 0
    )


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name[:100], known, 1)
    return f"did you mean '{near[0]}'?" if near else f"columns: {shown(', '.join(known), 400)}"


def _clock_faults(tree: exp.Expr) -> Iterator[str]:
    for text in tree.find_all(exp.Literal, exp.RawString):
        if _CLOCK.fullmatch(text.name) and not isinstance(text.parent, _NEVER_DATES):
            yield (
                f"has the text {shown(text.name)}, which Spark may read as a day of the clock; "
                f"write a fixed date, or LIKE {shown(text.name)} to compare texts"
            )


def _aggregate_faults(tree: exp.Expr) -> Iterator[str]:
    """In an expression of one row."""
    for call in tree.find_all(exp.Anonymous):
        if _is_aggregate(call):
            yield f"calls {_name(call)}(), an aggregate; give the value of a single row"


def _nesting_faults(tree: exp.Expr) -> Iterator[str]:
    """In an aggregate of rows: what stands outside of every aggregate, or inside of two."""
    for call in filter(_is_aggregate, tree.find_all(exp.Anonymous)):
        if _in_aggregate(call) or call.find_ancestor(exp.Where):
            yield f"has {_name(call)}() inside another aggregate; one cannot hold another"
    for part in tree.find_all(exp.Filter, exp.WithinGroup):
        if not _is_aggregate(_called(part)):
            yield f"has {shown(part.sql(_DIALECT))} of what is no aggregate; put it behind one, such as sum(x)"
    for column in tree.find_all(exp.Column):
        if not (
            _in_aggregate(column) or column.find_ancestor(exp.Filter, exp.WithinGroup) or _is_unit(column)
        ):
            name = shown(column.sql(_DIALECT))
            yield f"has column {name} outside of an aggregate; put it into one, such as sum or max"


def _in_aggregate(node: exp.Expr) -> bool:
    above = node.parent
    while above is not None and not _is_aggregate(above):
        above = above.parent
    return above is not None


def _called(part: exp.Expr) -> exp.Expr:
    """What a FILTER or WITHIN GROUP stands behind."""
    while isinstance(part, exp.Filter | exp.WithinGroup):
        part = part.this
    return part
