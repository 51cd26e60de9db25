"""Signals as something that a selector sees, and that is asked about afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

__all__ = ["Signals"]


class Signals:
    """Notes SIGTERM and SIGINT (``stopping``), SIGHUP (``reload``) and ends of children, of which nothing is to be known."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.stopping = False
        self.reload = False
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._arrived)

    def fileno(self) -> int:
        """Readable after a signal."""
        return self._read

    def take(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = self.stopping or number in (signal.SIGTERM, signal.SIGINT)
        self.reload = self.reload or number == signal.SIGHUP
