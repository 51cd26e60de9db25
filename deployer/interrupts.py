"""SIGINT and SIGTERM as one exception, and a time in which they wait."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TypeVar

__all__ = ["LOOK_SECONDS", "Interrupts", "next_of", "postponed"]

LOOK_SECONDS = 0.5
"""How long the main thread waits for anything without looking whether a signal has come."""
_Item = TypeVar("_Item")

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """A signal waits until the end of the block, and is delivered there: for what must not be begun and forgotten."""
    if threading.current_thread() is not threading.main_thread():
        yield  # the others get no signals
        return
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: arrived.append(number)) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def next_of(source: queue.SimpleQueue[_Item]) -> _Item:
    """The next item, waited for so that no signal is overlooked meanwhile.

    A plain ``get`` sees only those that come while it waits. One that arrived the moment before, or that the system gave
    to another thread, would have to wait for the item, too.
    """
    while True:
        with contextlib.suppress(queue.Empty):
            return source.get(timeout=LOOK_SECONDS)


class Interrupts:
    """Turns both signals into KeyboardInterrupt, at most once.

    Inside :meth:`held` the first signal waits, because what was begun takes only a moment, and a second one gives up.
    Once the exception was raised, more signals must not stop the host from undoing what the first one interrupted.
    """

    def __init__(self) -> None:
        self._held = False
        self._patience = False
        self._raised = False

    def install(self) -> None:
        """Take over both signals; only the main thread may."""
        for number in _BOTH:
            signal.signal(number, self._arrived)

    def ignore(self) -> None:
        """Nothing is left to interrupt. Python itself would die of a signal that comes while it ends."""
        for number in _BOTH:
            signal.signal(number, signal.SIG_IGN)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One signal waits, and is dropped at the end: what was begun is done by then."""
        self._held = self._patience = True
        try:
            yield
        finally:
            self._held = False

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        if self._held and self._patience:
            self._patience = False
        elif not self._raised:
            self._raised = True
            raise KeyboardInterrupt
