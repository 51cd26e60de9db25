"""Who asks while containers are replaced: wrk in several ways, and one person whose answer takes five seconds."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.load import Load

__all__ = ["PATTERNS", "Count", "Pattern", "Visitors"]

SLOW_SECONDS = 5
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to ask: on how many connections, new ones for each request or not, and by GET or POST."""

    connections: int
    close: bool = False
    post: bool = False

    @property
    def title(self) -> str:
        """For a table."""
        return f"{self.connections} {'new' if self.close else 'kept'}, {'POST' if self.post else 'GET'}"


PATTERNS = (
    Pattern(20),
    Pattern(20, close=True),
    Pattern(20, post=True),
    Pattern(200),
    Pattern(200, close=True),
    Pattern(200, close=True, post=True),
)


@dataclass(slots=True)
class Count:
    """What became of the requests, by kind of failure; the slow ones are counted apart, and among ``failures``, too."""

    requests: int = 0
    slow: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """All requests that did not get their answer."""
        return self.failures.total()

    def add(self, other: Count) -> None:
        """Count the other's as well."""
        self.requests += other.requests
        self.slow += other.slow
        self.failures.update(other.failures)

    def kinds(self) -> str:
        """The failures in words: ``502: 3, read: 1``."""
        return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(self.failures.items()))


class Visitors:
    """They ask from ``with`` to its end; then ``count`` is complete."""

    def __init__(self, address: str, pattern: Pattern) -> None:
        self.count = Count()
        self._address = address
        self._leaving = threading.Event()
        body = "a comment on the post, sent by a form" if pattern.post else ""
        self._load = Load(f"http://{address}/", connections=pattern.connections, close=pattern.close, post=body)
        self._slow = threading.Thread(target=self._ask_slowly, daemon=True)

    def __enter__(self) -> Self:
        self._slow.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if kind is not None:
            self._load.__exit__(kind, error, trace)
            return
        outcome = self._load.stop()
        self._slow.join(SLOW_SECONDS + PATIENCE)
        self.count.requests += outcome.requests
        kinds = {name: getattr(outcome, name) for name in ("connect", "read", "write", "timeout")} | dict(
            outcome.answers
        )
        self.count.failures.update({name: number for name, number in kinds.items() if number})

    def _ask_slowly(self) -> None:
        """One slow request is always on its way."""
        while not self._leaving.is_set():
            trouble = self._slow_answer()
            self.count.slow += 1
            self.count.requests += 1
            if trouble:
                self.count.failures[f"slow {trouble}"] += 1
                time.sleep(0.1)

    def _slow_answer(self) -> str:
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE)
        try:
            connection.request("GET", f"/slow/{SLOW_SECONDS}")
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        return "" if answer.status == http.HTTPStatus.OK else str(answer.status)
