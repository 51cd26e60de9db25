"""The receiver as a person runs it: ``receiver run --config FILE``, and what its store says about it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from demo.children import REPOSITORY
from demo.telling import Unexpected
from receiver.logs import read_log
from receiver.store import Database, Job, history

__all__ = ["Running", "free_port"]

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02


def free_port() -> int:
    """A port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """One receiver; ``log`` is what it logs. Use it as a context: whatever happens, nothing of it is left."""

    def __init__(self, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        self.log = folder / "receiver.log"
        self._folder = folder
        self._environment = {**environment}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Running:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it answers and a worker is there. Raises Unexpected."""
        command = [sys.executable, "-m", "receiver", "run", "--config", str(self._folder / "receiver.toml")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                process_group=0,
            )  # fmt: skip
        self.wait_for(lambda: self._health() == "ok", "the receiver to be well", READY_SECONDS)

    def _health(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health?strict")
            answer = connection.getresponse()
            return "ok" if answer.status == 200 else answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return "it does not answer"
        finally:
            connection.close()

    def wait_for(self, reached: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until it is so. Raises Unexpected when it takes too long or the receiver has ended."""
        deadline = time.monotonic() + seconds
        while not reached():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                last = self.log.read_text("utf-8", "replace")[-1500:]
                raise Unexpected(f"waited in vain for {what}. The receiver said last:\n{last}")
            time.sleep(POLL_SECONDS)

    def kill_worker(self) -> None:
        """SIGKILL to the worker alone. Raises Unexpected where there is none."""
        assert self._process
        for child in _children(self._process.pid):
            if b"\0worker\0" in _command(child):
                os.kill(child, signal.SIGKILL)
                return
        raise Unexpected("the receiver has no worker")

    def kill(self) -> None:
        """SIGKILL to all of it at once, as when the power fails."""
        if self._process is not None:
            for process in (self._process.pid, *_descendants(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as a service is ended, and by force what does not end."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
                self._process = None
            self.kill()

    def jobs(self) -> tuple[Job, ...]:
        """All jobs, oldest first."""
        database = Database.open(f"sqlite:///{self._folder / 'state' / 'receiver.db'}")
        try:
            with database.reading() as connection:
                return history.jobs_before(connection, None, 100)[::-1]
        finally:
            database.close()

    def first_step(self, job: Job) -> float:
        """When its first step began; seconds since 1970, 0 where there is none."""
        lines = read_log(self._folder / "state" / "logs", job.id).lines
        return next((float(line["at"]) for _, line in lines if line["kind"] == "step"), 0.0)

    def steps(self, job: Job) -> list[str]:
        """The names of the steps that have begun."""
        lines = read_log(self._folder / "state" / "logs", job.id).lines
        return [str(line.get("name", "")) for _, line in lines if line["kind"] == "step"]


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(entry.name)


def _descendants(parent: int) -> list[int]:
    found = [*_children(parent)]
    return [*found, *(deeper for child in found for deeper in _descendants(child))]


def _command(process: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""
