"""What a day is compared with: what the audits of earlier days saw of them, so that no earlier day is read again."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import fmean
from typing import Any

from expectations.rules import SHARES_USUAL, RowsAtLeastFloor

# A service's weekends are not its weekdays. A young one has no month behind it: then the last days must do.
WEEKS, FEWEST_WEEKS = 4, 2
DAYS, FEWEST_DAYS = 7, 3
_ROWS = re.compile(r"(\d+) rows, floor (\d+)")

Shares = Mapping[str, float]


@dataclass(frozen=True)
class Past:
    """A day as its last audit saw it: `shares` of rows by level, by label."""

    rows: int
    floor: int
    shares: Mapping[str, Shares] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """A day on which rows were due, and came. Others may hold a few late rows of a day that was never loaded."""
        return self.floor > 0 and self.rows > 0


def usual_rows(day: date, past: Mapping[date, Past]) -> float | None:
    """The mean number of rows of the days that the day is compared with; None where they are too few."""
    days = _compared(day, [each for each, seen in past.items() if seen.is_whole])
    return fmean(past[each].rows for each in days) if days else None


def usual_shares(day: date, label: str, past: Mapping[date, Past]) -> tuple[Shares, int]:
    """The mean share of each level on the days that the day is compared with, and how many days these are."""
    days = _compared(day, [each for each, seen in past.items() if seen.is_whole and label in seen.shares])
    levels = {level for each in days for level in past[each].shares[label]}
    return {level: fmean(past[each].shares[label].get(level, 0.0) for each in days) for level in levels}, len(
        days
    )


def _compared(day: date, known: Iterable[date]) -> list[date]:
    """The same weekday of the weeks before, where enough of them are known; else the days before."""
    days = set(known)
    weeks = [day - timedelta(weeks=back) for back in range(1, WEEKS + 1)]
    same_weekday = [each for each in weeks if each in days]
    if len(same_weekday) >= FEWEST_WEEKS:
        return same_weekday
    before = [day - timedelta(days=back) for back in range(1, DAYS + 1)]
    lately = [each for each in before if each in days]
    return lately if len(lately) >= FEWEST_DAYS else []


def days_asked(days: Iterable[date]) -> list[date]:
    """The days whose audits may be asked for: those that `days` may be compared with, and `days` themselves."""
    back = {0, *range(1, DAYS + 1), *(7 * weeks for weeks in range(1, WEEKS + 1))}
    return sorted({day - timedelta(days=n) for day in days for n in back})


def rows_in_words(rows: int, floor: int) -> str:
    return f"{rows} rows, floor {floor}"


def shares_as_text(shares: Shares) -> str:
    return json.dumps({level: round(share, 6) for level, share in shares.items()})


def pasts(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[date, Past]]:
    """What the rows of data_quality_results tell of earlier audits, by table and day."""
    found: dict[str, dict[date, Past]] = {}
    shares: dict[tuple[str, date], dict[str, Shares]] = {}
    for row in results:
        found_shares = _shares(row["details"]) if row["expectation"].endswith(SHARES_USUAL) else None
        if found_shares:
            label = row["expectation"].removesuffix(SHARES_USUAL)
            shares.setdefault((row["table"], row["day"]), {})[label] = found_shares
    for row in results:
        counted = _ROWS.fullmatch(row["observed"] or "")
        if row["expectation"] == RowsAtLeastFloor().name and counted:
            of_day = shares.get((row["table"], row["day"]), {})
            found.setdefault(row["table"], {})[row["day"]] = Past(int(counted[1]), int(counted[2]), of_day)
    return found


def _shares(text: str | None) -> Shares | None:
    """None where there were no rows, or the rule raised: then the text is its error."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return {level: float(share) for level, share in found.items()} if isinstance(found, dict) else None
