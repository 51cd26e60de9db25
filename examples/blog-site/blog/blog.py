"""A small blog: each file in posts/ is a page. It knows nothing of deployer, and dies at once when told to."""

from __future__ import annotations

import html
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

POSTS = {path.stem: path.read_text("utf-8") for path in sorted(Path("posts").glob("*.txt"))}
VERSION = os.environ.get("VERSION", "unknown")


class Blog(BaseHTTPRequestHandler):
    """Answers the list of posts, or one of them."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # headers and page leave together

    def do_GET(self) -> None:
        """Answer."""
        name = self.path.partition("?")[0].strip("/")
        if not name:
            self.answer(200, "Posts", "".join(f'<li><a href="{post}">{post}</a></li>' for post in POSTS))
        elif name in POSTS:
            self.answer(200, name, f"<p>{html.escape(POSTS[name])}</p>")
        else:
            self.answer(404, "Nothing here", "")

    def answer(self, status: int, title: str, text: str) -> None:
        """Send a page."""
        foot = f"<footer>version {VERSION}</footer>"
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1>{text}{foot}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of the requests that were answered."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, which does not hold the end up."""

    daemon_threads = True
    request_queue_size = 128


def stop(_number: int, _frame: FrameType | None) -> None:
    """End at once: the first process of a container would ignore the signal otherwise."""
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    print(f"{len(POSTS)} posts, version {VERSION}", flush=True)
    Server(("", 80), Blog).serve_forever()
