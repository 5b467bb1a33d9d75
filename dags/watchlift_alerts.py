"""Alerts: what a run blocked or rolled back goes out by Airflow's connections; the task's log has it in any case."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from html import escape
from typing import Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseHook, BaseNotifier, Connection

from watchlift_operators import FOLDERS, HOME

# Ids of connections, parted by commas, of type http (a webhook, such as Slack's or Teams') or smtp.
CONNECTIONS = "WATCHLIFT_ALERT_CONNECTIONS"
_SECONDS = 20


class AlertNotifier(BaseNotifier):
    """Sends one message by a connection: http posts {"text": …} to its address, smtp mails to the `to` of its extra."""

    def __init__(self, connection_id: str, message: str) -> None:
        super().__init__()
        self.connection_id, self.message = connection_id, message

    def notify(self, context: Any) -> None:
        connection = BaseHook.get_connection(self.connection_id)
        if connection.conn_type in ("http", "https"):
            _post(_address(connection), {"text": f"watchlift: {self.message}"})
        elif connection.conn_type == "smtp":
            mail = SmtpNotifier(
                to=connection.extra_dejson["to"],
                subject=f"watchlift: {': '.join(self.message.split(': ')[:2])}",
                html_content=f"<p>{escape(self.message)}</p>",
                smtp_conn_id=self.connection_id,
            )
            mail.notify(context)
        else:
            kind = connection.conn_type
            raise ValueError(
                f"connection '{self.connection_id}' is of type {kind}; alerts go by http or smtp"
            )


class AlertOperator(PythonOperator):
    """Runs a command that prints one JSON document a line, and sends the `message` of each."""

    def __init__(self, *, command: Sequence[str], **others: Any) -> None:
        super().__init__(python_callable=self.send, op_args=[list(command)], **others)

    def send(self, command: Sequence[str]) -> None:
        """Raises after all were tried if one could not be sent: another try sends them all again, rather twice than
        never.
        """
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1])
        messages = [json.loads(line)["message"] for line in done.stdout.splitlines()]
        ids = [name.strip() for name in os.environ.get(CONNECTIONS, "").split(",") if name.strip()]
        failed = [name for name in ids for message in messages if not self._sent(name, message)]
        for message in messages:
            self.log.error("ALERT %s", message)
        if failed:
            raise RuntimeError(
                f"{len(failed)} alerts were not sent by {', '.join(sorted(set(failed)))}; see the log"
            )

    def _sent(self, connection_id: str, message: str) -> bool:
        try:
            AlertNotifier(connection_id, message)({})
        except Exception:  # whatever a server or a library thinks of: the others are still to be told
            self.log.exception("connection %s: the alert was not sent", connection_id)
            return False
        return True


def alert_task() -> AlertOperator:
    """The task that sends what the run's jobs have blocked or rolled back, also where they failed after that."""
    script = str(HOME / "jobs" / "list_alerts.py")
    return AlertOperator(
        task_id="send_alerts",
        command=[sys.executable, script, "--run", "{{ run_id }}", *FOLDERS],
        pool="watchlift_alerts",
        trigger_rule="all_done",
    )


def _address(connection: Connection) -> str:
    """A whole address as the host; or host, port, and as `schema` the protocol or, as in Airflow's URIs, the path.

    A URI's query is in the connection's extra.
    """
    host, path, protocol = connection.host or "", connection.schema or "", connection.conn_type
    if "://" in host:
        return host
    if path in ("http", "https"):
        protocol, path = path, ""
    port = f":{connection.port}" if connection.port else ""
    query = urllib.parse.urlencode(connection.extra_dejson)
    return f"{protocol}://{host}{port}/{path}{'?' if query else ''}{query}"


def _post(address: str, document: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=_SECONDS):
        pass
