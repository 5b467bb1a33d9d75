from collections.abc import Mapping

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from metrics.configuration.sql import SqlFault, expression_faults, schema_columns
from metrics.configuration.sql_functions import AGGREGATES, REFUSED, SCALARS
from metrics.schemas import EVENT_COLUMNS
from tests.metrics.configuration.wrong_values import AGGREGATE_ATTACKS, BAD_SCHEMAS, ROW_ATTACKS, SQL_ATTACKS

# What analytics engineers write, over the columns of events.
AGGREGATES_OF_EVENTS = (
    "count(*)",
    "COUNT(DISTINCT session_id, title_id)",
    "count_if(event_type = 'play_start' AND attributes['row'] = '1')",
    "sum(watch_ms) FILTER (WHERE event_type IN ('playback', 'play_end')) / 60000",
    "sum(CASE WHEN event_type = 'playback' THEN coalesce(watch_ms, 0) ELSE 0 END) > 0",
    "max_by(latency_ms, event_ts)",
    "percentile(latency_ms, 0.9)",
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms DESC) FILTER (WHERE latency_ms > 0)",
    "approx_count_distinct(title_id)",
    "any(device RLIKE r'^tv\\d') OR bool_or(region LIKE ANY ('e%', 'n%'))",
    "array_size(array_distinct(collect_list(title_id)))",
    "try_divide(sum(rebuffer_ms), sum(watch_ms + rebuffer_ms)) * 1e3",
    "avg(try_cast(attributes.bitrate AS DECIMAL(10, 2)))",
    "sum(cast(get_json_object(attributes['context'], '$.size') AS INT))",
    "date_diff(DAY, min(event_ts), max(event_ts))",
    "timestampdiff(SECOND, min(event_ts), max(event_ts)) DIV 60 % 7",
    "sum(extract(HOUR FROM event_ts)::double)",
    "sum(size(filter(split(attributes['rows'], ','), x -> x <> '' AND length(x) < 3)))",
    "sum(aggregate(sequence(1, 3), 0L, (total, n) -> total + n * watch_ms))",
    "count_if(event_ts >= TIMESTAMP '2026-03-02 00:00:00' + INTERVAL 2 DAYS)",
    "count_if(event_ts BETWEEN date_trunc('DAY', event_ts) AND try_to_timestamp('2026-03-02'))",
    "count_if(attributes['range'] LIKE 'today' OR attributes['today'] = 'yes')",
    "sum(if(event_type <=> 'crash', 1, 0)) IS NOT NULL",
    "count(DISTINCT substring(session_id FROM 1 FOR 3) || trim(BOTH ' ' FROM region))",
    "max(named_struct('at', event_ts, 'ms', latency_ms)).ms",
    "map('a', sum(watch_ms))['a'] + array(1L, 2L)[0]",
    "sum(least(watch_ms, -1, 2.5D, NULL)) + pi()",
    "1",
)
VALUES_OF_AN_EVENT = (
    "CASE WHEN event_type = 'page_render' THEN latency_ms END",
    "`device`",
    "nullif(trim(device), '')",
    "exists(map_values(attributes), v -> v = 'x')",
    "transform_values(attributes, (k, v) -> upper(v))['a']",
    "from_json(attributes['x'], 'a INT, b STRING').a",
    "date(event_ts) = DATE '2026-03-02'",
    "position('a' IN device) + overlay(device PLACING 'x' FROM 1)::int",
    "hash(profile_id, xxhash64(device)) & 255",
    "unix_timestamp(event_ts)",
    "'it''s' || \"quoted\" || r'\\raw'",
)
SCHEMAS = (
    "id BIGINT, at STRING NOT NULL COMMENT 'when, in UTC', m MAP<STRING, ARRAY<INT>>, s STRUCT<x: INT, `y z`: DATE>",
    "a DECIMAL(10, 2), b LONG, c INTEGER, d VARCHAR(3), e TIMESTAMP_NTZ, f VARIANT, `odd name` BYTE, date DATE",
)


def test_what_analytics_engineers_write_passes_here_and_in_spark(spark: SparkSession) -> None:
    events = spark.createDataFrame([], ", ".join(f"{name} {kind}" for name, kind in EVENT_COLUMNS.items()))
    for sql in AGGREGATES_OF_EVENTS:
        assert (sql, expression_faults(sql, EVENT_COLUMNS, aggregate=True)) == (sql, ())
        events.groupBy("profile_id").agg(F.expr(sql))
    for sql in VALUES_OF_AN_EVENT:
        assert (sql, expression_faults(sql, EVENT_COLUMNS, aggregate=False)) == (sql, ())
        events.select(F.expr(sql))
    for ddl in SCHEMAS:
        parsed = StructType.fromDDL(ddl)
        assert isinstance(parsed, StructType)
        assert list(schema_columns(ddl)) == parsed.names


@pytest.mark.parametrize("aggregate", [True, False])
@pytest.mark.parametrize("columns", [EVENT_COLUMNS, None], ids=["columns known", "columns not known"])
def test_nothing_passes_that_is_more_than_an_expression(
    aggregate: bool, columns: Mapping[str, str] | None
) -> None:
    # Without a schema any name may be a column, and a dotted one a field of it.
    names = (
        {"no_such_column", "payments.amount", "spark_catalog.default.payments.amount"}
        if columns is None
        else {}
    )
    attacks = [*SQL_ATTACKS, *(AGGREGATE_ATTACKS if aggregate and columns else ())]
    attacks += [] if aggregate else ROW_ATTACKS[:4]
    passed = [sql[:80] for sql in attacks if not expression_faults(sql, columns, aggregate)]
    assert set(passed) == (set() if aggregate else set(names))


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("sum(watch_mss)", "uses column 'watch_mss', which is not there; did you mean 'watch_ms'?"),
        ("count_iff(true)", "calls 'count_iff', which is no function of Spark; did you mean count_if()?"),
        ("first(device)", "calls first(), which depends on the order of rows; use min, max, min_by or max_by"),
        ("max(now())", "calls now(), which reads the clock; use a column or a fixed date"),
        ("max(event_ts > 'today')", "has the text 'today', which Spark may read as a day of the clock; "
         "write a fixed date, or LIKE 'today' to compare texts"),
        ("watch_ms", "has column 'watch_ms' outside of an aggregate; put it into one, such as sum or max"),
        ("sum(max(watch_ms))", "has max() inside another aggregate; one cannot hold another"),
        ("(SELECT max(x) FROM t)", "reads a table; use the columns of the row itself"),
        ("sum(watch_ms) OVER ()", "looks at other rows (OVER); use the columns of the row itself"),
        ("a.b.f(1)", "calls 'a.b.f(1)', a function of a catalogue; use Spark's own functions"),
        ("sum(device.name)", "uses a field of column 'device', which is a STRING; use the column itself"),
    ],
)  # fmt: skip
def test_a_fault_says_what_and_the_remedy(sql: str, fault: str) -> None:
    assert fault in expression_faults(sql, EVENT_COLUMNS, aggregate=True)


def test_a_text_of_the_clock_is_one_to_spark(spark: SparkSession) -> None:
    """Why such texts are refused: Spark makes a date of them when the job runs, without being asked."""
    row = spark.sql(
        "SELECT current_date() = 'today' AS implicit, CAST('now' AS DATE) = current_date() AS cast"
    ).first()
    assert row is not None
    assert (row.implicit, row.cast) == (True, True)


@pytest.mark.parametrize("ddl", BAD_SCHEMAS[:14])
def test_a_schema_is_names_and_types(ddl: str) -> None:
    with pytest.raises(SqlFault, match="; "):
        schema_columns(ddl)


def test_every_function_of_spark_is_known_by_what_it_does(spark: SparkSession) -> None:
    registry = spark._jvm.org.apache.spark.sql.catalyst.analysis.FunctionRegistry.builtin()  # type: ignore[union-attr]
    groups, names = {}, registry.listFunction().iterator()
    while names.hasNext():
        name = names.next()
        groups[name.funcName()] = registry.lookupFunction(name).get().getGroup()
    operators = {"and", "between", "div", "in", "not", "or", "when"}
    spoken = {name for name in groups if name[0].isalpha()} - operators
    special_syntax = {"timestampadd", "timestampdiff", "try_cast"}
    assert spoken | special_syntax == AGGREGATES | SCALARS | set(REFUSED)
    assert not (AGGREGATES & SCALARS or (AGGREGATES | SCALARS) & set(REFUSED))
    by_group = {name for name, group in groups.items() if group == "agg_funcs"} - set(REFUSED)
    assert by_group | {"schema_of_variant_agg"} == AGGREGATES
    assert not {name for name, group in groups.items() if group in ("generator_funcs", "window_funcs")} - set(
        REFUSED
    )
