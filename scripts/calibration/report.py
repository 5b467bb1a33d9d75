"""The page: every section's findings as tables, with what they show in words."""

from collections.abc import Callable
from dataclasses import dataclass

from scripts.calibration import (
    few_clusters,
    intervals,
    looks,
    quantiles,
    reasons,
    replicates,
    sample_ratio,
)
from scripts.calibration.markdown import prose
from scripts.calibration.sections import (
    bootstrap_section,
    clusters_section,
    looks_section,
    sample_ratio_section,
)
from scripts.calibration.sections_of_intervals import intervals_section
from scripts.calibration.sizes import FULL, SMALL, Sizes


@dataclass(frozen=True)
class Findings:
    intervals: tuple[intervals.Findings, ...]
    reasons: reasons.Reasons
    clusters: tuple[few_clusters.Findings, ...]
    replicates: tuple[replicates.Findings, ...]
    quantiles: tuple[quantiles.Findings, ...]
    looks: looks.Findings
    sample_ratio: sample_ratio.Findings


def simulate(sizes: Sizes, seed: int, say: Callable[[str], None]) -> Findings:
    """Every section, one after the other."""
    say("sample ratio")
    ratio = sample_ratio.run(sizes, seed)
    say("few clusters")
    clusters = few_clusters.run(sizes, seed)
    say("bootstrap")
    replicated = replicates.run(sizes, seed)
    say("quantiles")
    of_quantiles = quantiles.run(sizes, seed)
    say("daily looks")
    looked = looks.run(sizes, seed)
    say("intervals")
    traced = reasons.run(sizes, seed)
    return Findings(intervals.run(sizes, seed), traced, clusters, replicated, of_quantiles, looked, ratio)


def report(findings: Findings, sizes: Sizes, seed: int) -> str:
    sections = (
        _head(sizes, seed),
        intervals_section(findings.intervals, findings.reasons),
        clusters_section(findings.clusters),
        bootstrap_section(findings.replicates, findings.quantiles),
        looks_section(findings.looks, sizes.looked),
        sample_ratio_section(findings.sample_ratio),
    )
    return "\n\n".join(sections) + "\n"


def _head(sizes: Sizes, seed: int) -> str:
    options = "" if sizes == FULL else " --small" if sizes == SMALL else f" --experiments {sizes.experiments}"
    return "# Calibration: do the numbers keep what they promise?\n\n" + prose(f"""
        A 95% interval promises to hold the truth in 95 of 100 experiments, a test at 5% to find nothing that is not
        there in 95 of 100, an alarm at 1% to stay silent in 99 of 100. Here the truth is known: experiments are
        simulated, as arrays, and go through the product's own recipes, moments, estimators, boundaries and
        e-values; none of these is rebuilt. Made by `python -m scripts.calibration{options}` with seed {seed}, fixed in
        the code in advance.

        Shares are of simulated experiments, so they have a Monte Carlo error, given beside them for the promised
        share. A share further than 3 such errors from its promise is **bold**; one in 370 is so by chance alone.
    """)
