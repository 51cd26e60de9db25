"""Steps and plans as plain values: they can be printed, compared and run.

A strategy turns configuration and facts into a :class:`Plan`; the engine runs any plan; a transport carries its requests.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

__all__ = [
    "HEAVY_BYTES",
    "Body",
    "Change",
    "Effect",
    "Plan",
    "Reply",
    "Request",
    "ServedFile",
    "Step",
    "Text",
    "step_name",
]

HEAVY_BYTES = 1 << 20
"""What is less than this is sent again in no time, should the line break."""


class Effect(enum.Enum):
    """Whether a request changes the host. A dry run carries out the reading ones only."""

    READ = "read"
    WRITE = "write"


class Body(Protocol):
    """Bytes that follow a request, made while they are sent so that memory does not grow with their size."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of any size."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A body that is a text, read only when it is sent: the log of the deploy so far, or what an earlier reply decides."""

    read: Callable[[], str]

    def chunks(self) -> Iterator[bytes]:
        """Yield the text as UTF-8, in one frame."""
        yield self.read().encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Request:
    """One verb of the program on the host, with its arguments.

    Arguments are texts of any characters but NUL; the transport's conversation quotes them. ``heard`` gets the reply, for
    the body of a later request that depends on it.
    """

    verb: str
    effect: Effect
    arguments: tuple[str, ...] = ()
    body: Body | None = None
    heard: Callable[[Reply], None] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the host answered to one request: named facts in the order of their arrival; a name may repeat."""

    facts: tuple[tuple[str, bytes], ...] = ()

    def raw(self, name: str) -> bytes | None:
        """The last fact of that name, or None."""
        for key, value in reversed(self.facts):
            if key == name:
                return value
        return None

    def text(self, name: str, default: str = "") -> str:
        """The last fact of that name as text (UTF-8, undecodable bytes kept as surrogates)."""
        value = self.raw(name)
        return default if value is None else value.decode("utf-8", "surrogateescape")

    def number(self, name: str, default: int = 0) -> int:
        """The last fact of that name as a whole number."""
        try:
            return int(self.text(name))
        except ValueError:
            return default

    def every(self, name: str) -> tuple[str, ...]:
        """All facts of that name as texts."""
        return tuple(value.decode("utf-8", "surrogateescape") for key, value in self.facts if key == name)


@dataclass(frozen=True, slots=True)
class Step:
    """One named step: what a person reads about it and the requests that do it."""

    name: str
    summary: str
    requests: tuple[Request, ...]

    @property
    def effect(self) -> Effect:
        """WRITE if any of its requests writes."""
        return Effect.WRITE if any(request.effect is Effect.WRITE for request in self.requests) else Effect.READ

    def on(self, host: str) -> Step:
        """The same step, named as one of ``host``'s."""
        return replace(self, name=step_name(self.name, host))


def step_name(step: str, host: str) -> str:
    """The name of a step on ``host``, under which it begins, goes on and ends; one host alone (empty) needs no mention."""
    return f"{step} {host}" if host else step


@dataclass(frozen=True, slots=True)
class Change:
    """One line for a person: ``action`` is add, change, remove or move; ``origin`` is where a moved file was."""

    action: str
    path: str
    size: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file whose contents visitors get anew: path in the release, SHA-256 in hex, size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered steps of one deploy on one host.

    ``prepare`` brings everything to the host and changes nothing that visitors see. Where that takes long, the plan is
    ``patient``: nobody watches meanwhile, and of several hosts one is deployed to after the other. The ``approach``
    should not be noticed either, but might be. ``switch`` is the instant at which visitors get the release; ``confirm``
    follows a passed gate, ``revert`` a failed one, unless the release goes ``one_way``, which says why. The ``rest``
    behind ``confirm`` may take long, and the host does it by itself when nobody waits for it. A plan without ``switch``
    has nothing to do: ``release`` is live already, and ``confirm`` only ends a deploy that changes other hosts.
    What a ``heavy`` plan prepares is too much to be sent twice: the switch waits until the host has said that all of it
    is there, so that no line that breaks before can leave it unknown whether to go on.
    ``figures`` are numbers of the result (``files_total`` and so on).
    """

    release: str
    previous: str
    commit: str = ""
    prepare: tuple[Step, ...] = ()
    approach: tuple[Step, ...] = ()
    switch: Step | None = None
    confirm: tuple[Step, ...] = ()
    rest: tuple[Step, ...] = ()
    revert: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    served: tuple[ServedFile, ...] = ()
    figures: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    heavy: bool = False
    patient: bool = False
    one_way: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of a deploy that goes well, in order."""
        return () if self.switch is None else (*self.prepare, *self.approach, self.switch, *self.confirm, *self.rest)

    def on(self, host: str) -> Plan:
        """The same plan, its steps and warnings named as ``host``'s; one host alone (empty) needs no mention."""
        prepare, approach, confirm, rest, revert = (
            tuple(step.on(host) for step in steps)
            for steps in (self.prepare, self.approach, self.confirm, self.rest, self.revert)
        )
        switch = self.switch and self.switch.on(host)
        warnings = tuple(f"{host}: {text}" if host else text for text in self.warnings)
        return replace(
            self,
            prepare=prepare,
            approach=approach,
            switch=switch,
            confirm=confirm,
            rest=rest,
            revert=revert,
            warnings=warnings,
        )
