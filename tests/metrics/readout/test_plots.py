import pytest

from metrics.readout.plots import forest


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
