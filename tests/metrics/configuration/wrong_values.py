"""Values, names, SQL and pieces of YAML, each wrong at the key of a configuration that it is meant for."""

from datetime import date
from typing import Any

INFINITE = float("inf")
NOT_A_NUMBER = float("nan")
_DEEP = 2_000

# In place of any expression: reads, writes, runs, hides or depends on more than a row.
SQL_ATTACKS = (
    "(SELECT max(amount) FROM payments)",
    "(SELECT 1)",
    "coalesce(1, (SELECT count(*) FROM delta.`/data/tables/profiles`))",
    "EXISTS (SELECT 1 FROM profiles)",
    "1 IN (SELECT profile_id FROM profiles)",
    "(FROM profiles SELECT 1)",
    "(TABLE profiles)",
    "(WITH t AS (SELECT 1) SELECT * FROM t)",
    "1 UNION ALL SELECT 2",
    "1 FROM profiles",
    "SELECT 1",
    "DROP TABLE events",
    "1; DROP TABLE events",
    "1; 2",
    "1;",
    "INSERT INTO events VALUES (1)",
    "DELETE FROM delta.`/data/tables/events`",
    "SET spark.sql.ansi.enabled = false",
    "1 -- and the rest",
    "1 /* hidden */",
    "/*+ BROADCAST(t) */ 1",
    "explode(array(1, 2))",
    "stack(2, 1, 2)",
    "json_tuple('{}', 'a')",
    "inline(array(struct(1)))",
    "count(1) OVER ()",
    "row_number() OVER (ORDER BY 1)",
    "lag(1)",
    "rand()",
    "uuid()",
    "shuffle(array(1, 2))",
    "monotonically_increasing_id()",
    "now()",
    "current_date",
    "current_timestamp()",
    "unix_timestamp()",
    "TIMESTAMP 'now'",
    "CAST('today' AS DATE)",
    "date_diff('tomorrow UTC', DATE '2026-01-01')",
    "current_user()",
    "input_file_name()",
    "version()",
    "reflect('java.lang.System', 'exit', 1)",
    "java_method('java.lang.Runtime', 'getRuntime')",
    "`java_method`('java.lang.System', 'getenv', 'HOME')",
    "try_reflect('java.lang.System', 'getenv', 'HOME')",
    "from_protobuf(x'00', 'M', '/etc/passwd')",
    "read_files('/etc/passwd')",
    "http_get('https://example.com')",
    "ai_query('model', 'text')",
    "my_function(1)",
    "main.default.my_function(1)",
    "session.my_function(1)",
    "system.builtin.count(1)",
    "raise_error('stop')",
    "identifier('events')",
    "TRANSFORM (1) USING 'cat'",
    "table(range(10))",
    ":parameter",
    "?",
    "*",
    "struct(*)",
    "payments.amount",
    "spark_catalog.default.payments.amount",
    "no_such_column",
    "abs(",
    "1 +",
    "'open",
    "",
    "   ",
    "1, 2",
    "1 AS x",
    "CAST(1 AS TEXT)",
    "CASE WHEN 1 THEN",
    "(" * _DEEP + "1" + ")" * _DEEP,
    "-" * 3_000 + "1",
    "NOT " * 3_000 + "true",
    "1 + " * 10_000 + "1",
    "{{ ds }}",
    "é€ ''",
)
# In place of an aggregate over events.
AGGREGATE_ATTACKS = (
    "watch_ms",
    "sum(watch_ms) + rebuffer_ms",
    "event_type = 'crash'",
    "sum(max(watch_ms))",
    "abs(watch_ms) FILTER (WHERE event_type = 'playback')",
    "count(*) FILTER (WHERE count(*) > 1)",
    "sum(watch_mss)",
    "sum(events.watch_ms)",
    "sum(device.name)",
    "first(device)",
    "count_iff(event_type = 'crash')",
    "count(ingest_day)",
)
# In place of a value of a raw row.
ROW_ATTACKS = (
    "count(1)",
    "max_by(1, 2)",
    "any(true)",
    "collect_list(1)",
    "source_file",
    "_metadata.file_path",
)
BAD_SCHEMAS = (
    "",
    "id",
    "id BIGINT,",
    "id BIGINT, ID STRING",
    "id TEXT",
    "id FOO",
    "id BIGINT) USING csv",
    "id BIGINT>, b STRUCT<c INT",
    "id ARRAY",
    "id MAP<STRING>",
    "id BIGINT DEFAULT 1",
    "id BIGINT -- , b INT",
    "id BIGINT; DROP TABLE events",
    "SELECT 1",
    "row BIGINT",
    "_corrupt STRING",
    "id STRUCT<" * 1_000,
    "id BIGINT, " * 5_000 + "x INT",
)
BAD_NAMES = (
    *(
        "a`b",
        'a"b',
        "a'b",
        "a\nb",
        "a/b",
        "../../etc",
        "",
        " ",
        "a b",
        "a;b",
        "-a",
        "é",
        "a\tb",
        "a\\b",
        "$a",
        "{a}",
    ),
    *("x" * 1_000, "x" * 90_000, "\u202ea", "a\u2028b"),
)

_COUNTS: tuple[Any, ...] = (0, -1, 10**9, 10**30, 1.5, INFINITE, NOT_A_NUMBER, "7 days", True, 1e308)
_SHARES: tuple[Any, ...] = (
    0,
    -0.1,
    1,
    1.5,
    50,
    NOT_A_NUMBER,
    INFINITE,
    -INFINITE,
    1e308,
    10**400,
    "0.05",
    "5%",
    True,
)
_POSITIVE: tuple[Any, ...] = (0, -0.001, NOT_A_NUMBER, INFINITE, 1e308, 10**30, 10**400, "small", True)
_QUANTILES: tuple[Any, ...] = (
    *_SHARES,
    [0.9, 0.1],
    [0.1],
    [],
    [0.1, 0.5, 0.9],
    [NOT_A_NUMBER, 0.9],
    ["a", "b"],
)
_WORDS: tuple[Any, ...] = ("", "nonsense", "x" * 50_000, "a\nb", 7)
_LISTS: tuple[Any, ...] = (["no_such"], ["a`b"], [["x"]], [7], [None], [True], [""], ["x" * 50_000], "text")

# By group, type of file and key: values that cannot be.
WRONG: dict[str, dict[str, dict[str, tuple[Any, ...]]]] = {
    "shares that do not sum": {
        "experiment": {
            "arms": (
                {"a": 0.5, "b": 0.6},
                {"a": 0.5},
                {},
                {"a": 0.3, "b": 0.3, "c": 0.3},
                {"a": 1e-9, "b": 0.5},
            ),
            "arms.*": (0.4999, 0.6, *_SHARES),
        },
        "units": {
            "arms": ({"a": 0.5, "b": 0.6}, {"a": 0.5}, {}, {"": 0.5, "b": 0.5}),
            "arms.*": (0.4999, 0.6, *_SHARES),
        },
    },
    "dates that contradict or are none": {
        "experiment": {
            "start": (
                *(date(1, 1, 1), date(1999, 12, 31), date(2200, 1, 1), date(9999, 12, 31), 20260302, "soon"),
                *("2026-02-30", "2026-13-01", "02/03/2026", "2026-03-02T25:00:00Z", "today", "now"),
            ),
            "enrollment_days": _COUNTS,
            "covariates.days": _COUNTS,
        },
    },
    "windows out of range": {
        "metrics": {"metrics.*.window": (*_COUNTS, "week", "TO_DATE")},
        "sources": {
            "*.*.max_days_late": (-1, 10**9, 10**30, 1.5, NOT_A_NUMBER, "3"),
            "*.*.min_daily_rows": (-1, 10**30, 0.5, "many"),
        },
        "experiment": {"rollout.min_days": _COUNTS},
    },
    "numbers out of range": {
        "metrics": {"metrics.*.winsorize": _QUANTILES},
        "experiment": {
            "design.alpha": _SHARES,
            "design.power": _SHARES,
            "design.mde_relative": _POSITIVE,
            "rollout.stages": (
                *(
                    [],
                    [0],
                    [0.5, 0.2],
                    [0.1, 0.1],
                    [1.5],
                    [-0.1, 0.5],
                    [NOT_A_NUMBER],
                    ["0.1"],
                    [True],
                    [0.1, [0.2]],
                ),
            ),
        },
        "units": {
            "source.columns.*.winsorize": _QUANTILES,
            "source.columns.*.quantile": _SHARES,
            "design.alpha": _SHARES,
            "design.power": _SHARES,
        },
    },
    "margins": {
        "experiment": {"metrics.guardrails.*.margin": _POSITIVE},
        "units": {"metrics.guardrails.*.margin": _POSITIVE},
    },
    "choices that are none": {
        "metrics": {
            "measures.*.kind": _WORDS,
            "metrics.*.kind": (*_WORDS, "sum"),
            "metrics.*.better": _WORDS,
        },
        "sources": {"*.*.format": (*_WORDS, "avro", "orc")},
        "experiment": {
            "unit": (*_WORDS, "household_id"),
            "cluster": _WORDS,
            "randomized_by": _WORDS,
            "decision_estimator": (*_WORDS, "lin"),
            "sequential.spending": (*_WORDS, "hsd", "hsd:", "hsd:nan", "hsd:inf", "hsd:x", "hsd:1e400"),
            "sequential.looks": (*_WORDS, "weekly"),
        },
        "units": {"source.columns.*.kind": (*_WORDS, "median"), "vcov": (*_WORDS, "hc3")},
    },
    "metrics, measures and columns that are none": {
        "metrics": {
            "metrics.*.measure": _WORDS,
            "metrics.*.numerator": _WORDS,
            "metrics.*.denominator": _WORDS,
        },
        "experiment": {
            "metrics.primary": _LISTS,
            "metrics.secondary": _LISTS,
            "metrics.guardrails": (
                {"no_such": {"margin": 1}},
                {"play_starts_7d": {"margin": 1}},
                {"a`b": {"margin": 1}},
            ),
            "covariates.measures": _LISTS,
            "covariates.attributes": _LISTS,
            "strata": _LISTS,
            "segments": _LISTS,
        },
        "units": {
            "metrics.primary": _LISTS,
            "metrics.secondary": _LISTS,
            "metrics.guardrails": ({"no_such": {"margin": 1}}, {"kept": {"margin": 1}}),
            "strata": ([["x"]], [7], [None], "text", ["household_id"], ["a", "a"], [""]),
            "segments": ([["x"]], [7], [None], "text", ["arm"], ["a", "a"], [""]),
            "source.columns.*.covariates": ([["x"]], [7], [None], "text", ["a", "a"], [""]),
        },
    },
    "places and identities that are none": {
        "tables": {"root": ("", "a`b", "a\nb", "{dir}/tables", "tables`; DROP TABLE events", 7, "x\0y")},
        "sources": {"*.*.path": ("", " ", "{dya}/x", "a\nb", "a`b", "x\x07", 7)},
        "experiment": {
            "id": ("", "a b", "a/b", "../x", "a`b", "a'b", "a\nb", "x" * 101, "x" * 90_000, 7),
            "layer": ("", "a b", "a/b", "../x", "a`b", "a'b", "a\nb", "x" * 101, 7),
        },
        "units": {
            "id": ("", "a b", "a/b", "../x", "a`b", "a\nb", "x" * 101, 7),
            "source.path": ("", "a\nb", "a`b", 7),
            "source.unit": ("", " ", 7, ["user_id"]),
            "source.cluster": ("", " ", 7),
            "source.arm": ("", " ", 7),
        },
    },
}


def _bomb(levels: int, width: int) -> str:
    """A list of lists of lists, each the same one many times over: "a billion laughs"."""
    parts = ['&a0 ["lol", "lol"]']
    parts += [f"&a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return f"[{', '.join(parts)}]"


RAW_YAML = {
    "cycle": ("&a [*a]", "&a {x: *a}", "&a [1, [2, *a]]", "[&a {x: [*a]}]", "{&a x: [*a]}", "*nowhere"),
    "bomb": (
        _bomb(9, 9),
        _bomb(30, 2),
        _bomb(40, 40),
        "{x: &a {k: 1}, <<: [*a, *a]}",
        _bomb(9, 9).replace("]]", "], {? *a8 : 1}]"),
    ),
    "deep": ("[" * _DEEP + "]" * _DEEP, "{x: " * _DEEP + "1" + "}" * _DEEP, "[" * _DEEP, "[" * 60 + "]" * 60),
    "tag": (
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!python/tuple [1]",
        "!!binary aGVsbG8=",
        "!!int seven",
        "!!float x",
        "!!timestamp soon",
        "!!bool maybe",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!include /etc/passwd",
        "!ENV ${HOME}",
        "!<tag:x,2026:" + "y" * 5_000 + "> 1",
    ),
    "huge": (
        "9" * 5_000 + "_",
        "9" * 5_000,
        "-0x" + "f" * 50_000,
        "1:" * 3_000 + "1",
        "1e308",
        "1.0e+308",
        ".inf",
        "-.INF",
    ),
    "broken": (
        "[1, 2",
        "{a: 1",
        '"open',
        "%x",
        "@x",
        "`x`",
        "{a: b: c}",
        "[a]]",
        "&a &b x",
        "*",
        "{? [a, b] : 1}",
        "{1: 2}",
        "{null: 2}",
        "{2026-01-01: 2}",
        "{a: 1, a: 2}",
        "{" + "9" * 5_000 + ": 1}",
        "|x\n",
        "!",
        ": :",
    ),
}
