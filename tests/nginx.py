"""A real nginx on a loopback port, as root or as anybody, with its own files in one folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import find

__all__ = ["Nginx"]

START_SECONDS = 60.0
STOP_SECONDS = 60.0

# sendfile and etag are on and the open-file cache is off, as in a distribution's or an image's own configuration.
# Worker processes of root's nginx stay root, so that folders which only the test can enter can be served; see ``user``.
CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {state}/nginx.pid;
error_log {state}/error.log notice;
{user}
events {{ worker_connections 256; }}
http {{
    access_log {state}/access.log;
    client_body_temp_path {state}/body;
    proxy_temp_path {state}/proxy;
    fastcgi_temp_path {state}/fastcgi;
    uwsgi_temp_path {state}/uwsgi;
    scgi_temp_path {state}/scgi;
    types {{
        text/html html; text/css css; text/plain txt; text/javascript js; application/json json;
        image/png png; image/svg+xml svg;
    }}
    default_type application/octet-stream;
    sendfile on;
    etag on;
    open_file_cache {open_file_cache};
    server {{
        listen 127.0.0.1:{port};
        server_name localhost;
        location {location} {{
            {files}
            {directives}
        }}
        {server_directives}
    }}
}}
"""


class Nginx:
    """One server; start and stop it as a context manager.

    ``directory`` is served at ``location`` ("/" or "/name/"); everything nginx writes is below ``state``. ``directives``
    go into that location and ``server_directives`` beside it, each with its semicolon. ``open_file_cache`` is that
    directive's value. ``user`` (and a group, if it is named otherwise) is who the workers of root's nginx run as.
    ``before`` are arguments to start it with, a program that becomes nginx at its end: in a mount namespace, say.
    """

    def __init__(
        self,
        directory: Path,
        state: Path,
        *,
        location: str = "/",
        directives: str = "",
        server_directives: str = "",
        open_file_cache: str = "off",
        user: str = "root",
        before: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.location = location
        self.port = 0
        self._state = state
        self._before = tuple(before)
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "location": location,
            "files": f'root "{directory}";' if location == "/" else f'alias "{directory}/";',
            "directives": directives,
            "server_directives": server_directives,
            "open_file_cache": open_file_cache,
            "user": f"user {user};" if os.geteuid() == 0 else "",
        }

    @property
    def url(self) -> str:
        """Where ``directory`` is served, with the slash at its end."""
        return f"http://127.0.0.1:{self.port}{self.location}"

    def log(self) -> str:
        """The error log."""
        path = self._state / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def requests(self) -> list[str]:
        """The access log's lines: every request that was answered."""
        path = self._state / "access.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def __enter__(self) -> Self:
        """Start, and wait until it answers; raises RuntimeError with nginx's own words when it does not."""
        self._state.mkdir(parents=True, exist_ok=True)
        for _ in range(3):  # Somebody else may take the free port before nginx does.
            self.port = _free_port()
            if self._start():
                return self
        raise RuntimeError(f"nginx does not start: {self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> bool:
        program = find("nginx")
        if program is None:
            raise RuntimeError("nginx is not installed")
        configuration = self._state / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(state=self._state, port=self.port, **self._settings))
        log = str(self._state / "error.log")
        self._process = subprocess.Popen(
            [*self._before, program, "-p", str(self._state), "-c", str(configuration), "-e", log],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.01)
        self._stop()
        return False

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
