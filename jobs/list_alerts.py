"""What a run has blocked or rolled back, one JSON document a line, without Spark: for whoever sends the alerts."""

import json
import sys
from collections.abc import Sequence

import pyarrow.compute as pc

from jobs.arguments import job_parser, run
from jobs.delta_reader import read_rows
from metrics.configuration.project import Project, load_project
from metrics.enrollment import BLOCKED, EnrollmentSlice
from metrics.rows import RolloutDecision, row_of


def alerts_of(project: Project, run_id: str) -> list[dict[str, str]]:
    """What the run's jobs were the first to find, however often asked: the slices blocked, and what was decided."""
    of_run = pc.field("run") == run_id
    found = read_rows(project.tables, "enrollment_status", of_run & (pc.field("status") == BLOCKED))
    slices = sorted(
        (row_of(EnrollmentSlice, row) for row in found),
        key=lambda row: (row.experiment_id, row.slice, row.slice_value),
    )
    decisions = sorted(
        (row_of(RolloutDecision, row) for row in read_rows(project.tables, "rollout_decisions", of_run)),
        key=lambda row: (row.experiment_id, row.decided_for),
    )
    blocked = [(row.experiment_id, row.since, row.alert) for row in slices]
    decided = [(row.experiment_id, row.decided_for, alert) for row in decisions for alert in row.alerts]
    return [
        {"experiment_id": experiment_id, "since": since.isoformat(), "message": message}
        for experiment_id, since, message in (*blocked, *decided)
    ]


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
