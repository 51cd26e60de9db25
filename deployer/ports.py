"""What the engine asks of the outside world, as small protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from deployer.plan import Plan, Reply, Request

__all__ = ["Answer", "Channel", "Clock", "Reporter", "Session", "Strategy", "Transport"]


class Channel(Protocol):
    """A byte conversation with one POSIX shell on a host: its standard input, output and error."""

    def send(self, data: bytes) -> None:
        """Write all of ``data``, waiting while the host does not read.

        Raises ConnectionError (the built-in) when the other side is gone or the command time-out passed without progress.
        """
        ...

    def receive(self) -> bytes:
        """Some bytes of standard output, waiting for at least one; empty at its end.

        Raises ConnectionError (the built-in) when the connection broke.
        """
        ...

    def end_input(self) -> None:
        """Close standard input: the host's program finishes or undoes its step and ends."""
        ...

    def diagnostics(self) -> str:
        """The last 4 KiB of standard error so far, as text."""
        ...

    def close(self, *, spare: bool = False) -> None:
        """Give the channel and its connection back; may be called twice and never raises.

        To ``spare`` the program is to let it end by itself, however long what it undoes takes.
        """
        ...


class Session(Protocol):
    """One connection to a program on a host, from its first request to its last."""

    def perform(self, *requests: Request) -> tuple[Reply, ...]:
        """Send all requests without waiting in between, and return their replies in order.

        Raises the DeployerError that the host's failure maps to; requests behind a failed one are not carried out.
        """
        ...

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """As ``perform``, but take the requests one after the other and yield each reply when it arrives."""
        ...

    def check(self) -> None:
        """Raise what has ended the conversation, if that is known already; asks nobody."""
        ...

    def close(self, *, wait: bool = True) -> None:
        """End the conversation: the host's program undoes what is not confirmed, releases its lock and ends.

        Without ``wait`` nobody looks whether it did: for when nothing is left to undo.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What one host said to the opening, and the session to ask it more; ``host`` names it among several, else empty."""

    host: str
    replies: tuple[Reply, ...]
    session: Session


class Transport(Protocol):
    """A way to a host: SSH, this machine, or a dry run around either."""

    @property
    def host(self) -> str:
        """The host's name as people should read it: ``deploy@example.org:22`` or ``local``."""
        ...

    def open(self, program: str) -> Session:
        """Connect, start ``program`` (POSIX shell text) on the host and return the session.

        Raises ConnectionRefused.
        """
        ...


class Clock(Protocol):
    """Time, injected so that waiting rules can be tested without waiting."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Reporter(Protocol):
    """Where a deploy tells people what it does. Texts are single lines without markup."""

    def step_started(self, name: str, summary: str) -> None:
        """A step begins."""
        ...

    def step_finished(self, name: str, seconds: float) -> None:
        """The step that began last under this name is done."""
        ...

    def progress(self, name: str, done: int, total: int) -> None:
        """Bytes done of bytes in all, within a step; called often."""
        ...

    def output(self, line: str) -> None:
        """A line that a build or a command on the host printed."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing."""
        ...

    def warning(self, text: str) -> None:
        """Something that needs attention but does not stop the deploy."""
        ...


class Strategy(Protocol):
    """Turns configuration and what the host says into a plan. A new way to deploy is one more of these."""

    @property
    def program(self) -> str:
        """The host's side, as POSIX shell text."""
        ...

    @property
    def build_summary(self) -> str:
        """What ``build`` does, on one line; empty when there is nothing to build."""
        ...

    def build(self) -> None:
        """Make what is deployed, before anything else is touched. Raises DeployFailed."""
        ...

    @property
    def scan_summary(self) -> str:
        """What ``scan`` does, on one line; empty when there is nothing to read."""
        ...

    def scan(self) -> Callable[[], None]:
        """Begin to read what is deployed, while the connection is made; the result waits for the end.

        Waiting raises InvalidInput. To be called before any thread is started: a process can be forked only then.
        """
        ...

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        """The first requests to each host: take the lock, ask for facts, and ``alone`` finish when nothing is to do.

        Where it is not ``patient``, a lock that somebody holds is not waited for. Then several hosts are asked at the
        same time, and if one raises LockHeld, all are left and asked anew, patiently and in turn. A host may finish
        then, too; if another one has something to do, ``decide`` takes its lock again, and does not wait for it either.
        """
        ...

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        """A plan for each host, from its replies to the opening; all have the same release.

        Where none has anything to do, the locks are given back. With several hosts, a step's progress is told under its
        :func:`deployer.plan.step_name`. Raises DeployerError when a host is not fit for it.
        """
        ...
