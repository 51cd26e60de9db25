"""The log of each job: a file of JSON lines that the job's process writes and that pages follow while it grows.

A line is ``{"at": seconds since 1970, "kind": …, "text": …}``; kinds are ``attempt`` (a process begins, or begins again),
``step`` and ``done`` (with ``name`` and, done, ``seconds``), ``output``, ``note``, ``warning``, ``error`` and ``end``.
A reader's position is a number of bytes, at the beginning of a line.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["LogWriter", "Piece", "log_file", "read_log", "remove_old_logs"]

LARGEST_LOG = 64 << 20
"""Bytes; what a deploy says beyond them is not kept."""
LARGEST_LINE = 1 << 14
READ_AT_ONCE = 1 << 18
_DAY = 86_400


def log_file(folder: Path, job: int) -> Path:
    """Where the log of ``job`` is."""
    return folder / f"{job}.jsonl"


class LogWriter:
    """Appends to one job's log. A full disk costs lines and nothing else: the deploy goes on."""

    def __init__(self, folder: Path, job: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(log_file(folder, job), flags, 0o600)
        self._size = os.fstat(self._file).st_size
        # What was killed while it wrote may have left half a line.
        self._torn = self._size > 0
        self._untold = 0
        self.lost = 0
        """How many lines could not be kept."""

    def write(self, kind: str, text: str, **more: object) -> None:
        """Append one line. Never raises OSError."""
        data = _line(kind, text, **more)
        fits = self._size + len(data) <= LARGEST_LOG or kind == "end"
        if not (fits and self._tell_gap() and self._append(data)):
            self.lost += 1
            self._untold += 1

    def _tell_gap(self) -> bool:
        """Where lines are missing, say so. Returns whether nothing is left to be said."""
        missing = f"{self._untold} lines are missing here: there was no room for them"
        if self._untold and self._append(_line("warning", missing)):
            self._untold = 0
        return not self._untold

    def _append(self, data: bytes) -> bool:
        """Returns whether all of it is written."""
        data = b"\n" + data if self._torn else data
        try:
            written = os.write(self._file, data)
        except OSError:
            return False
        self._size += written
        self._torn = written < len(data)
        return not self._torn

    def close(self) -> None:
        """Say what is missing, if there is room by now, and give the file back."""
        self._tell_gap()
        os.close(self._file)


def _line(kind: str, text: str, **more: object) -> bytes:
    return msgspec.json.encode({"at": round(time.time(), 3), "kind": kind, "text": text[:LARGEST_LINE], **more}) + b"\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of a log, each with the position behind it, and where to go on."""

    lines: tuple[tuple[int, dict[str, Any]], ...]
    position: int


def read_log(folder: Path, job: int, position: int = 0) -> Piece:
    """The lines from ``position`` on, 256 KiB at most. No file has no lines; what is no line of JSON is left out."""
    try:
        with log_file(folder, job).open("rb") as file:
            file.seek(position)
            data = file.read(READ_AT_ONCE)
    except FileNotFoundError:
        return Piece((), position)
    return Piece(tuple(_lines(data, position)), position + data.rfind(b"\n") + 1)


def _lines(data: bytes, position: int) -> Iterator[tuple[int, dict[str, Any]]]:
    *whole, _rest = data.split(b"\n")
    for line in whole:
        position += len(line) + 1
        with contextlib.suppress(msgspec.DecodeError):
            yield position, msgspec.json.decode(line, type=dict[str, Any])


def remove_old_logs(folder: Path, days: int, now: float) -> int:
    """Remove the logs that nobody has written to for ``days``. Returns how many."""
    removed = 0
    with contextlib.suppress(FileNotFoundError):
        for file in folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < now - days * _DAY:
                    file.unlink()
                    removed += 1
    return removed
