import math
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

from metrics.readout.page import render_page
from metrics.readout.terminal import render_text
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import DAY, EXPERIMENT, crash_rate, empty, quality, srm_check, usual_estimates

EVIL = "<script>alert('x')</script>&\""
DAYS = [DAY - timedelta(days=n) for n in (8, 7, 6, 5)]
VOID = {"meta", "line", "circle", "path", "polyline"}


class Balance(HTMLParser):
    """Collects the tags and checks that each is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def parsed(page: str) -> Balance:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    return balance


def test_decision_first_then_the_sections_in_order(tmp_path: Path) -> None:
    page = render_page(readout_of(tmp_path))
    parsed(page)
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == [
        "In business terms",
        "What changed",
        "Guardrails",
        "Looks so far",
        "Who it changed it for",
        "Injected truth",
        "Are the arms comparable?",
        "Data quality",
        "How this was computed",
    ]
    assert page.index("Ship treatment</p>") < page.index("<h2")


def test_the_page_asks_for_nothing(tmp_path: Path) -> None:
    page = render_page(readout_of(tmp_path))
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    tags = parsed(page).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if {"src", "href"} & set(attrs)]
    assert "default-src 'none'" in page


def test_every_text_is_escaped(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("hypothesis: A re-ranked homepage", f"hypothesis: >-\n  A {EVIL} homepage")
    rows = [*usual_estimates(), {**usual_estimates()[-1], "segment_value": EVIL}]
    checks = [srm_check(), srm_check(slice="device", slice_value=EVIL, triggered=True)]
    audits = [quality(success=False, expectation=EVIL, observed=EVIL)]
    page = render_page(readout_of(tmp_path, text, estimates=rows, srm_checks=checks, quality=audits))
    parsed(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_tables_and_plots_can_be_read_aloud(tmp_path: Path) -> None:
    tags = parsed(render_page(readout_of(tmp_path))).tags
    plots = [attrs for tag, attrs in tags if tag == "svg" and attrs.get("role") == "img"]
    assert plots and all(attrs["aria-label"] for attrs in plots)
    assert all(attrs.get("scope") for tag, attrs in tags if tag == "th")
    assert sum(tag == "caption" for tag, _ in tags) == sum(tag == "table" for tag, _ in tags)
    assert ("html", {"lang": "en"}) in tags


def test_guardrails_are_drawn_against_their_margin(tmp_path: Path) -> None:
    page = render_page(readout_of(tmp_path))
    assert 'class="margin"' in page
    assert "worse by +0.00010, margin 0.00050" in page


def test_rows_without_numbers_and_guardrails_without_rows(tmp_path: Path) -> None:
    for rows in ([empty(), crash_rate()], [empty()]):
        page = render_page(readout_of(tmp_path, estimates=rows, srm_checks=[], quality=[], truth=[]))
        parsed(page)
        assert "no profile has matured" in page
        assert not re.search(r"\bNone\b|\bnan\b", page)


def test_many_slices_are_folded_away_but_the_alarming_stay(tmp_path: Path) -> None:
    checks = [srm_check(slice="stratum", slice_value=f"s{n}", p_value=n / 100) for n in range(40)]
    late = srm_check(slice="stratum", slice_value="alarm", p_value=0.9, triggered=True)
    page = render_page(readout_of(tmp_path, srm_checks=[srm_check(), *checks, late]))
    shown, folded = page.split("The other 34 slices")
    assert "stratum alarm" in shown
    assert "stratum s0<" in shown
    assert "stratum s39<" in folded


def test_looks_are_drawn_against_their_boundaries_and_what_remains_is_told(tmp_path: Path) -> None:
    """Four looks on the way to 400 of information: z below its boundary, and so much of alpha left for the rest."""
    rows = [
        {**usual_estimates()[0], "effect": 0.05, "std_error": information**-0.5, "analysis_day": day}
        for day, information in zip(DAYS, (40.0, 100.0, 220.0, 300.0), strict=True)
    ]
    planned = {"play_starts_7d": 400.0}
    readout = readout_of(tmp_path, day=DAYS[-1], estimates=rows[-1:], history=rows[:-1], planned=planned)
    page, text = render_page(readout), render_text(readout)
    spent = 0.05 * math.log(1 + (math.e - 1) * 0.75)
    left = f"{0.05 - spent:.4f} of alpha, 25% of the planned information and 5 looks, to 2026-03-21, remain"
    assert f"{spent:.4f} of alpha spent, 75% of the planned information is in; {left}" in page
    assert left in " ".join(text.split())
    drawn = page[page.index('id="looks"') : page.index('id="ratio"')]
    lines = re.findall(r'<polyline class="(\w+)" points="([^"]*)"', drawn)
    assert [kind for kind, _ in lines] == ["evidence", "limit", "limit"]
    statistic, above, below = ([float(xy.split(",")[1]) for xy in points.split()] for _, points in lines)
    assert len(statistic) == 4 and all(a < z < b for a, z, b in zip(above, statistic, below, strict=True))


def test_a_spent_or_last_look_leaves_nothing(tmp_path: Path) -> None:
    early = {**usual_estimates()[0], "std_error": 400.0**-0.5, "analysis_day": DAYS[0]}
    planned = {"play_starts_7d": 400.0}
    assert "; nothing is left to spend</caption>" in (
        render_page(readout_of(tmp_path, day=DAYS[0], estimates=[early], planned=planned))
    )
    assert "; this was the last look</caption>" in render_page(readout_of(tmp_path))


def test_the_method_is_that_of_the_gate(tmp_path: Path) -> None:
    """It once said that a primary is read once and guardrails at fixed intervals, which was true before the ledger."""
    once = "No maximum of information was registered for Play starts (7 days): read once"
    page = render_page(readout_of(tmp_path))
    assert "each look is held against its own boundary" in page and once in page
    assert once not in render_page(readout_of(tmp_path, planned={"play_starts_7d": 400.0}))
    assert "fixed 95% intervals" not in page
