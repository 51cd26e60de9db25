"""Reporters that write plain lines: for CI logs, pipes, and the log that stays on the host."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TextIO

from deployer.ports import Reporter
from deployer.reporting.text import format_bytes, format_duration, is_terminal, visible, write_line

__all__ = ["Display", "PlainReporter", "RecordingReporter", "choose", "step_line"]

KEPT_LOG_BYTES = 256 << 10
SECONDS_BETWEEN_PROGRESS = 10.0


class Display(Reporter, Protocol):
    """A reporter that holds a display: whoever chose it closes it before printing anything else."""

    def close(self) -> None:
        """Leave the display as it should stay; may be called twice."""
        ...


def choose(stream: TextIO, quiet: bool = False, verbose: bool = False, json: bool = False) -> Display:
    """The live display where a person watches ``stream`` and no program reads the result, else plain lines."""
    if json or quiet or not is_terminal(stream):
        return PlainReporter(stream, verbose=verbose, quiet=quiet)
    from deployer.reporting.console import ConsoleReporter

    return ConsoleReporter(stream, verbose=verbose)


def step_line(name: str, summary: str, seconds: float) -> str:
    """What stays of a finished step: its name, what it did, how long it took."""
    said = f"{name}: {summary}" if summary else name
    return visible(f"{said} ({format_duration(seconds)})")


class PlainReporter:
    """One line per step when it ends, output lines as they come, warnings as ``warning: …``; no control characters.

    ``verbose`` adds a line when a step begins; ``quiet`` leaves only the warnings. A step that moves bytes for long says
    every ten seconds how far it is, so that a log never looks dead. Any thread may call.
    """

    def __init__(
        self,
        stream: TextIO,
        verbose: bool = False,
        quiet: bool = False,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._verbose = verbose
        self._quiet = quiet
        self._monotonic = monotonic
        self._summaries: dict[str, str] = {}
        self._progress_said: dict[str, float] = {}

    def step_started(self, name: str, summary: str) -> None:
        """Remember the summary for the step's line; with ``verbose``, say it already."""
        self._summaries[name] = summary
        self._progress_said[name] = self._monotonic()
        if self._verbose:
            self._say(f"{name}: {summary} …" if summary else f"{name} …")

    def step_finished(self, name: str, seconds: float) -> None:
        """Write the step's line."""
        self._progress_said.pop(name, None)
        self._say(step_line(name, self._summaries.pop(name, ""), seconds))

    def progress(self, name: str, done: int, total: int) -> None:
        """Now and then, how far a long step is. ``total`` 0 means that nobody knows."""
        now = self._monotonic()
        if now - self._progress_said.setdefault(name, now) < SECONDS_BETWEEN_PROGRESS:
            return
        self._progress_said[name] = now
        whole = f" of {format_bytes(total)} ({done * 100 // total} %)" if total else ""
        self._say(f"{name}: {format_bytes(done)}{whole} …")

    def output(self, line: str) -> None:
        """Pass a line of a build on; its tabs become spaces."""
        self._say(output_line(line))

    def note(self, text: str) -> None:
        """Write the text."""
        self._say(text)

    def warning(self, text: str) -> None:
        """Write the text, also when quiet."""
        write_line(self._stream, visible(f"warning: {text}"))

    def close(self) -> None:
        """Nothing to leave: every line is already written."""

    def _say(self, text: str) -> None:
        if not self._quiet:
            write_line(self._stream, visible(text))


def output_line(line: str) -> str:
    """A build's line without its end; of a progress bar that overwrote itself, what was last to be seen."""
    return line.rstrip("\r\n").rpartition("\r")[2].expandtabs()


class RecordingReporter:
    """Passes everything on to ``inner`` and keeps the last 256 KiB of it as text: the log that is stored on the host."""

    def __init__(self, inner: Reporter, limit: int = KEPT_LOG_BYTES) -> None:
        self._inner = inner
        self._limit = limit
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._summaries: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The log so far, at most ``limit`` bytes in UTF-8, whole lines; the first one says if older ones are missing."""
        with self._lock:
            lines, dropped = list(self._lines), self._dropped
        first = [_dropped_line(dropped)] if dropped else []
        return "".join(line + "\n" for line in first + lines)

    def step_started(self, name: str, summary: str) -> None:
        """Pass on; the summary is kept for the step's line."""
        self._summaries[name] = summary
        self._inner.step_started(name, summary)

    def step_finished(self, name: str, seconds: float) -> None:
        """Keep and pass on."""
        self._keep(step_line(name, self._summaries.pop(name, ""), seconds))
        self._inner.step_finished(name, seconds)

    def progress(self, name: str, done: int, total: int) -> None:
        """Pass on only."""
        self._inner.progress(name, done, total)

    def output(self, line: str) -> None:
        """Keep and pass on."""
        self._keep(visible(output_line(line)))
        self._inner.output(line)

    def note(self, text: str) -> None:
        """Keep and pass on."""
        self._keep(visible(text))
        self._inner.note(text)

    def warning(self, text: str) -> None:
        """Keep and pass on."""
        self._keep(visible(f"warning: {text}"))
        self._inner.warning(text)

    def _keep(self, line: str) -> None:
        longest = self._limit // 4  # so that one endless line cannot push everything else out
        if len(line) > longest:
            line = line[:longest] + " …"
        room = self._limit - _size(_dropped_line(self._dropped + 1))
        with self._lock:
            self._lines.append(line)
            self._size += _size(line)
            while self._lines and self._size > room:
                self._size -= _size(self._lines.popleft())
                self._dropped += 1


def _dropped_line(count: int) -> str:
    return f"({count} older lines were left out)"


def _size(line: str) -> int:
    return len(line.encode("utf-8")) + 1
