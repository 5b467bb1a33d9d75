from datetime import UTC, datetime, timedelta

import pytest

from metrics.readout.plots import course, forest

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def text(value: float) -> str:
    return f"{value:g}"


def test_positions_are_linear_between_round_ticks() -> None:
    plot = forest([(-1.0, 0.5, 2.0), None], text, marks=(1.0,))
    assert [tick.text for tick in plot.ticks] == ["-1", "0", "1", "2"]
    assert [tick.position for tick in plot.ticks] == pytest.approx([4, 34.667, 65.333, 96], abs=0.001)
    assert (plot.zero, plot.marks) == (plot.ticks[1].position, (plot.ticks[2].position,))
    bar = plot.bars[0]
    assert bar and (bar.low, bar.point, bar.high) == (4, 50, 96)
    assert plot.bars[1] is None


def test_an_interval_beyond_the_reach_is_cut_and_marked() -> None:
    bar = forest([(-9.0, -8.0, 0.5)], text, reach=1.0).bars[0]
    assert bar and bar.is_cut_low and not bar.is_cut_high
    assert bar.low == bar.point == 4


def test_nothing_to_plot_is_an_empty_axis() -> None:
    assert len(forest([None], text).ticks) == 2


def test_a_course_is_linear_in_time_and_in_value_from_zero() -> None:
    times = [START + timedelta(hours=hours) for hours in (0, 12, 48)]
    plot = course(times, [[0.0, 3.0, 4.0], [1.0, 1.0, 1.0]], marks=[times[1]])
    assert plot.lines == ("0.0,100.0 25.0,25.0 100.0,0.0", "0.0,75.0 25.0,75.0 100.0,75.0")
    assert [(tick.position, tick.text) for tick in plot.days] == [(25.0, "2026-03-03"), (75.0, "2026-03-04")]
    assert [tick.text for tick in plot.levels] == ["0", "1", "2", "3", "4"]
    assert plot.marks == (25.0,)


def test_a_course_of_a_month_names_about_four_days_and_one_of_one_moment_none() -> None:
    times = [START + timedelta(days=n) for n in range(30)]
    assert len(course(times, [[1.0] * 30]).days) == 4
    assert course([START], [[0.0]]).days == ()
