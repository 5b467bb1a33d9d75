import pytest

from metrics.configuration.catalogue import Catalogue, Measure
from metrics.rollup.totals import additive


@pytest.mark.parametrize(
    ("sql", "adds_up"),
    [
        ("count_if(event_type = 'play_start')", True),
        ("COUNT(*)", True),
        ("sum(watch_ms) FILTER (WHERE event_type = 'playback') / 60000", True),
        ("sum(coalesce(watch_ms, 0) + rebuffer_ms) * 1.5", True),
        ("count(DISTINCT title_id)", False),
        ("max(watch_ms)", False),
        ("sum(watch_ms) / sum(rebuffer_ms)", False),
        ("sum(watch_ms) + 1", False),
        ("least(sum(watch_ms), 10)", False),
        ("count_if(event_type = ')') > 0", False),
        ("sum(CASE WHEN event_type = '(' THEN 1 END) + max(watch_ms)", False),
    ],
)
def test_what_adds_up_over_profiles_is_one_count_or_sum_and_a_factor(sql: str, adds_up: bool) -> None:
    catalogue = Catalogue({"m": Measure("m", sql, "sum", "")}, {})
    assert additive(catalogue) == (("m",) if adds_up else ())
    assert additive(Catalogue({"m": Measure("m", sql, "any", "")}, {})) == ()
