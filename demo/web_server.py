"""A web server for loopback that serves a folder as nginx would: kept-alive connections, links resolved per request."""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

__all__ = ["WebServer"]


class WebServer:
    """Serves ``folder`` at ``http://127.0.0.1:port/`` from its construction until ``close``."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="web", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> WebServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # headers and a small page leave in one packet
    timeout = 30.0

    def translate_path(self, path: str) -> str:
        """Hide dot folders: the rule that the documentation gives for nginx keeps the releases' folder private."""
        translated = super().translate_path(path)
        hidden = any(part.startswith(".") for part in Path(translated).relative_to(self.directory).parts)
        return "/nonexistent" if hidden else translated

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def _main() -> None:
    """Serve until standard input ends: ``python -m demo.web_server FOLDER``.

    The first line of standard output is a JSON object with ``port``.
    """
    with WebServer(Path(sys.argv[1])) as server:
        print(json.dumps({"port": server.port}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main()
