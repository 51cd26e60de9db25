"""The hosts of one deploy: reached at the same time, locked in an order that nobody can cross, left together."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from deployer.engine import Gate, Steps
from deployer.errors import LockHeld
from deployer.interrupts import next_of
from deployer.parallel import outcomes, together
from deployer.plan import Effect, Plan, Reply, Request, step_name
from deployer.ports import Session, Transport

__all__ = ["Connecting", "Destination", "leave", "open_at_once", "open_in_turn"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A host to deploy to: the way there, and what must hold there after the switch (see ``Gate``; made of the plan).

    ``name`` is what its steps' names end in: short, and no other host's. One host alone needs none.
    """

    transport: Transport
    gate: Callable[[Plan], Gate | None]
    name: str = ""


class Connecting:
    """Connections that are being made, all at the same time, while something else is done."""

    def __init__(self, destinations: Sequence[Destination], program: str, steps: Steps) -> None:
        self._program = program
        self._steps = steps
        self._lock = threading.Lock()
        self._opened: dict[int, Session] = {}
        self._abandoned = False
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._count = len(destinations)
        for number, destination in enumerate(destinations):
            arguments = (number, destination)
            threading.Thread(target=self._connect, args=arguments, name="deployer-connect", daemon=True).start()

    def wait(self) -> tuple[Session, ...]:
        """The sessions in the destinations' order. Raises what the first connection to fail raises."""
        for _ in range(self._count):
            refused = next_of(self._ended)
            if refused is not None:
                self.abandon()
                raise refused
        return tuple(self._opened[number] for number in range(self._count))

    def abandon(self) -> None:
        """Close what is open, and what will be. Whether other hosts answer does not matter any more."""
        with self._lock:
            self._abandoned = True
            opened = tuple(self._opened.values())
        for session in opened:
            session.close(wait=False)

    def _connect(self, number: int, destination: Destination) -> None:
        try:
            with self._steps.step(step_name("connect", destination.name), destination.transport.host):
                session = destination.transport.open(self._program)
        except BaseException as error:  # handed to the thread that waits
            self._ended.put(error)
            return
        with self._lock:
            self._opened[number] = session
            abandoned = self._abandoned
        if abandoned:
            session.close(wait=False)
        self._ended.put(None)


def open_at_once(sessions: Sequence[Session], opening: tuple[Request, ...]) -> tuple[tuple[Reply, ...], ...]:
    """Perform ``opening``, which waits for no lock, on all hosts at the same time; the replies in their order.

    Raises LockHeld when all have answered, so that leaving them gives every lock back: a host that was still looking at
    its files would go on holding its own.
    """
    replies: dict[int, tuple[Reply, ...]] = {}
    held: LockHeld | None = None
    for number, outcome in outcomes([partial(session.perform, *opening) for session in sessions]):
        if isinstance(outcome, LockHeld):
            held = held or outcome
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            replies[number] = outcome
    if held is not None:
        raise held
    return tuple(replies[number] for number in range(len(sessions)))


def open_in_turn(
    destinations: Sequence[Destination], sessions: Sequence[Session], opening: tuple[Request, ...]
) -> tuple[tuple[Reply, ...], ...]:
    """Perform ``opening`` on every host; the replies in their order. Its first writing request waits for the lock.

    One host is locked before all others, the same by everybody who deploys to the same ones: two deploys that each hold
    what the other waits for would both wait in vain. What it says besides is waited for together with the others.
    """
    if len(sessions) == 1:
        return (sessions[0].perform(*opening),)
    first = min(range(len(sessions)), key=lambda number: destinations[number].transport.host)
    stream = sessions[first].stream(opening)
    locking = next(number for number, request in enumerate(opening) if request.effect is Effect.WRITE)
    locked = tuple(itertools.islice(stream, locking + 1))

    def ask(number: int) -> tuple[Reply, ...]:
        return (*locked, *stream) if number == first else sessions[number].perform(*opening)

    return together([partial(ask, number) for number in range(len(sessions))])


def leave(sessions: Sequence[Session], *, wait: bool) -> None:
    """Close all at the same time: with ``wait``, each host may take its seconds to undo."""
    together([partial(session.close, wait=wait) for session in sessions])
