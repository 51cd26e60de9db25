"""A transport that carries out what reads and records what would write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deployer.plan import Effect, Reply, Request
from deployer.ports import Session, Transport

__all__ = ["DryRun"]


class DryRun:
    """Wraps a transport; ``recorded`` holds the writing requests in order, and no host has seen them."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.recorded: list[Request] = []

    @property
    def host(self) -> str:
        """The host's name as people should read it."""
        return self._inner.host

    def open(self, program: str) -> Session:
        """Connect for the reading requests."""
        return _DrySession(self._inner.open(program), self.recorded)


class _DrySession:
    def __init__(self, inner: Session, recorded: list[Request]) -> None:
        self._inner = inner
        self._recorded = recorded

    def perform(self, *requests: Request) -> tuple[Reply, ...]:
        return tuple(self.stream(requests))

    def stream(self, requests: Iterable[Request]) -> Iterator[Reply]:
        wanted = tuple(requests)
        replies = iter(self._inner.perform(*(r for r in wanted if r.effect is Effect.READ)))
        for request in wanted:
            if request.effect is Effect.READ:
                yield next(replies)
            else:
                self._recorded.append(request)
                yield Reply()

    def check(self) -> None:
        self._inner.check()

    def close(self, *, wait: bool = True) -> None:
        self._inner.close(wait=wait)
