"""Several things at the same time, a thread each; one thing alone is done right here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from deployer.interrupts import next_of

__all__ = ["outcomes", "together"]

T = TypeVar("T")


def outcomes(tasks: Sequence[Callable[[], T]]) -> Iterator[tuple[int, T | BaseException]]:
    """Begin all tasks and yield, as each ends, its number and what it returned or raised.

    Whoever stops iterating leaves the others running: their sessions' end is theirs, and the process does not wait for
    them. An interrupt reaches only the thread that iterates.
    """
    ended: queue.SimpleQueue[tuple[int, T | BaseException]] = queue.SimpleQueue()

    def work(number: int) -> None:
        ended.put((number, _outcome(tasks[number])))

    for number in range(len(tasks)):
        threading.Thread(target=work, args=(number,), name=f"deployer-{number}", daemon=True).start()
    for _ in tasks:
        yield next_of(ended)


def together(tasks: Sequence[Callable[[], T]]) -> tuple[T, ...]:
    """What each task returns, in their order. Raises what the first one to fail raises, without waiting for the others."""
    if len(tasks) == 1:
        return (tasks[0](),)
    results: dict[int, T] = {}
    for number, outcome in outcomes(tasks):
        if isinstance(outcome, BaseException):
            raise outcome
        results[number] = outcome
    return tuple(results[number] for number in range(len(tasks)))


def _outcome(task: Callable[[], T]) -> T | BaseException:
    try:
        return task()
    except BaseException as error:  # handed to the thread that waits
        return error
