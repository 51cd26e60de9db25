"""Signals: the first one stops the deploy, unless it is just being finished."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator

import pytest

from deployer.interrupts import Interrupts, next_of

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = Interrupts()
    taken.install()
    yield taken
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_both_signals_are_one_exception(interrupts: Interrupts, number: signal.Signals) -> None:
    """Ctrl-C and a CI system's SIGTERM end a deploy in the same way."""
    with pytest.raises(KeyboardInterrupt):
        send(number)


def test_only_the_first_signal_interrupts(interrupts: Interrupts) -> None:
    """While the host undoes what the first one interrupted, further ones change nothing."""
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    for number in SIGNALS:
        send(number)


def test_a_signal_waits_while_held_and_is_dropped(interrupts: Interrupts) -> None:
    """What was begun is done when the time is over, so that there is nothing left to interrupt."""
    with interrupts.held():
        send(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)


def test_a_second_signal_while_held_gives_up(interrupts: Interrupts) -> None:
    """A host that hangs at the very end does not hold anybody for ever."""
    with interrupts.held():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_an_error_while_held_ends_the_time(interrupts: Interrupts) -> None:
    """The exception passes, and signals interrupt again."""
    with pytest.raises(ValueError, match="x"), interrupts.held():
        raise ValueError("x")
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_at_the_end_no_signal_counts(interrupts: Interrupts) -> None:
    """What is told of a deploy, and the exit code, stay true while the program ends."""
    interrupts.ignore()
    for number in SIGNALS:
        send(number)


class Seen(Exception):
    """A signal's handler has run."""


def test_a_signal_that_another_thread_was_given_is_seen_while_one_waits() -> None:
    """The system gives it to any thread; only the main one handles it, and must wake up for that."""

    def handle(_number: int, _frame: object) -> None:
        raise Seen

    source: queue.SimpleQueue[None] = queue.SimpleQueue()
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    before = signal.signal(signal.SIGINT, handle)
    try:
        other.start()
        assert other.ident is not None
        threading.Timer(0.2, signal.pthread_kill, (other.ident, signal.SIGINT)).start()
        with pytest.raises(Seen):
            next_of(source)
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGINT, before)
    source.put(None)
    assert next_of(source) is None
