"""A web server that keeps whoever asks waiting."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["HangingServer"]


class HangingServer(ThreadingHTTPServer):
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        self.asked, self.answering = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), _Hang)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def __exit__(self, *error: object) -> None:
        self.answering.set()
        self.shutdown()
        self.server_close()


class _Hang(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, HangingServer)
        self.server.asked.set()
        self.server.answering.wait(120)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
