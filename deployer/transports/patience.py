"""A socket for the SSH library that notices when the other side stops taking data."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["PatientSocket", "Stream"]

_GREETING = 512  # bytes: what a server says before its SSH banner, enough for an error message


class Stream(Protocol):
    """What an SSH connection runs on: a TCP socket, or a tunnel through a connection before it."""

    def send(self, data: bytes, /) -> int:
        """Send some of the data. Raises TimeoutError, or OSError when nothing can be sent any more."""
        ...

    def recv(self, size: int, /) -> bytes:
        """Some bytes, at most ``size``; empty at the end. Raises TimeoutError."""
        ...

    def settimeout(self, seconds: float | None, /) -> None:
        """How long one call may wait."""
        ...

    def shutdown(self, how: int, /) -> None:
        """End both directions and wake who waits."""
        ...

    def close(self) -> None:
        """Give it back; may be called twice."""
        ...


class PatientSocket:
    """The library repeats a send that timed out for ever; after ``patience`` seconds without a byte sent, ours fails."""

    def __init__(self, stream: Stream, patience: float) -> None:
        self._stream, self._patience = stream, patience
        self._blocked_since = 0.0
        self._closed = False  # paramiko looks at it, by this name, as at a real socket's
        self.greeting = b""
        self.settimeout = stream.settimeout
        self.shutdown = stream.shutdown

    def send(self, data: bytes) -> int:
        """Send some of the data. Raises OSError after ``patience`` seconds without progress."""
        try:
            sent = self._stream.send(data)
        except TimeoutError:
            now = time.monotonic()
            self._blocked_since = self._blocked_since or now
            if now - self._blocked_since >= self._patience:
                raise ConnectionAbortedError(f"no data was taken for {self._patience:g} s") from None
            raise
        self._blocked_since = 0.0
        return sent

    def recv(self, size: int) -> bytes:
        """Receive, and keep the first bytes for error messages."""
        data = self._stream.recv(size)
        if len(self.greeting) < _GREETING:
            self.greeting += data
        return data

    def close(self) -> None:
        """Close the stream; may be called twice."""
        self._closed = True
        self._stream.close()
