"""A deploy's display that is the job's log: everything that it says, without secrets, as it comes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from deployer.reporting.text import format_bytes, visible
from deployer.secret import Secret
from receiver.logs import LogWriter

__all__ = ["JobLog", "hider"]

SHORTEST_SECRET = 4
"""Characters; hiding what is shorter would black out half of every text."""
SECONDS_BETWEEN_PROGRESS = 10.0


def hider(secrets: Iterable[Secret]) -> Callable[[str], str]:
    """A function that puts ``***`` for every secret, and for each line of those that have several."""
    texts = {line.strip() for secret in secrets for line in (secret.reveal(), *secret.reveal().splitlines())}
    # The longest first: one may be the beginning of another.
    hidden = sorted((text for text in texts if len(text) >= SHORTEST_SECRET), key=len, reverse=True)

    def hide(text: str) -> str:
        for each in hidden:
            text = text.replace(each, "***")
        return text

    return hide


class JobLog:
    """Writes what a deploy says into the log of ``job`` in ``folder``. Any thread may call; nothing of it ever fails."""

    def __init__(self, folder: Path, job: int, hide: Callable[[str], str]) -> None:
        self.hide = hide
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self.notes: list[str] = []
        self.steps: list[tuple[str, float]] = []
        """Those that are not the engine's."""
        self._place = (folder, job)
        self._writer: LogWriter | None = None
        self.reopen()

    def reopen(self) -> None:
        """Open the log anew, where a forked process has closed what it had open."""
        try:
            self._writer = LogWriter(*self._place)
        except OSError:
            self._writer = None

    def write(self, kind: str, text: str, **more: object) -> None:
        """One line."""
        with self._lock:
            if self._writer is not None:
                self._writer.write(kind, self.hide(visible(text)), **more)

    @contextlib.contextmanager
    def step(self, name: str, summary: str) -> Iterator[None]:
        """A step of the job before the engine's."""
        began = time.monotonic()
        self.step_started(name, summary)
        yield
        seconds = time.monotonic() - began
        self.steps.append((name, seconds))
        self.step_finished(name, seconds)

    def step_started(self, name: str, summary: str) -> None:
        """A step begins."""
        self._said[name] = time.monotonic()
        self.write("step", summary, name=name)

    def step_finished(self, name: str, seconds: float) -> None:
        """It is done."""
        self._said.pop(name, None)
        self.write("done", "", name=name, seconds=round(seconds, 3))

    def progress(self, name: str, done: int, total: int) -> None:
        """Now and then, how far a long step is."""
        now = time.monotonic()
        if now - self._said.setdefault(name, now) < SECONDS_BETWEEN_PROGRESS:
            return
        self._said[name] = now
        whole = f" of {format_bytes(total)} ({done * 100 // total} %)" if total else ""
        self.write("output", f"{name}: {format_bytes(done)}{whole} …")

    def output(self, line: str) -> None:
        """A line of a build."""
        self.write("output", line.rstrip("\r\n").rpartition("\r")[2].expandtabs())

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self.notes.append(text)
        self.write("note", text)

    def warning(self, text: str) -> None:
        """Something that needs attention."""
        self.notes.append(f"warning: {text}")
        self.write("warning", text)

    def error(self, text: str) -> None:
        """Why it failed, and what to do."""
        for line in text.splitlines():
            self.write("error", line)

    def close(self) -> None:
        """Nothing to leave: every line is already written. The job may go on to say something."""

    def finish(self) -> None:
        """Nothing more will be said."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
