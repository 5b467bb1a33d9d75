"""A webhook on this machine that keeps what is posted to it, as a chat would show it."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType

from scripts.progress import Progress


class Webhook:
    """Listens on 127.0.0.1 at a free port while it is entered. `messages` are the texts, in the order they came."""

    def __init__(self, progress: Progress) -> None:
        self.messages: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.messages, progress))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Webhook":
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(messages: list[str], progress: Progress) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body)["text"])
            progress.say(f"  webhook: {messages[-1]}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """The message itself is told."""

    return Handler
