"""A small web application in a container, whose bad habits are chosen by the environment.

VERSION is what it answers. BEHAVIOUR is a list of words:

- ``graceful``: on SIGTERM each answer is its connection's last; after a second of that it refuses new connections, closes
  those that nobody uses, ends what is under way and goes. Without it, it dies at once
- ``deaf``: SIGTERM does nothing at all
- ``warming``: it answers 503 for the first three seconds
- ``crashing``: it ends with status 1 before it listens
- ``fading``: it answers well, and ends with status 1 after two seconds
- ``unwell``: it answers 500 for ever
- ``hanging``: it listens, and never answers

``GET /`` answers the version, ``GET /slow`` does so after five seconds (``/slow/0.5``: after half a second), a POST
answers what was sent. Every answer has ``X-Container``, the host's name. ``python3 server.py check`` is for HEALTHCHECK.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping

__all__ = ["Application", "main"]

WARMING_SECONDS = 3.0
FADING_SECONDS = 2.0
SLOW_SECONDS = 5.0
FAREWELL_SECONDS = 1.0  # a proxy's request may be on its way over a connection that is closed at once
GRACE_SECONDS = 7.0
HEAD_LIMIT = 65_536
BACKLOG = 1024


class Application:
    """One server; ``begun`` is the monotonic time of its start."""

    def __init__(self, version: str, behaviour: frozenset[str], begun: float) -> None:
        self.version, self.behaviour, self.begun = version, behaviour, begun
        self.name = socket.gethostname()
        self.stopping = asyncio.Event()
        self.busy = 0
        self.rested = asyncio.Event()
        self.idle: set[asyncio.StreamWriter] = set()

    async def serve(self, port: int) -> int:
        """Serve until told to stop; the result is the exit code."""
        listener = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
        server = await asyncio.start_server(self.converse, sock=listener, backlog=BACKLOG, limit=HEAD_LIMIT)
        seconds = FADING_SECONDS if "fading" in self.behaviour else None
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return 1
        await asyncio.sleep(FAREWELL_SECONDS)
        waiting = accept_all(listener)
        server.close()
        last = [asyncio.create_task(self._welcome(each)) for each in waiting]
        await self._finish()
        for each in last:
            each.cancel()
        return 0

    async def _welcome(self, connection: socket.socket) -> None:
        await self.converse(*await asyncio.open_connection(sock=connection, limit=HEAD_LIMIT))

    async def _finish(self) -> None:
        """Give what has just been accepted a moment, then close what nobody uses, and wait for what is under way."""
        await asyncio.sleep(FAREWELL_SECONDS)
        for writer in [*self.idle]:
            writer.close()
        if self.busy:
            self.rested.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.rested.wait(), GRACE_SECONDS)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; false when the connection is to end."""
        self.idle.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        finally:
            self.idle.discard(writer)
        self.busy += 1
        try:
            line, _, rest = head.decode("latin-1").partition("\r\n")
            method, path, _ = line.split(" ", 2)
            headers = _headers(rest)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status, content = await self.answer(method, path, body)
            keep = headers.get("connection", "").lower() != "close" and not self.stopping.is_set()
            writer.write(self._message(status, content, keep=keep))
            await writer.drain()
        finally:
            self.busy -= 1
            if not self.busy:
                self.rested.set()
        return keep

    async def answer(self, method: str, path: str, body: bytes) -> tuple[str, bytes]:
        """Status and content for a request."""
        if "hanging" in self.behaviour:
            await asyncio.sleep(3600)
        if "unwell" in self.behaviour:
            return "500 Internal Server Error", b"unwell\n"
        if "warming" in self.behaviour and time.monotonic() - self.begun < WARMING_SECONDS:
            return "503 Service Unavailable", b"warming\n"
        if path.startswith("/slow"):
            await asyncio.sleep(float(path.removeprefix("/slow").lstrip("/") or SLOW_SECONDS))
        return "200 OK", body if method == "POST" else f"{self.version}\n".encode()

    def _message(self, status: str, content: bytes, *, keep: bool) -> bytes:
        connection = "keep-alive" if keep else "close"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(content)}\r\n"
            f"X-Container: {self.name}\r\nX-Version: {self.version}\r\nConnection: {connection}\r\n\r\n"
        )
        return head.encode("latin-1") + content


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """The connections that the kernel has accepted and that the end of the listener would reset."""
    found: list[socket.socket] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < BACKLOG:
            found.append(listener.accept()[0])
    return found


def _headers(lines: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines.split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def check(port: int) -> int:
    """What HEALTHCHECK runs: 0 when the application answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
            return int(not connection.recv(64).startswith(b"HTTP/1.1 200 "))
    except OSError:
        return 1


async def run(environment: Mapping[str, str]) -> int:
    """Do as the environment says."""
    begun = time.monotonic()
    behaviour = frozenset(environment.get("BEHAVIOUR", "").replace(",", " ").split())
    application = Application(environment.get("VERSION", "0"), behaviour, begun)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if "graceful" in behaviour:
            loop.add_signal_handler(number, application.stopping.set)
        elif "deaf" in behaviour:
            signal.signal(number, signal.SIG_IGN)
        else:  # the first process of a container has no default: without a handler it would not die
            loop.add_signal_handler(number, os._exit, 128 + number)
    if "crashing" in behaviour:
        print("cannot open the database: no such file", file=sys.stderr, flush=True)
        return 1
    return await application.serve(int(environment.get("PORT", "80")))


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Serve, or check; the result is the exit code."""
    if arguments[:1] == ["check"]:
        return check(int(environment.get("PORT", "80")))
    return asyncio.run(run(environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
