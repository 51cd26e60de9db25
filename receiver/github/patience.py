"""A limit for one answer in all: the time-outs of HTTP libraries are for each piece of it, and one that drips has many."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TookTooLong", "within"]

T = TypeVar("T")


class TookTooLong(Exception):
    """The limit is over; ``seconds`` says how long it was."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises. Raises TookTooLong, and leaves the call's thread to itself."""
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:
            ended.put((None, error))

    thread = threading.Thread(target=run, daemon=True, name="github")
    thread.start()
    try:
        value, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TookTooLong(seconds) from None
    # Who forks afterwards forks a process without this thread.
    thread.join()
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is there
