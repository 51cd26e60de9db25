"""A byte channel (see :class:`deployer.ports.Channel`) to a shell on this machine: what a host does, without a network."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from deployer.command import local_argv
from deployer.errors import ConnectionRefused
from deployer.ports import Channel

__all__ = ["open_channel"]

_PIECE = 64 << 10
_RECEIVE = 1 << 20
_TAIL = 4096  # bytes of standard error that are kept
_UNDO_SECONDS = 1.0
"""How long a program may take to undo and end once its input has ended, before it is asked to, and then made to."""
_TERMINATE_SECONDS = 0.5
_SIGNALLED_SECONDS = 4.0
"""How long the program may take to end what it had begun, once it was told to by a signal."""
_LOOK_SECONDS = 0.02


def open_channel(command_timeout: float = 60.0) -> Channel:
    """Start the constant command in the user's home, as a login over SSH would.

    ``command_timeout``: seconds without any progress after which sending or receiving fails. Raises ConnectionRefused.
    """
    return _LocalChannel(command_timeout)


class _LocalChannel:
    """The command has one socket for input and output, as sshd gives it, and a session of its own.

    So a terminal's Ctrl-C reaches deployer alone, and the program ends in order when its input does.
    """

    def __init__(self, timeout: float) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    local_argv(),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    cwd=_home(),
                    env={name: value for name, value in os.environ.items() if not name.startswith("DEPLOYER_")},
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise ConnectionRefused(f"cannot start a shell on this machine: {error.strerror}") from error
        self._socket, self._timeout = ours, timeout
        self._tail = bytearray()
        self._closing = threading.Lock()
        self._closed = False
        ours.settimeout(timeout)
        self._listener = threading.Thread(target=self._listen, name="deployer-stderr", daemon=True)
        self._listener.start()

    def send(self, data: bytes) -> None:
        """Write all of ``data``. Raises ConnectionError when the program is gone or took nothing for ``timeout`` seconds."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view[:_PIECE]) :]
            except TimeoutError:
                raise ConnectionError(f"the program on this machine took no data for {self._timeout:g} s") from None
            except OSError as error:
                raise ConnectionError("the program on this machine has ended") from error

    def receive(self) -> bytes:
        """At least one byte of standard output; empty at its end. Raises ConnectionError after a silent ``timeout``."""
        try:
            return self._socket.recv(_RECEIVE)
        except TimeoutError:
            raise ConnectionError(f"the program on this machine said nothing for {self._timeout:g} s") from None
        except ConnectionResetError:
            return b""  # it ended without reading all that it was sent
        except OSError as error:
            raise ConnectionError(f"the program on this machine is gone: {error.strerror}") from error

    def end_input(self) -> None:
        """Close standard input."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def diagnostics(self) -> str:
        """The last 4 KiB of standard error so far."""
        if self._process.poll() is not None:
            self._listener.join(_TERMINATE_SECONDS)  # what it said last may still be on its way
        return bytes(self._tail).decode("utf-8", "replace")

    def close(self, *, spare: bool = False) -> None:
        """End the program: by the end of its input, and within seconds by signals to all that it started.

        One that is spared is told by a signal, too, and not killed.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self.end_input()
        if not self._ended(_UNDO_SECONDS):
            self._signal(signal.SIGTERM)
            if not self._ended(_SIGNALLED_SECONDS) and not spare:
                self._signal(signal.SIGKILL)
                self._ended(_TERMINATE_SECONDS)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that still waits for output
        self._socket.close()

    def _ended(self, seconds: float) -> bool:
        """Whether the program ends in time. Its output is thrown away, so that it cannot be stuck on it."""
        deadline = time.monotonic() + seconds
        self._socket.settimeout(_LOOK_SECONDS)
        output = True
        # A process that the program left running may hold the output open: the program's own end is what counts.
        while self._process.poll() is None and time.monotonic() < deadline:
            if not output:
                time.sleep(_LOOK_SECONDS)
                continue
            try:
                output = bool(self._socket.recv(_RECEIVE))
            except TimeoutError:
                pass
            except OSError:
                output = False
        return self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        # The group has the program's number for as long as we have not waited for the program.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _listen(self) -> None:
        stream = self._process.stderr
        assert stream
        with stream:
            while data := os.read(stream.fileno(), _PIECE):
                self._tail += data[-_TAIL:]
                del self._tail[:-_TAIL]


def _home() -> Path:
    """Where a login would start: home, or the root where there is none."""
    try:
        home = Path.home()
    except RuntimeError:
        return Path("/")
    return home if home.is_dir() else Path("/")
