"""`python -m scripts.assignment`: compare, test, and write docs/assignment.md."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from jobs.embedded import embedded_spark
from metrics.bucketing import BUCKETS
from scripts.assignment.findings import faults, findings_of
from scripts.assignment.page import page
from scripts.assignment.tally import Functions, examine
from scripts.environment import ROOT
from scripts.progress import Progress

# Half of them are of each kind, and a chi-square test wants 5 in each of its 10,000 cells.
LEAST_IDS = 2 * 5 * BUCKETS


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.assignment", description="Agreement, evenness and independence of buckets."
    )
    parser.add_argument("--ids", type=int, default=10_000_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random ids (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "assignment.md")
    options = parser.parse_args(argv)
    if options.ids < LEAST_IDS:
        parser.error(f"--ids is {options.ids}; give {LEAST_IDS} or more, so that every bucket has some")
    progress = Progress()
    # Processes of their own, not forks of one that talks to Spark.
    workers = ProcessPoolExecutor(mp_context=get_context("spawn"))
    with embedded_spark("assignment") as spark, workers:
        tallies = examine(spark, options.ids, options.seed, Functions(), workers.map, progress.say)
    findings = findings_of(tallies)
    command = f"python -m scripts.assignment --ids {options.ids} --seed {options.seed}"
    written = page(tallies, findings, command, progress.seconds, os.cpu_count() or 1)
    options.output.write_text(written, encoding="utf-8")
    if found := faults(tallies, findings):
        print(f"error: {'; '.join(found)}; see {options.output}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
