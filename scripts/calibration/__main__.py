"""`python -m scripts.calibration`: simulate, and write docs/calibration.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.calibration.report import report, simulate
from scripts.calibration.sizes import FULL, SEED, SMALL, scaled
from scripts.environment import ROOT
from scripts.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.calibration", description="Calibration of intervals, tests and alarms."
    )
    parser.add_argument(
        "--experiments", type=int, default=FULL.experiments, help="of each setting (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of all random numbers (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="every section in seconds, with large errors")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "calibration.md")
    options = parser.parse_args(argv)
    sizes = SMALL if options.small else scaled(options.experiments)
    findings = simulate(sizes, options.seed, Progress().say)
    options.output.write_text(report(findings, sizes, options.seed), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
