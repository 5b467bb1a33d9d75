from datetime import date
from pathlib import Path

from expectations.data_docs import write_data_docs
from expectations.results import AuditResult

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


def result(day: date, expectation: str, success: bool, observed: str | None) -> AuditResult:
    details = None if success else "expected one row for each key"
    return AuditResult("events", day, expectation, "r", "critical", success, observed, None, details)


def test_a_page_for_each_day_says_what_was_expected_and_seen(tmp_path: Path) -> None:
    results = [
        result(FIRST, "key_unique", True, "0 duplicate rows"),
        result(SECOND, "key_unique", False, "3 duplicate rows"),
        result(SECOND, "event_id_not_null", True, None),
    ]
    index = write_data_docs(tmp_path / "docs", results, {"events": {"key_unique": "one row for each key"}})
    assert str(SECOND) in index.read_text()
    pages = {day: page_of(tmp_path / "docs", day) for day in (FIRST, SECOND)}
    assert "one row for each key (critical)" in pages[FIRST]
    assert "Succeeded" in pages[FIRST]
    assert "3 duplicate rows; expected one row for each key" in pages[SECOND]
    assert "Failed" in pages[SECOND]
    assert "event id not null (critical)" in pages[SECOND]
    assert "event id not null" not in pages[FIRST]

    write_data_docs(tmp_path / "docs", results[:1], {})
    assert not list((tmp_path / "docs").rglob(f"*{SECOND}*.html"))


def page_of(folder: Path, day: date) -> str:
    (page,) = folder.rglob(f"events-{day}.html")
    return page.read_text()
