"""Every benchmark, or those named, each in a process of its own; then the tables, the plot and the figures they make.

    python -m benchmarks [NAME …] [--rounds 5] [--small]      (make bench; make bench-roll_up)

Figures go to docs/benchmarks/NAME.json, and all of them into docs/benchmarks.md and .png. At the small size nothing is
kept but in the folder: that the benchmarks work, not how fast anything is.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.pages import write_pages
from scripts.environment import ROOT

# What each is asked for, and what at the small size.
ASKED: Mapping[str, tuple[str, str]] = {
    "roll_up": ("--profiles 100000 --copies 43 350", "--profiles 2000 --copies 1 2"),
    "audits": ("--profiles 100000 --copies 87", "--profiles 2000 --copies 2"),
    "layout": ("--profiles 100000 --copies 20", "--profiles 2000 --copies 1"),
    "statistics": ("--rows 2000000", "--rows 2000 --replicates 100"),
    "rivals": ("--rows 2000000", "--rows 2000"),
    "starts": ("--rows 100000", "--rows 1000"),
    "experiments": ("--profiles 1000000 --experiments 50", "--profiles 400 --experiments 2"),
    "whole_day": ("--profiles 100000 --copies 43", "--profiles 1000 --copies 1"),
    "backfill": ("--profiles 1250000 --days 14", "--profiles 300 --days 2"),
}


def run(name: str, folder: Path, figures: Path, rounds: int, is_small: bool) -> int:
    """Run one of them; its exit code."""
    asked = ASKED[name][1 if is_small else 0].split()
    where = ["--folder", str(folder / name), "--figures", str(figures / f"{name}.json")]
    command = [sys.executable, "-m", f"benchmarks.{name}", *asked, *where, "--rounds", str(rounds)]
    print(f"== {' '.join(command[1:])}", flush=True)
    return subprocess.run(command, check=False).returncode


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ASKED)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, default=Path("bench_data"), help="where data are made, and kept"
    )
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(ASKED))
    if unknown:
        print(f"error: no benchmark '{unknown[0]}'; choose among {', '.join(ASKED)}", file=sys.stderr)
        return 2
    folder = options.folder.absolute()
    docs = folder / "docs" if options.small else ROOT / "docs"
    failed = [
        name
        for name in options.names or ASKED
        if run(name, folder, docs / "benchmarks", options.rounds, options.small)
    ]
    write_pages(docs)
    if failed:
        print(f"error: benchmark {', '.join(failed)} failed; see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
