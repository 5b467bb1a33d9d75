"""What a run of the monitor has blocked, one JSON document a line, without Spark: for whoever sends the alerts."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc

from jobs.arguments import job_parser, run
from jobs.delta_reader import read_rows
from metrics.configuration.project import Project, load_project
from metrics.enrollment import BLOCKED, EnrollmentSlice
from metrics.rows import row_of


def alerts_of(project: Project, run_id: str) -> list[dict[str, Any]]:
    """The slices of all experiments that the run's jobs were the first to find, however often asked."""
    found = (pc.field("status") == BLOCKED) & (pc.field("run") == run_id)
    rows = [row_of(EnrollmentSlice, row) for row in read_rows(project.tables, "enrollment_status", found)]
    rows.sort(key=lambda row: (row.experiment_id, row.slice, row.slice_value))
    return [{**asdict(row), "since": row.since.isoformat(), "message": row.alert} for row in rows]


def _work(arguments: Sequence[str]) -> None:
    parser = job_parser(__doc__)
    parser.add_argument(
        "--run", required=True, help="the --reason that its jobs were given; in Airflow the run's id"
    )
    parsed = parser.parse_args(arguments)
    for alert in alerts_of(load_project(parsed.conf_dir, parsed.data_dir), parsed.run):
        sys.stdout.write(json.dumps(alert) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    return run(_work, argv)


if __name__ == "__main__":
    sys.exit(main())
