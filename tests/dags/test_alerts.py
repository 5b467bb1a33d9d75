"""Alerts as they leave Airflow: by a webhook and by mail, each connection for itself."""

import json
import os
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from metrics.enrollment import BLOCKED, EnrollmentSlice
from tests.jobs.result_tables import write_configuration, write_srm
from tests.result_rows import srm_check

ROOT = Path(__file__).resolve().parents[2]
SINCE = datetime(2026, 3, 2, 14, tzinfo=UTC)
REASON = "sample ratio: control 200 profiles (300 planned)"
MESSAGE = f"homepage: enrolment of stratum eu|web is blocked: {REASON}"
SEND = """
import logging, sys
sys.path.insert(0, sys.argv[1])
logging.basicConfig(level=logging.ERROR)
from watchlift_alerts import AlertOperator
AlertOperator(task_id="send_alerts", command=sys.argv[2:]).send(sys.argv[2:])
"""


class Webhook(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), Posted)


class Posted(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, json.loads(body)["text"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Mailbox(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[str] = []
        super().__init__(("127.0.0.1", 0), Conversation)


class Conversation(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail takes."""

    def handle(self) -> None:
        assert isinstance(self.server, Mailbox)
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text.decode())
                self.server.received.append("".join(lines))
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]  # type: ignore[index,misc]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """What lists the alerts of a run in a project with two blocked slices, of which it found one."""
    rows = [
        EnrollmentSlice("homepage", 0, "stratum", value, BLOCKED, REASON, SINCE, run)
        for value, run in (("eu|web", "this run"), ("eu|tv", "another"))
    ]
    write_srm(tmp_path / "data", [srm_check()], rows)
    folders = [
        "--conf-dir",
        str(write_configuration(tmp_path / "conf")),
        "--data-dir",
        str(tmp_path / "data"),
    ]
    return [sys.executable, str(ROOT / "jobs" / "list_alerts.py"), "--run", "this run", *folders]


def send(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own |= {"AIRFLOW_HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}
    asked = [sys.executable, "-c", SEND, str(ROOT / "dags"), *command]
    return subprocess.run(asked, env=own, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_each_connection_is_told_of_the_run_once_and_one_that_fails_fails_the_task(
    command: list[str], tmp_path: Path
) -> None:
    webhook, mailbox = Webhook(), Mailbox()
    with serving(webhook) as hook, serving(mailbox) as smtp:
        mail = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": smtp,
            "extra": {
                "to": "pm@example.com",
                "from_email": "a@example.com",
                "disable_ssl": True,
                "disable_tls": True,
            },
        }
        done = send(
            command,
            tmp_path,
            WATCHLIFT_ALERT_CONNECTIONS="nowhere, chat,post",
            AIRFLOW_CONN_CHAT=f"http://127.0.0.1:{hook}/services/T0/B1?sig=a%2Fb",
            AIRFLOW_CONN_POST=json.dumps(mail),
        )
    assert webhook.posted == [("/services/T0/B1?sig=a%2Fb", f"watchlift: {MESSAGE}")]
    (letter,) = mailbox.received
    assert "To: pm@example.com" in letter
    assert "Subject: watchlift: homepage: enrolment of stratum eu|web is blocked" in letter
    assert done.returncode == 1
    assert "1 alerts were not sent by nowhere" in done.stderr.splitlines()[-1]
    assert f"ALERT {MESSAGE}" in done.stderr + done.stdout


@pytest.mark.slow
def test_without_a_connection_the_log_has_the_alert_and_a_broken_command_is_no_silence(
    command: list[str], tmp_path: Path
) -> None:
    done = send(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"ALERT {MESSAGE}" in done.stderr + done.stdout
    assert "eu|tv" not in done.stderr + done.stdout
    broken = send([*command, "--day", "2026-03-02"], tmp_path)
    assert broken.stderr.splitlines()[-1].startswith("RuntimeError: error: unrecognized arguments: --day")
