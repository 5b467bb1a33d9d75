"""How events reach the landing folders: at their hour, or late, twice, damaged, or with a wrong clock.

Delivery never goes past the last simulated day: what is due later arrives in that day's last hour.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.simulation import settings as S
from metrics.simulation.draws import named, uniform
from metrics.simulation.settings import Settings, epoch_day

EVENT_KEY = ("profile_id", "epoch_day", "session_no", "slot", "step")
_HOUR_MS = 3_600_000
_HOURS = tuple(f"{hour:02d}" for hour in range(24))
_MOST_DAYS_LATE = 3
_MOST_DAYS_AHEAD = 30


def delivered(happened: DataFrame, settings: Settings) -> DataFrame:
    """The deliveries of `happened` (as `events` returns it): one per event, two of a duplicate.

    Added columns: ingest_day DATE, hour STRING (two digits), damage (null, 'broken', 'no_profile' or 'no_event_id').
    An event has at most one fault. A wrong clock changes ts_ms, not where the event lands.
    """
    shares = settings.faults.of_events
    if not any(shares.values()):
        return _placed(happened, settings, F.col("ts_ms")).withColumn("damage", F.lit(None).cast("string"))
    names = [name for name in happened.columns if name != "ts_ms"]
    sent = happened.select("*", *_fault(shares, settings))
    sent = sent.select("*", F.explode(F.sequence(F.lit(0), _is("duplicates").cast("int"))).alias("copy"))
    arrived_ms = F.col("ts_ms") + _days_late() * S.DAY_MS
    placed = _placed(sent, settings, arrived_ms)
    return placed.select(
        *names,
        (F.col("ts_ms") + _skew_ms()).alias("ts_ms"),
        "ingest_day",
        "hour",
        _damage().alias("damage"),
    )


def on_arrival(frame: DataFrame, at_ms: Column) -> DataFrame:
    """Add the folder columns ingest_day DATE and hour STRING of what arrives at a time."""
    hour = F.floor(F.pmod(at_ms, F.lit(S.DAY_MS)) / _HOUR_MS).cast("int")
    day = F.date_from_unix_date(F.floor(at_ms / S.DAY_MS).cast("int"))
    # Never null, and said so: the writer would sort once more by a partition column that may be null.
    return frame.select(
        "*", day.alias("ingest_day"), F.coalesce(named(_HOURS, hour), F.lit("")).alias("hour")
    )


def _placed(sent: DataFrame, settings: Settings, arrived_ms: Column) -> DataFrame:
    end_ms = (epoch_day(settings.last_day) + 1) * S.DAY_MS
    return on_arrival(sent, F.least(arrived_ms, F.lit(end_ms - 1)))


def _fault(shares: dict[str, float], settings: Settings) -> list[Column]:
    """fault INT, the position of an event's fault in `shares` (or their number: none), and `draw`, uniform for it."""
    u = uniform(settings.seed, "fault", "session_key", "slot", "step")
    fault, draw, low = F.lit(len(shares)), F.lit(0.0), 0.0
    for position, share in enumerate(shares.values()):
        inside = (u >= low) & (u < low + share)
        fault = F.when(inside, position).otherwise(fault)
        draw = F.when(inside, (u - low) / share).otherwise(draw) if share else draw
        low += share
    return [fault.alias("fault"), draw.alias("draw")]


def _is(name: str) -> Column:
    return F.col("fault") == S.EVENT_FAULTS.index(name)


def _days_late() -> Column:
    """A late event comes 1 to 3 days later; half of the second copies come with the first, half like late ones."""
    days = F.floor(F.col("draw") * _MOST_DAYS_LATE) + 1
    copied = F.floor((F.col("draw") - 0.5) * 2 * _MOST_DAYS_LATE) + 1
    again = (F.col("copy") == 1) & (F.col("draw") >= 0.5)
    return F.when(_is("late"), days).when(again, copied).otherwise(0).cast("bigint")


def _skew_ms() -> Column:
    """Half of the wrong clocks are days ahead, half up to two hours behind."""
    draw = F.col("draw")
    ahead = (2 + draw * 2 * (_MOST_DAYS_AHEAD - 2)) * S.DAY_MS
    skew = F.when(draw < 0.5, ahead).otherwise((0.5 - draw) * 4 * _HOUR_MS)
    return F.when(_is("clock_skew"), skew).otherwise(0.0).cast("bigint")


def _damage() -> Column:
    no_key = F.when(F.col("draw") < 0.5, "no_profile").otherwise("no_event_id")
    return F.when(_is("broken"), "broken").when(_is("null_keys"), no_key)
