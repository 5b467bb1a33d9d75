"""What the benchmarks found, as a page and a plot."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.costs import costs
from benchmarks.measuring import Aim, Measured, Size, report

HEAD = """\
# Benchmarks

Written by `make bench`. Medians of rounds in which what is measured and what it is compared with run in turns, after
one round that does not count; processor seconds are of all processes, and for a million of what is named. Ratios: the
median, and the least and greatest of the rounds. On a shared machine the same work differs by a quarter from hour to
hour: read ratios.

![Ratios of processor seconds](benchmarks.png)
"""


def write_pages(docs: Path) -> None:
    """benchmarks.md and benchmarks.png from every file of figures in docs/benchmarks."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(docs.glob("benchmarks/*.json"))
    }
    if not found:
        return
    measured = {name: [_measured(each) for each in content["measured"]] for name, content in found.items()}
    parts = [
        f"## {name}\n\n`{found[name]['command']}`, {found[name]['machine']}\n\n{report(each)}"
        for name, each in measured.items()
    ]
    text = "\n".join([HEAD, costs(measured.get("whole_day", ())), *parts])
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")
    _plot([each for some in measured.values() for each in some], docs / "benchmarks.png")


def _measured(values: dict) -> Measured:
    aims = tuple(Aim(**aim) for aim in values.pop("aims"))
    size = values["size"] and Size(**values["size"])
    return Measured(**{**values, "ratios": tuple(values["ratios"]), "aims": aims, "size": size})


def _plot(measured: list[Measured], path: Path) -> None:
    """One row each: every round's ratio, the median, and what is aimed at."""
    figure, axes = plt.subplots(figsize=(9, 1 + 0.5 * len(measured)), layout="constrained")
    for row, each in enumerate(reversed(measured)):
        axes.plot(each.ratios, [row] * len(each.ratios), "o", color="#9ab", markersize=4)
        axes.plot(each.ratio, row, "D", color="#135", markersize=6)
        for aim in each.aims:
            if aim.figure == "ratio":
                axes.plot([aim.at_most] * 2, [row - 0.35, row + 0.35], color="#c33", linewidth=2)
    axes.set_yticks(
        range(len(measured)), [f"{m.what}\nagainst {m.baseline}" for m in reversed(measured)], fontsize=7
    )
    axes.set_xscale("log")
    axes.axvline(1, color="#888", linewidth=0.8, linestyle=":")
    axes.set_xlabel("ratio of processor seconds: rounds, median (diamond), aim (line)", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
