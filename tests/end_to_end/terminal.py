"""A command at a real terminal: what it asks can be waited for and answered."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

SECONDS = 60


def _take_terminal() -> None:
    """Make standard input the new session's own terminal, so that Ctrl-C there is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The command runs with its standard streams on a pseudo-terminal; leaving the context kills what still runs."""

    def __init__(self, command: Sequence[str], *, directory: Path, environment: Mapping[str, str]) -> None:
        self._master, inner = pty.openpty()
        self.said = ""
        self._seen = 0
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  # tests have no threads when they start it
        )
        os.close(inner)

    def expect(self, text: str) -> None:
        """Wait until ``text`` is said, behind what was expected before."""
        deadline = time.monotonic() + SECONDS
        while text not in self.said[self._seen :]:
            assert self._read(deadline), f"{text!r} is not in what was said:\n{self.said}"
        self._seen = self.said.index(text, self._seen) + len(text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question and type the answer."""
        self.expect(question)
        os.write(self._master, f"{text}\n".encode())

    def leave(self, question: str, key: str) -> int:
        """Wait for a question and press Ctrl-C or Ctrl-D instead of an answer; the exit code.

        Python's line editor may miss a signal that comes while it sets itself up, so a person's second press is tried.
        """
        self.expect(question)
        for _ in range(SECONDS):
            os.write(self._master, key.encode())
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
                break
        return self.ended()

    def ended(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            pass
        return self._process.wait(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self, deadline: float) -> bool:
        """Take in what is said next; False at the end, and when nothing comes in time."""
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 4096)
        except OSError:  # Linux says so when the last user of the other side is gone
            return False
        self.said += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)
