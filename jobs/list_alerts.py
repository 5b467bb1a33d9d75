"""What a monitor's run has blocked, one JSON document a line, without Spark: for whoever sends the alerts."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute as pc

from jobs.arguments import job_parser, parse_day, parse_hour, run
from jobs.delta_reader import read_rows
from metrics.configuration.project import Project, load_project
from metrics.enrollment import BLOCKED, EnrollmentSlice, end_of
from metrics.errors import InputError
from metrics.rows import row_of


def alerts_of(project: Project, window_end: datetime) -> list[dict[str, Any]]:
    """The slices of all experiments that the checks at that window end were the first to show, however often asked."""
    since = (pc.field("status") == BLOCKED) & (pc.field("since") == pc.scalar(window_end))
    rows = [row_of(EnrollmentSlice, row) for row in read_rows(project.tables, "enrollment_status", since)]
    rows.sort(key=lambda row: (row.experiment_id, row.slice, row.slice_value))
    return [{**asdict(row), "since": row.since.isoformat(), "message": row.alert} for row in rows]


def _work(arguments: Sequence[str]) -> None:
    parser = job_parser(__doc__)
    parser.add_argument(
        "--hour", type=parse_hour, help="the hour of jobs/monitor_hour.py, YYYY-MM-DDTHH (UTC)"
    )
    parser.add_argument("--day", type=parse_day, help="or the day of jobs/run_experiments.py, YYYY-MM-DD")
    parsed = parser.parse_args(arguments)
    if (parsed.hour is None) == (parsed.day is None):
        raise InputError("give either --hour or --day")
    window_end = parsed.hour + timedelta(hours=1) if parsed.hour else end_of(parsed.day)
    for alert in alerts_of(load_project(parsed.conf_dir, parsed.data_dir), window_end):
        sys.stdout.write(json.dumps(alert) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


if __name__ == "__main__":
    sys.exit(main())
