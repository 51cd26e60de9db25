"""Small stand-ins for the outside world: they keep what they were told, and answer what the test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from deployer.deploy import ProbeFigures
from deployer.errors import DeployerError
from deployer.plan import Plan, Reply, Request
from deployer.ports import Answer, Session

__all__ = [
    "Behaviour",
    "FakeClock",
    "FakeSession",
    "FakeStrategy",
    "FakeTransport",
    "FakeWatch",
    "RecordedReports",
    "held",
]


@dataclass
class FakeClock:
    """Time that passes only by sleeping."""

    now: float = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class RecordedReports:
    """Every call as a tuple of its method and arguments; durations are left out."""

    calls: list[tuple[str, ...]] = field(default_factory=list)

    def step_started(self, name: str, summary: str) -> None:
        self.calls.append(("started", name, summary))

    def step_finished(self, name: str, seconds: float) -> None:
        self.calls.append(("finished", name))

    def progress(self, name: str, done: int, total: int) -> None:
        self.calls.append(("progress", name, f"{done}/{total}"))

    def output(self, line: str) -> None:
        self.calls.append(("output", line))

    def note(self, text: str) -> None:
        self.calls.append(("note", text))

    def warning(self, text: str) -> None:
        self.calls.append(("warning", text))

    def said(self, kind: str) -> list[str]:
        """The first argument of each call of this kind."""
        return [call[1] for call in self.calls if call[0] == kind]


Behaviour = Reply | BaseException | Callable[[], None]


@dataclass
class FakeSession:
    """Answers each verb as ``answers`` says (default: an empty reply), and notes in ``events`` what it was sent.

    An exception is raised in place of the reply; a callable is called before it.
    """

    answers: dict[str, Behaviour] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)
    lost: DeployerError | None = None

    def perform(self, *requests: Request) -> tuple[Reply, ...]:
        return tuple(self.stream(requests))

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            self.sent.append(request)
            self.events.append(request.verb)
            answer = self.answers.get(request.verb, Reply())
            if isinstance(answer, BaseException):
                raise answer
            if not isinstance(answer, Reply):
                answer()
            yield answer if isinstance(answer, Reply) else Reply()

    def check(self) -> None:
        if self.lost is not None:
            raise self.lost

    def close(self, *, wait: bool = True) -> None:
        self.closed.append(wait)
        self.events.append("close")


@dataclass
class FakeTransport:
    """Gives its session, or raises its error."""

    session: Session
    host: str = "deploy@example.org:22"
    error: BaseException | None = None
    programs: list[str] = field(default_factory=list)

    def open(self, program: str) -> Session:
        if self.error is not None:
            raise self.error
        self.programs.append(program)
        return self.session


@dataclass
class FakeWatch:
    """Notes when it is told what; ``seen`` is what it measured."""

    events: list[str] = field(default_factory=list)
    seen: ProbeFigures | None = None
    interrupt: BaseException | None = None

    def start(self) -> None:
        self.events.append("watch")

    def prepare(self) -> None:
        """Nothing is needed."""

    def mark_switch(self) -> None:
        self.events.append("mark")

    def mark_return(self) -> None:
        self.events.append("return")

    def stop(self) -> None:
        self.events.append("stop")
        if self.interrupt is not None:
            raise self.interrupt

    def abandon(self) -> None:
        self.events.append("abandon")

    def figures(self) -> ProbeFigures | None:
        return self.seen


@dataclass
class FakeStrategy:
    """Gives its plan for every host, or ``plans``; ``troubles`` are raised by the method of that name."""

    plan: Plan
    build_summary: str = ""
    scan_summary: str = "read the pages"
    program: str = "the program"
    troubles: dict[str, BaseException] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    asks: tuple[Request, ...] = ()
    answers: tuple[Answer, ...] = ()
    plans: tuple[Plan, ...] = ()
    manners: list[tuple[bool, bool]] = field(default_factory=list)
    """``(alone, patient)`` of each opening."""
    deciding: Callable[[], None] = lambda: None

    def build(self) -> None:
        self._happens("build")

    def scan(self) -> Callable[[], None]:
        return lambda: self._happens("scan")

    def opening(self, *, alone: bool, patient: bool = True) -> tuple[Request, ...]:
        self.manners.append((alone, patient))
        return self.asks

    def decide(self, answers: tuple[Answer, ...]) -> tuple[Plan, ...]:
        self._happens("decide")
        self.deciding()
        self.answers = answers
        return self.plans or (self.plan,) * len(answers)

    def _happens(self, name: str) -> None:
        self.events.append(name)
        if name in self.troubles:
            raise self.troubles[name]


@contextlib.contextmanager
def held(events: list[str]) -> Iterator[None]:
    """Signals wait inside; its begin and end are noted."""
    events.append("held")
    yield
    events.append("released")
