"""What happens inside a session, in any arm: impressions, searches, plays, failures, heartbeats, crashes.

Every candidate event has its draw; an arm only decides which candidates happen. Hence two arms share their draws,
and the play starts of the arm with the larger lift contain those of the other.

The columns are numbers until `canonical` names them, and draws are made at the highest level they depend on: one
generated JVM method handles an event, and above 8000 bytes of byte code the JVM would never compile it.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from metrics.simulation import settings as S
from metrics.simulation.draws import at, exponential, named, uniform
from metrics.simulation.sessions import sessions, with_contents
from metrics.simulation.settings import Settings, epoch_day

KINDS = (
    "session_start",
    "page_render",
    "impression",
    "crash",
    "search",
    "play_attempt",
    "play_start",
    "play_failure",
    "playback",
    "play_end",
)
_SESSION_START, _PAGE, _IMPRESSION, _CRASH, _SEARCH, _ATTEMPT, _START, _FAILURE, _PLAYBACK, _END = range(
    len(KINDS)
)
# Steps of a play, in order; then heartbeats, then the end.
_SEARCH_STEP, _PAGE_STEP, _ATTEMPT_STEP, _OUTCOME_STEP, _FIRST_BEAT = range(5)
_STALL_SHARE = 0.15
# A minute of browsing before the first play; the picture shows 8 s after the search; crashes come within half an hour.
_BROWSING_MS, _OUTCOME_MS, _CRASH_SPREAD = 60_000, 8_000, 2_000


def events(
    joined: DataFrame,
    settings: Settings,
    arm: str,
    control: str,
    first_epoch_day: int,
    carried: Sequence[str] = (),
) -> DataFrame:
    """Every event up to the end of the last simulated day, of the sessions from `first_epoch_day` on.

    `joined` is what `participants` returns; `arm` names its column of the arm to live in from the first exposure on
    (null: none). Columns: those `carried` over, and profile_id, household_id, epoch_day, session_no, slot, step (which
    together name the event), session_key (for draws), ts_ms BIGINT since 1970, title_id, device, region, kind
    (positions in DEVICES, REGIONS, KINDS), watch_ms, rebuffer_ms, latency_ms, detail INT (what `attributes` says).
    """
    opened = with_contents(
        sessions(joined, settings, first_epoch_day, epoch_day(settings.last_day)), settings
    )
    lived = opened.select("*", _is_treated(F.col(arm), control).alias("treated"))
    steps = _steps(_slots(_rated(lived, settings), settings), settings)
    end_ms = (epoch_day(settings.last_day) + 1) * S.DAY_MS
    return _described(steps, carried).where(F.col("ts_ms") < end_ms)


def canonical(happened: DataFrame, *kept: str) -> DataFrame:
    """The columns of the table `events` that an event brings itself, its day, and the columns `kept` as they are."""
    session_id = F.concat_ws("-", "profile_id", "epoch_day", "session_no")
    event_ts = F.timestamp_millis("ts_ms")
    return happened.select(
        *kept,
        F.concat_ws("-", session_id, "slot", "step").alias("event_id"),
        event_ts.alias("event_ts"),
        F.to_date(event_ts).alias("day"),
        "profile_id",
        "household_id",
        session_id.alias("session_id"),
        "title_id",
        named(S.DEVICES, F.col("device")).alias("device"),
        named(S.REGIONS, F.col("region")).alias("region"),
        named(KINDS, F.col("kind")).alias("event_type"),
        "watch_ms",
        "rebuffer_ms",
        "latency_ms",
        _attributes().alias("attributes"),
    )


def _is_treated(arm: Column, control: str) -> Column:
    return F.coalesce((F.col("started_ms") >= F.col("exposed_ms")) & (arm != control), F.lit(False))


def _rated(lived: DataFrame, settings: Settings) -> DataFrame:
    """A session's rates under its arm: play_factor, failure_rate, stall_scale; and whether it crashes."""
    days_exposed = (F.col("started_ms") - F.col("exposed_ms")) / S.DAY_MS
    lift = F.when(F.col("treated"), F.col("lift") * F.exp(-days_exposed / S.NOVELTY_DAYS)).otherwise(0.0)
    rebuffering = _rate(S.REBUFFERING, "rebuffering_ratio", settings)
    return lived.select(
        "*",
        ((1.0 + lift) / (1.0 + settings.effects.largest_lift)).alias("kept_share"),
        _rate(S.START_FAILURES, "start_failure_rate", settings).alias("failure_rate"),
        (rebuffering / (1.0 - rebuffering) / _STALL_SHARE).alias("stall_scale"),
        (uniform(settings.seed, "crash", "session_key") < _rate(S.CRASHES, "crash_rate", settings))
        .cast("int")
        .alias("crashes"),
    )


def _slots(rated: DataFrame, settings: Settings) -> DataFrame:
    """One row per slot of a session: 0 is the browsing at the start, 1, 2, … the plays that this arm makes."""
    seed, key = settings.seed, ("session_key", "slot")
    slots = rated.select("*", F.explode(F.sequence(F.lit(0), F.col("candidates"))).alias("slot"))
    made = slots.where((F.col("slot") == 0) | (uniform(seed, "kept", *key) < F.col("kept_share")))
    completion = F.pow(uniform(seed, "completion", *key), F.lit(0.4))
    begun = F.when(F.col("slot") > 0, _BROWSING_MS + (F.col("slot") - 1) * F.col("slot_ms")).otherwise(0)
    drawn = made.select(
        "*",
        (F.col("started_ms") + begun).alias("slot_started_ms"),
        (uniform(seed, "failed", *key) < F.col("failure_rate")).alias("failed"),
        # The slot also holds the search, the waiting and the end: 100 s and an eighth are left for them.
        (completion * (F.col("slot_ms") * 0.875 - 100_000)).cast("bigint").alias("play_ms"),
        _title(uniform(seed, "title", *key)).alias("slot_title"),
        (uniform(seed, "search", *key) < S.SEARCH_SHARE).alias("searches"),
        (uniform(seed, "title page", *key) < S.TITLE_PAGE_SHARE).alias("opens_page"),
    )
    return drawn.select("*", F.ceil(F.col("play_ms") / S.BEAT_MS).cast("int").alias("beats"))


def _steps(slots: DataFrame, settings: Settings) -> DataFrame:
    """One row per event that happens, numbered by `step` within its slot, with its draw `u`."""
    slot, step = F.col("slot"), F.col("step")
    playing = F.when(F.col("failed"), _OUTCOME_STEP).otherwise(F.col("beats") + _FIRST_BEAT)
    last = F.when(slot == 0, F.col("impressions") + F.col("crashes") + 1).otherwise(playing)
    steps = slots.select("*", F.explode(F.sequence(F.lit(0), last)).alias("step"))
    skipped = ((step == _SEARCH_STEP) & ~F.col("searches")) | ((step == _PAGE_STEP) & ~F.col("opens_page"))
    return steps.where((slot == 0) | ~skipped).select(
        "*", _kind().alias("kind"), uniform(settings.seed, "event", "session_key", "slot", "step").alias("u")
    )


def _kind() -> Column:
    step = F.col("step")
    browsing = F.when(step < 2, step).when(step < F.col("impressions") + 2, _IMPRESSION).otherwise(_CRASH)
    outcome = F.when(F.col("failed"), _FAILURE).otherwise(_START)
    ending = F.when(step < F.col("beats") + _FIRST_BEAT, _PLAYBACK).otherwise(_END)
    playing = (
        F.when(step == _SEARCH_STEP, _SEARCH)
        .when(step == _PAGE_STEP, _PAGE)
        .when(step == _ATTEMPT_STEP, _ATTEMPT)
        .when(step == _OUTCOME_STEP, outcome)
        .otherwise(ending)
    )
    return F.when(F.col("slot") == 0, browsing).otherwise(playing)


def _described(steps: DataFrame, carried: Sequence[str]) -> DataFrame:
    kind, u = F.col("kind"), F.col("u")
    watched = F.least(F.lit(S.BEAT_MS).cast("bigint"), F.col("play_ms") - _beat() * S.BEAT_MS)
    # Mostly no wait; else exponential, so that waiting / (watching + waiting) has the session's rate.
    waited = watched * F.col("stall_scale") * exponential(u / _STALL_SHARE)
    usual = F.when(kind == _PAGE, at(list(S.LATENCY_MS.values()), F.col("session_device"))).when(
        kind == _START, at(list(S.START_DELAY_MS.values()), F.col("session_device"))
    )
    latency = usual * (0.4 + 0.6 * exponential(u))
    is_home = F.col("from_homepage") & (F.col("slot") == 0)
    return steps.select(
        *carried,
        "profile_id",
        "household_id",
        "epoch_day",
        "session_no",
        "session_key",
        "slot",
        "step",
        _ts_ms().alias("ts_ms"),
        F.when(kind == _IMPRESSION, _title(u)).when(kind >= _ATTEMPT, F.col("slot_title")).alias("title_id"),
        F.col("session_device").alias("device"),
        "region",
        "kind",
        F.when(kind == _PLAYBACK, watched).alias("watch_ms"),
        F.when(kind == _PLAYBACK, F.when(u < _STALL_SHARE, waited.cast("bigint")).otherwise(0)).alias(
            "rebuffer_ms"
        ),
        latency.cast("bigint").alias("latency_ms"),
        F.when(kind == _PAGE, is_home.cast("int")).otherwise((u * 20).cast("int") + 1).alias("detail"),
    )


def _beat() -> Column:
    return (F.col("step") - _FIRST_BEAT).cast("bigint")


def _ts_ms() -> Column:
    """Kept small, because a filter on it evaluates it twice. Ends come a second after the last heartbeat."""
    kind, step = F.col("kind"), F.col("step")
    jitter = (F.col("u") * 900).cast("bigint")
    shown = F.least((_beat() + 1) * S.BEAT_MS, F.col("play_ms")) + _OUTCOME_MS
    since = (
        F.when(kind == _PLAYBACK, shown)
        .when(kind == _END, F.col("play_ms") + (_OUTCOME_MS + 1_000))
        .when(kind == _CRASH, jitter * _CRASH_SPREAD)
        .otherwise(step * 2_000)
    )
    return F.col("slot_started_ms") + since + jitter


def _title(u: Column) -> Column:
    """A few titles get most plays."""
    return (u * u * u * S.TITLES).cast("bigint") + 1


def _rate(by_device: dict[str, float], name: str, settings: Settings) -> Column:
    harm = settings.effects.harm.get(name, 0.0)
    rate = at(list(by_device.values()), F.col("session_device"))
    return rate + F.when(F.col("treated"), harm).otherwise(0.0) if harm else rate


def _attributes() -> Column:
    """What else a client says of an event; null for most."""
    kind, detail = F.col("kind"), F.col("detail")
    number = detail.cast("string")
    return (
        F.when(kind == _PAGE, F.create_map(F.lit("page"), F.when(detail == 1, "home").otherwise("title")))
        .when(kind == _IMPRESSION, F.create_map(F.lit("row"), number))
        .when(kind == _SEARCH, F.create_map(F.lit("query_length"), number))
        .when(kind == _FAILURE, F.create_map(F.lit("code"), F.concat(F.lit("E"), number)))
    )
