"""A live display for people at a terminal, made with Rich; what is done stays behind as plain lines.

Imported only when it is used, because Rich takes a while to load.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from typing import TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from deployer.reporting.plain import output_line
from deployer.reporting.text import format_bytes, format_duration, visible

__all__ = ["ConsoleReporter"]

SECONDS_BETWEEN_UPDATES = 0.05


class ConsoleReporter:
    """Shows the steps that run, and bytes with their rate and the time left; writes nothing but to ``stream``.

    ``verbose`` leaves a line also when a step begins. Any thread may call. Call ``close`` before printing anything else.
    """

    def __init__(self, stream: TextIO, verbose: bool = False) -> None:
        self._console = Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._verbose = verbose
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._steps: dict[str, tuple[TaskID, str]] = {}
        self._updated: dict[str, float] = {}
        atexit.register(self.close)  # whatever happens, the terminal gets its cursor back

    def step_started(self, name: str, summary: str) -> None:
        """Add the step to the display."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._verbose:
                self._leave(("→ ", "dim"), _described(name, summary))
            if self._progress is None:
                self._progress = self._display()
                self._progress.start()
            if name in self._steps:
                self._progress.remove_task(self._steps[name][0])
            self._steps[name] = (self._progress.add_task(_described(name, summary), total=None), summary)

    def step_finished(self, name: str, seconds: float) -> None:
        """Take the step off the display and leave its line behind."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            task, summary = self._steps.pop(name, (None, ""))
            self._updated.pop(name, None)
            if self._progress is not None and task is not None:
                self._progress.remove_task(task)
            if not self._steps:
                self._stop()
            self._leave(("✓ ", "green"), _described(name, summary), (f"  {format_duration(seconds)}", "dim"))

    def progress(self, name: str, done: int, total: int) -> None:
        """Move the step's bar; ``total`` 0 means that nobody knows."""
        now = time.monotonic()
        if done < total and now - self._updated.get(name, 0.0) < SECONDS_BETWEEN_UPDATES:
            return
        self._updated[name] = now
        with self._lock:
            if self._progress is not None and name in self._steps:
                self._progress.update(self._steps[name][0], completed=done, total=total or None)

    def output(self, line: str) -> None:
        """Leave a build's line above the display."""
        self._leave(("  ", "dim"), (visible(output_line(line)), "dim"))

    def note(self, text: str) -> None:
        """Leave the text above the display."""
        self._leave(visible(text))

    def warning(self, text: str) -> None:
        """Leave the text above the display, marked."""
        self._leave(("warning: ", "bold yellow"), visible(text))

    def close(self) -> None:
        """End the display and show the cursor again; steps that did not finish leave nothing. May be called twice."""
        atexit.unregister(self.close)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._steps.clear()
            self._stop()

    def _display(self) -> Progress:
        utf8 = self._console.encoding.lower().startswith("utf")
        return Progress(
            SpinnerColumn("dots" if utf8 else "line"),
            _BytesBar(bar_width=20),
            _Line(),
            console=self._console,
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _stop(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()

    def _leave(self, *parts: str | tuple[str, str]) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._console.print(Text.assemble(*parts), soft_wrap=True)


class _BytesBar(BarColumn):
    """A bar for the steps that know how many bytes they move."""

    def render(self, task: Task) -> RenderableType:  # type: ignore[override]
        return super().render(task) if task.total else Text("")


class _Line(ProgressColumn):
    """The step and its figures: bytes, rate and time left, or the time that it already takes."""

    def render(self, task: Task) -> Text:
        line = Text(task.description, no_wrap=True, overflow="ellipsis")
        line.append(f"  {', '.join(_figures(task))}", style="dim")
        return line


def _figures(task: Task) -> list[str]:
    if not task.total:
        return [_whole_seconds(task.elapsed)] if task.elapsed and task.elapsed >= 1 else []
    figures = [f"{format_bytes(task.completed)} of {format_bytes(task.total)}"]
    if task.speed:
        figures.append(f"{format_bytes(task.speed)}/s")
    if task.time_remaining is not None and not task.finished:
        figures.append(f"{_whole_seconds(task.time_remaining)} left")
    return figures


def _whole_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 10 else format_duration(seconds)


def _described(name: str, summary: str) -> str:
    return visible(f"{name}: {summary}" if summary else name)
