import re
from html.parser import HTMLParser
from pathlib import Path

from metrics.readout.page import render_page
from tests.metrics.readout.readouts import readout_of
from tests.result_rows import EXPERIMENT, crash_rate, empty, quality, srm_check, usual_estimates

EVIL = "<script>alert('x')</script>&\""
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
