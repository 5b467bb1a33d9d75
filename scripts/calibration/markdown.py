"""Tables and paragraphs of the report."""

import textwrap
from collections.abc import Iterable, Sequence

from scripts.calibration.coverage import Coverage, Share

WIDTH = 110


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prose(text: str) -> str:
    """A paragraph, or several divided by blank lines, filled to the page's width."""
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(
        textwrap.fill(" ".join(each.split()), WIDTH, break_long_words=False) for each in paragraphs
    )


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}%"


def shown(share: Share) -> str:
    """A share in percent, bold where it is not as promised."""
    text = percent(share.found)
    return text if share.as_promised else f"**{text}**"


SHARE_HEADER = ("found", "nominal", "± Monte Carlo", "within 3")


def share_cells(share: Share) -> list[str]:
    return [
        shown(share),
        percent(share.nominal, 0),
        percent(share.error),
        "yes" if share.as_promised else "**no**",
    ]


COVERAGE_HEADER = (
    *("coverage", "± Monte Carlo", "within 3", "too low", "too high", "mean SE / SD", "bias / SD"),
    *("coverage with known SD", "without number"),
)


def coverage_cells(found: Coverage) -> list[str]:
    return [
        shown(found.covered),
        percent(found.covered.error),
        "yes" if found.covered.as_promised else "**no**",
        percent(found.below),
        percent(found.above),
        f"{found.se_ratio:.3f}",
        f"{found.bias:+.3f}",
        percent(found.with_known_sd),
        f"{found.silent:,}",
    ]
