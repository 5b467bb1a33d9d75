"""A sample ratio that broke, as page, terminal and JSON tell it."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metrics.enrollment import EnrollmentSlice
from metrics.readout.document import document
from metrics.readout.model import Readout
from metrics.readout.page import render_page
from metrics.readout.terminal import WIDTH, render_text
from tests.metrics.readout.readouts import readout_of
from tests.metrics.readout.test_page import parsed
from tests.result_rows import DAY, srm_check
from tests.srm_history import OPENS, looks

TV = EnrollmentSlice("homepage", 0, "device", "tv", "blocked", "sample ratio", OPENS + timedelta(hours=2))


def broken(folder: Path, n_hours: int = 40) -> Readout:
    """Of hourly looks; android is off from the sixth hour on."""
    return readout_of(folder, srm_checks=looks(lambda _, d: d == "android", 6, n_hours, share=0.6))


def recovered(folder: Path, **overrides: Any) -> Readout:
    """Device tv is blocked and does not trigger any more: its checks at the third hour, and at the last."""
    tv: dict[str, Any] = {"slice": "device", "slice_value": "tv"}
    off = {"observed": {"control": 600, "treatment": 400}, "log_e_value": 9.0, "triggered": True}
    checks = [
        srm_check(window_end=TV.since, observed={"control": 1600, "treatment": 1400}),
        srm_check(window_end=TV.since, **tv, **off),
        srm_check(),
        srm_check(**tv),
    ]
    return readout_of(folder, **{"srm_checks": checks, "enrollment": [asdict(TV)], **overrides})


def test_every_form_opens_with_it_before_any_number(tmp_path: Path) -> None:
    readout = broken(tmp_path)
    opening = "Sample ratio broken: device android, control "
    page, text = render_page(readout), render_text(readout)
    assert page.index(opening) < page.index("What changed</h2>")
    assert text.splitlines()[6].startswith(f"  - {opening}")
    found = document(readout)
    assert found["decision"]["reasons"][0].startswith(opening)
    assert found["srm"]["incident"]["culprit"]["check"]["slice_value"] == "android"
    assert "In business terms" not in page


def test_a_slice_that_is_blocked_is_not_hidden_by_a_last_look_that_fits(tmp_path: Path) -> None:
    readout = recovered(tmp_path)
    text, page = " ".join(render_text(readout).split()), render_page(readout)
    assert readout.decision.action == "hold"
    assert "Sample ratio broken: device tv, control 60.0% / treatment 40.0% of 1,000 profiles" in text
    assert "By the last check no slice triggers any more, but only a restart reopens it." in text
    assert "MISMATCH before (device tv), though none in the 2 slices checked last" in text
    assert {reading.reading.kind for reading in readout.metrics} == {"not used"}
    assert page.count(">blocked</span>") == 2  # in the slice's row, and in that of the look


def test_blocks_of_later_days_other_epochs_and_restarts_are_not_this_days(tmp_path: Path) -> None:
    later = asdict(TV) | {"since": datetime(2026, 3, 22, 1, tzinfo=UTC)}
    restart = asdict(TV) | {"slice": "restart", "slice_value": str(DAY), "status": "open"}
    rows = [later, asdict(TV) | {"epoch": 1}, restart]
    readout = recovered(tmp_path, enrollment=rows, srm_checks=[srm_check()])
    assert (readout.srm.incident, readout.decision.action) == (None, "ship")
    at_the_end = asdict(TV) | {"since": datetime(2026, 3, 22, tzinfo=UTC)}
    assert recovered(tmp_path, enrollment=[at_the_end], srm_checks=[srm_check()]).srm.incident


def test_nothing_of_it_where_all_is_well(tmp_path: Path) -> None:
    readout = readout_of(tmp_path)
    assert document(readout)["srm"]["incident"] is None
    assert document(readout)["srm"]["timeline"] == []
    for shown in (render_page(readout), render_text(readout)):
        assert not re.search("How the sample ratio broke|Sample ratio broken|watchlift srm|<polyline", shown)


def test_the_timeline_tells_what_was_known_at_each_look(tmp_path: Path) -> None:
    readout = recovered(tmp_path)
    first, last = document(readout)["srm"]["timeline"]
    assert first == {
        "until": "2026-03-02T02:00:00+00:00",
        "profiles": 3000,
        "households": 0,
        "furthest": "profiles, device tv",
        "log_e_value": 9.0,
        "threshold": 4.6,
        "triggered": 1,
        "broke": ["device tv"],
    }
    assert (last["profiles"], last["triggered"], last["broke"]) == (20_000, 0, [])
    page = render_page(readout)
    (row,) = re.findall(r"<tr><th[^>]*>2026-03-02 02:00</th>.*?</tr>", page, re.DOTALL)
    cells = re.sub(r"<[^>]+>", " ", row).split()
    assert " ".join(cells) == "2026-03-02 02:00 3,000 0 profiles, device tv 9.0 4.6 blocked device tv"
    assert "<polyline" not in page


def test_a_slice_whose_look_is_gone_is_told_of_at_the_next(tmp_path: Path) -> None:
    late = asdict(TV) | {"since": TV.since - timedelta(minutes=30)}
    assert [look.broke for look in recovered(tmp_path, enrollment=[late]).srm.timeline] == [
        ("device tv",),
        (),
    ]


def test_many_looks_are_drawn_and_folded_away_but_for_those_that_told(tmp_path: Path) -> None:
    assert "<polyline" not in render_page(broken(tmp_path, n_hours=48))
    readout = broken(tmp_path, n_hours=49)
    page = render_page(readout)
    tags = parsed(page).tags
    assert sum(tag == "polyline" for tag, _ in tags) == 2
    shown, folded = page.split("All 49 looks")
    telling = [look.until.strftime("%Y-%m-%d %H:%M</th>") for look in readout.srm.timeline if look.broke]
    assert telling and all(until in shown for until in telling)
    assert "2026-03-02 01:00</th>" not in shown
    assert "2026-03-02 01:00</th>" in folded


def test_the_terminal_names_the_command_and_keeps_its_width(tmp_path: Path) -> None:
    for readout in (broken(tmp_path, n_hours=60), recovered(tmp_path)):
        text = render_text(readout)
        assert "  - what was known when: watchlift srm homepage\n" in text
        assert max(map(len, text.splitlines())) <= WIDTH
