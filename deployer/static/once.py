"""Frames that are made once for several hosts: what costs most of an upload is reading and compressing."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

__all__ = ["Frames", "Maker", "Once", "Progress", "Shelf"]

KEPT_BYTES = 1 << 22
"""How far the fastest host may be ahead of the slowest that still gets the same frames."""

Progress = Callable[[int, int], None]
"""Told of bytes read and bytes sent so far, ahead of each frame."""
Maker = Callable[[Progress], Iterator[bytes]]
"""Makes all frames, each time the same ones as long as the source is the same."""


@dataclass(frozen=True, slots=True)
class _Frame:
    data: bytes
    told: tuple[tuple[int, int], ...]


class Shelf:
    """What waits for slower hosts: of all bodies of an upload together no more than ``limit`` bytes."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.lock = threading.Lock()
        """Held by whoever changes anything here."""
        self.size = 0
        self._limit = limit
        self._bodies: list[Once] = []

    def put(self, body: Once) -> None:
        """A body that comes behind those before."""
        self._bodies.append(body)

    def clear(self) -> None:
        """Drop the oldest of what is too much."""
        for body in self._bodies:
            while self.size > self._limit and body.drop():
                pass


class Once:
    """The frames of ``make`` for so many ``hosts``, made at the pace of the fastest.

    Nobody waits for a slower host: its own lease would lapse meanwhile. Whoever falls behind by more than ``shelf`` keeps
    makes the frames anew, for itself. The hosts' threads meet here.
    """

    def __init__(self, make: Maker, hosts: int, shelf: Shelf) -> None:
        self._make = make
        self._shelf = shelf
        self._lock = shelf.lock
        self._told: list[tuple[int, int]] = []
        self._source = make(self._tell)
        self._failure: BaseException | None = None
        self._frames: deque[_Frame] = deque()
        self._first = 0
        self._waiting = hosts
        self._numbers = itertools.count()
        self._positions: dict[int, int] = {}
        """How many frames each host has had, of those that are being sent to."""
        shelf.put(self)

    def frames(self, progress: Progress) -> Generator[bytes, None, None]:
        """All frames, for one host. Raises what making them raises."""
        number = 0
        host = self._arrive()
        try:
            while (frame := self._frame(host, number)) is not None:
                for told in frame.told:
                    progress(*told)
                yield frame.data
                number += 1
            if self._is_gone(number):
                yield from self._anew(number, progress)
        finally:
            self._leave(host)

    def drop(self) -> bool:
        """Keep the oldest frame no longer; False where there is none. To be called with the shelf's lock."""
        if not self._frames:
            return False
        self._shelf.size -= len(self._frames.popleft().data)
        self._first += 1
        return True

    def _arrive(self) -> int:
        with self._lock:
            self._waiting -= 1
            host = next(self._numbers)
            self._positions[host] = 0
            return host

    def _leave(self, host: int) -> None:
        with self._lock:
            del self._positions[host]
            self._forget()

    def _is_gone(self, number: int) -> bool:
        with self._lock:
            return number < self._first

    def _frame(self, host: int, number: int) -> _Frame | None:
        """The frame of that number; None behind the last one, or when it is kept no more."""
        with self._lock:
            if number < self._first:
                return None
            if number == self._first + len(self._frames) and not self._append():
                return None
            frame = self._frames[number - self._first]
            self._positions[host] = number + 1
            self._forget()
            return frame

    def _append(self) -> bool:
        """Make the next frame, while the others that are as far wait for it; False behind the last one."""
        if self._failure is not None:
            raise self._failure
        try:
            data = next(self._source, None)
        except BaseException as error:
            self._failure = error
            raise
        if data is None:
            return False
        self._frames.append(_Frame(data, tuple(self._told)))
        self._shelf.size += len(data)
        self._told.clear()
        return True

    def _forget(self) -> None:
        """Drop what all have, and what too slow ones have not."""
        end = self._first + len(self._frames)
        needed = 0 if self._waiting > 0 else min(self._positions.values(), default=end)
        while self._first < needed and self.drop():
            pass
        self._shelf.clear()

    def _tell(self, read: int, sent: int) -> None:
        self._told.append((read, sent))

    def _anew(self, number: int, progress: Progress) -> Iterator[bytes]:
        """The frames from that number on, made for this host alone; it has been told of those before."""
        told: list[tuple[int, int]] = []
        for position, data in enumerate(self._make(lambda read, sent: told.append((read, sent)))):
            if position >= number:
                for each in told:
                    progress(*each)
                yield data
            told.clear()


@dataclass(frozen=True, slots=True)
class Frames:
    """The body of one host's request."""

    once: Once
    progress: Progress

    def chunks(self) -> Iterator[bytes]:
        """Yield the frames."""
        return self.once.frames(self.progress)
