"""The end of a job's log, as the page begins with, and all of it as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from receiver.logs import log_file, read_log
from receiver.web.outcome import Step
from receiver.web.streams import shown_line

__all__ = ["LogView", "log_text", "log_view", "steps_of"]

LINES_SHOWN = 400
TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class LogView:
    """``lines`` as pages show them; ``position`` is behind the last; ``cut``: there are earlier ones."""

    lines: tuple[dict[str, object], ...]
    position: int
    cut: bool
    steps: tuple[Step, ...]


def log_view(folder: Path, number: int) -> LogView:
    """The last lines of the log, and the steps that they tell of."""
    try:
        size = log_file(folder, number).stat().st_size
    except OSError:
        size = 0
    # Half a line is no line of JSON, and is left out.
    first = max(0, size - TAIL)
    piece = read_log(folder, number, first)
    told = [line for _, line in piece.lines]
    lines = tuple(shown_line(line) for line in told[-LINES_SHOWN:])
    return LogView(lines, piece.position, first > 0 or len(told) > LINES_SHOWN, steps_of(told))


def steps_of(lines: Iterable[dict[str, Any]]) -> tuple[Step, ...]:
    """The steps of the newest attempt, in the order in which they began; one that is not done has no seconds."""
    steps: dict[str, float | None] = {}
    for line in lines:
        shown = shown_line(line)
        name, seconds = str(shown["name"] or shown["text"]), shown["seconds"]
        match shown["kind"]:
            case "attempt":
                steps.clear()
            case "step":
                steps[name] = None
            case "done":
                steps[name] = seconds if isinstance(seconds, int | float) else None
            case _:
                pass
    return tuple(Step(name, seconds) for name, seconds in steps.items())


def log_text(folder: Path, number: int) -> Iterator[str]:
    """The whole log, piece by piece."""
    position = 0
    while (piece := read_log(folder, number, position)).position != position:
        position = piece.position
        yield "".join(_text(shown_line(line)) for _, line in piece.lines)


def _text(line: dict[str, object]) -> str:
    at = line["at"]
    time = datetime.fromtimestamp(at if isinstance(at, int | float) else 0, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%SZ} {line['kind']}: {line['text']}\n"
