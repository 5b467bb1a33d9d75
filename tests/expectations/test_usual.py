"""What is usual, and what is too far from it: numbers without Spark."""

from expectations.reconciliation import Compared
from expectations.shares import LabelShares, moves
from expectations.usual import Past, pasts, usual_rows
from tests.expectations.rows import DAY, later


def test_two_weeks_of_the_weekday_are_enough_and_one_is_not() -> None:
    week = {later(-n): Past(100, 1) for n in range(1, 8)}
    assert usual_rows(DAY, {**week, later(-14): Past(40, 1)}) == 70
    assert usual_rows(DAY, {**week, later(-7): Past(30, 1)}) == 90
    assert usual_rows(DAY, {later(-1): Past(9, 1), later(-2): Past(9, 1)}) is None


def test_a_level_moves_if_it_is_much_and_no_chance() -> None:
    usual = {"tv": 0.60, "web": 0.37, "fire": 0.03}

    def moved(draws: float, **now: float) -> list[str]:
        return [move.level for move in moves(LabelShares(now, draws), usual, days=4)]

    assert moved(1e9, tv=0.66, web=0.30, fire=0.04) == []
    assert moved(10_000, tv=0.71, web=0.26, fire=0.03) == ["tv", "web"]
    assert moved(10_000, tv=0.61, web=0.38, fire=0.01) == ["fire"]
    assert moved(10_000, tv=0.58, web=0.37, fire=0.03, watch=0.02) == ["watch"]
    assert moved(10_000, tv=0.61, web=0.371, fire=0.019) == []
    assert moved(100, tv=0.63, web=0.37) == []  # of a hundred rows three may stay away
    assert moves(LabelShares({"tv": 1.0}, 1e9), {}, days=0) == []


def test_counts_are_compared_exactly_and_sums_up_to_the_order_of_adding() -> None:
    assert not Compared("m", 0.1 + 0.2, 0.3).differs
    assert Compared("m", 3_000_000_001, 3_000_000_000.0).differs
    assert Compared("m", 0.30001, 0.3).differs
    assert Compared("m", float("nan"), 1.0).differs
    assert not Compared("m", None, 1.0).differs


def test_an_error_where_shares_should_be_is_no_past() -> None:
    row = {"table": "events", "day": DAY, "observed": None, "details": None}
    results = [
        {**row, "expectation": "rows_at_least_floor", "observed": "12 rows, floor 1"},
        {**row, "expectation": "device_shares_usual", "details": "Error: the column is missing"},
    ]
    assert pasts(results) == {"events": {DAY: Past(12, 1)}}
