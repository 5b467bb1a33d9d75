"""What a setting of conf/spark/laptop.conf gives: a backfill with it and without it, in turns.

    python -m benchmarks.settings spark.driver.extraJavaOptions --profiles 20000 --rounds 3

Each run is a spark-submit of run_day on empty tables, over the same days of a simulated service. That both leave the
same tables is checked before their times are told.
"""

import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
from deltalake import DeltaTable

from benchmarks.measuring import Measured, benchmark_parser, compared, kept_folder, publish, timed
from metrics.errors import InputError
from scripts import processes
from scripts.demo import FIRST_DAY
from scripts.environment import Settings
from scripts.errors import RunError
from scripts.progress import Progress
from scripts.submit import submit


def without(properties: str, key: str) -> str:
    """The text of a properties file without a setting. Raises InputError where it has none of that name."""
    lines = properties.splitlines(keepends=True)
    kept = [line for line in lines if line.split(maxsplit=1)[:1] != [key]]
    if len(kept) == len(lines):
        raise InputError(f"setting '{key}' is not in the properties file; name one that is")
    return "".join(kept)


def backfill(
    settings: Settings, days: int, progress: Progress, properties_file: Path | None = None
) -> tuple[float, ...]:
    """Load the days into empty tables; gives what is compared: sums over profile_days."""
    shutil.rmtree(settings.data_dir / "tables", ignore_errors=True)
    last = FIRST_DAY + timedelta(days=days - 1)
    submit(settings, "run_day", ["--from", str(FIRST_DAY), "--to", str(last)], progress, properties_file)
    table = DeltaTable(settings.data_dir / "tables" / "profile_days").to_pyarrow_table()
    return (table.num_rows, *(pc.sum(table[name]).as_py() for name in ("profile_id", "play_starts")))


def measure(folder: Path, key: str, profiles: int, days: int, rounds: int) -> Measured:
    settings, progress = Settings(folder), Progress()
    lesser = folder / "without.conf"
    lesser.write_text(without(settings.properties_file.read_text(encoding="utf-8"), key), encoding="utf-8")
    if not (folder / "landing").exists():
        size = ["--profiles", str(profiles), "--days", str(days), "--from", str(FIRST_DAY)]
        submit(settings, "simulate_service", [*size, "--truth-days", "0"], progress)
    left: set[tuple[float, ...]] = set()
    measured = compared(
        f"backfill of {days} days of {profiles:,} profiles with {key}",
        lambda: timed(lambda: left.add(backfill(settings, days, progress))),
        "without it",
        lambda: timed(lambda: left.add(backfill(settings, days, progress, lesser))),
        rounds,
    )
    if len(left) > 1:
        raise RunError(f"the runs left different tables: {left}; times of wrong answers are worth nothing")
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    parser = benchmark_parser("A backfill with a setting of laptop.conf and without it.")
    parser.add_argument("setting")
    parser.add_argument("--profiles", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=26)
    options = parser.parse_args(argv)
    folder = kept_folder(options.folder)
    try:
        publish(
            [measure(folder, options.setting, options.profiles, options.days, options.rounds)],
            options.figures,
        )
    except (InputError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        processes.stop_undisturbed(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
