"""Measuring on a machine that has other things to do: what one attempt shows may be the machine's, what all show is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["ATTEMPTS", "least", "seconds_of", "until", "wait_until"]

ATTEMPTS = 5
PATIENCE_SECONDS = 60.0

Measured = TypeVar("Measured", int, float)


def least(measure: Callable[[], Measured], enough: Measured) -> Measured:
    """The least of up to five measurements; the first that is at most ``enough`` is the last."""
    found = measure()
    for _ in range(ATTEMPTS - 1):
        if found <= enough:
            break
        found = min(found, measure())
    return found


def seconds_of(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds. Raises AssertionError when it does not in time."""
    assert wait_until(condition, seconds), "it does not come true"


def wait_until(condition: Callable[[], object], seconds: float, *, step: float = 0.01) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
