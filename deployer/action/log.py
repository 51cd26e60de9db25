"""A step's log: a line for each step of the deploy, what builds print folded away, warnings as annotations."""

from __future__ import annotations

import threading
from typing import TextIO

from deployer.action.commands import annotation, group, harmless
from deployer.reporting import PlainReporter
from deployer.reporting.text import visible, write_line

__all__ = ["HarmlessStream", "WorkflowReporter"]


class HarmlessStream:
    """Passes lines on to ``stream``, in which none of them is a command to the runner: whatever they quote."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, line: str) -> int:
        """Write one line, its end included."""
        return self._stream.write(harmless(line))

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def isatty(self) -> bool:
        """No colours: nobody's terminal."""
        return False


class WorkflowReporter:
    """Writes to ``stream``, which the runner reads. The output of a step's commands is in a group of its own.

    Lines of commands, here or on the host, never reach the runner as workflow commands. Any thread may call.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._plain = PlainReporter(HarmlessStream(stream), verbose=verbose)  # type: ignore[arg-type]  # all that it uses
        self._lock = threading.RLock()
        self._running: dict[str, str] = {}
        self._open = ""
        self.notes: list[str] = []

    def step_started(self, name: str, summary: str) -> None:
        """Remember the step for its line and its group."""
        with self._lock:
            self._running[name] = summary
            self._plain.step_started(name, summary)

    def step_finished(self, name: str, seconds: float) -> None:
        """Close its group, if it has one, and write its line below."""
        with self._lock:
            self._running.pop(name, None)
            if self._open == name:
                self.close()
            self._plain.step_finished(name, seconds)

    def progress(self, name: str, done: int, total: int) -> None:
        """Now and then, how far a long step is."""
        self._plain.progress(name, done, total)

    def output(self, line: str) -> None:
        """Write a command's line, in the group of the step that began last."""
        with self._lock:
            if self._running and not self._open:
                self._open = next(reversed(self._running))
                summary = self._running[self._open]
                write_line(self._stream, group(visible(f"{self._open}: {summary}" if summary else self._open)))
            self._plain.output(line)

    def note(self, text: str) -> None:
        """Write the text, and keep it in ``notes``."""
        self.notes.append(text)
        self._plain.note(text)

    def warning(self, text: str) -> None:
        """Write the text as an annotation of the run."""
        write_line(self._stream, annotation("warning", visible(text)))

    def close(self) -> None:
        """Close the open group, if there is one."""
        with self._lock:
            if self._open:
                self._open = ""
                write_line(self._stream, "::endgroup::")
