"""The experiment readouts of a day, once that day's metrics have passed their audits."""

import sys

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, PartitionedAssetTimetable

from watchlift_alerts import alert_task
from watchlift_operators import CONF_DIR, DATA_DIR, DEFAULT_ARGS, HOME, PROFILE_DAYS, spark_job

RUNBOOK = """
### Experiment readouts

Started for a day by the asset `watchlift://profile_days`, which only a day that passed its audits emits. The tasks:
`estimate_experiments` (one Spark application, `jobs/run_experiments.py`: windows, their audit, moments, estimates) and
`render_readouts` (no Spark: the HTML page under `readouts/` of the data folder, and MLflow); beside it `send_alerts`,
which sends what was blocked by sample ratios or rolled back, by the connections of WATCHLIFT_ALERT_CONNECTIONS.

**When `estimate_experiments` fails**: its last line `error: …` names the experiment and the remedy, and is not retried;
anything else is retried twice. Analysis days whose data changed since they were estimated (late rows, a restated day),
or whose run died, are estimated again with the day, and their pages made again. A day that fails keeps no other from
its numbers.

**When `render_readouts` fails**: the estimates are in the table `estimates` already; clear the task after mending.

**When `send_alerts` fails**: its log has the alerts, and which connection did not take them; mend that, clear the task.

**To run a day again**: clear its run, or trigger the DAG with the day as partition key. Tasks replace what they wrote;
alerts are sent again.
"""

# The key reaches the shell as a variable, never as text of the command. Python is the worker's own, by its path: the
# input of a task is a socket, for which bash reads ~/.bashrc, and what that puts on the PATH comes first.
RENDER = (
    '"$PYTHON" "$HOME_DIR/jobs/render_readout.py" --day "$DAY" --conf-dir "$CONF_DIR" --data-dir "$DATA_DIR"'
)
RENDER_ENV = {
    "PYTHON": sys.executable,
    "HOME_DIR": str(HOME),
    "DAY": "{{ partition_key }}",
    "CONF_DIR": CONF_DIR,
    "DATA_DIR": DATA_DIR,
}

with DAG(
    dag_id="experiment_readouts",
    schedule=PartitionedAssetTimetable(assets=PROFILE_DAYS),
    max_active_runs=1,  # the looks of an experiment are computed in ascending day order
    catchup=False,
    default_args=DEFAULT_ARGS,
    tags=["watchlift", "experiments"],
    doc_md=RUNBOOK,
):
    render_readouts = BashOperator(
        task_id="render_readouts",
        bash_command=RENDER,
        env=RENDER_ENV,
        append_env=True,
        pool="watchlift_readouts",
    )
    estimate_experiments = spark_job("estimate_experiments", job="run_experiments", pool="watchlift_readouts")
    estimate_experiments >> [render_readouts, alert_task()]
