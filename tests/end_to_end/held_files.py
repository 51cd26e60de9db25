"""Files that hold up whoever opens them, so that a test can act in the very middle of somebody else's reading."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import need

__all__ = ["HeldFile"]

READER_SECONDS = 30.0
POLL_SECONDS = 0.002


class HeldFile:
    """The next process that opens ``path`` waits in open(2) until the ``with`` block ends, or 45 s at most.

    It is a lease (fcntl(2), "Leases"): a process that waits has found the file already, but has not read any of it.
    We would wait as well, so ``descriptor`` is the only way to write into it.
    """

    def __init__(self, path: Path) -> None:
        self._handler = signal.signal(signal.SIGIO, lambda _number, _frame: None)  # which says that somebody waits
        self.descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.fcntl(self.descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            self.release()
            need("leases", f"to hold up a reader of {path} ({error.strerror})", present=False)

    def wait_for_reader(self) -> None:
        """Return when somebody waits for the file."""
        deadline = time.monotonic() + READER_SECONDS
        while fcntl.fcntl(self.descriptor, fcntl.F_GETLEASE) == fcntl.F_WRLCK:
            assert time.monotonic() < deadline, "nobody opened the file"
            time.sleep(POLL_SECONDS)

    def release(self) -> None:
        """Let the reader go on."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)
        signal.signal(signal.SIGIO, self._handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
