"""Visitors who read a site without a pause while it is deployed, and notice anything but a whole, expected version."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

from tests.end_to_end.site import Site, read_release

__all__ = ["Visitors"]

PAUSE = 0.005  # seconds between two visits: a deploy that runs beside needs the processor, too


@dataclass(frozen=True, slots=True)
class Expected:
    """The versions that a visit may see, and whether it may also find nothing."""

    versions: frozenset[int]
    missing: bool

    def __or__(self, other: Expected) -> Expected:
        return Expected(self.versions | other.versions, self.missing or other.missing)


class Visitors:
    """One reads the target's files, each time through one opened directory; one asks a web server, file by file.

    ``port`` is the web server's, which serves the target's parent. A visit may see what was expected when it began or
    when it ended. ``problems`` are what was seen besides.
    """

    def __init__(self, site: Site, port: int, *, pause: float = PAUSE) -> None:
        self._site, self._pause = site, pause
        self._expected = Expected(frozenset(), missing=True)
        self._ending = threading.Event()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._numbers = itertools.count()
        self.problems: list[str] = []
        self.visits = self.requests = self.missed = 0
        self.longest_gap = self._gap_began = 0.0
        loops = (self._look, self._ask)
        self._threads = [threading.Thread(target=self._repeat, args=(loop,), daemon=True) for loop in loops]

    def expect(self, *versions: int | None, missing: bool = False) -> None:
        """From now on, visits may see these versions; None among them, or ``missing``, means nothing at all."""
        known = frozenset(number for number in versions if number is not None)
        self._expected = Expected(known, missing or None in versions)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(90)
        self._connection.close()

    def _repeat(self, visit: Callable[[], None]) -> None:
        while not self._ending.wait(self._pause) and len(self.problems) < 10:
            try:
                visit()
            except Exception as error:  # whatever it is, a visitor should not have met it
                self.problems.append(f"{time.strftime('%T')} {type(error).__name__}: {error}")

    def _look(self) -> None:
        before = self._expected
        self.visits += 1
        try:
            opened = os.open(self._site.target, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            self._miss(before)
            return
        self._gap_began = 0.0
        try:
            files = read_release(opened)
        finally:
            os.close(opened)
        self._site.which(files, (before | self._expected).versions)

    def _miss(self, before: Expected) -> None:
        now = time.monotonic()
        self.missed += 1
        self._gap_began = self._gap_began or now
        self.longest_gap = max(self.longest_gap, now - self._gap_began)
        assert (before | self._expected).missing, "there is no target"

    def _ask(self) -> None:
        before = self._expected
        paths = sorted({path for number in before.versions for path in self._site.files(number)}) or ["index.html"]
        path = paths[next(self._numbers) % len(paths)]
        self.requests += 1
        try:
            self._connection.request("GET", f"/{self._site.name}/{path}")
            answer = self._connection.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        expected = before | self._expected
        known = [self._site.files(number).get(path) for number in expected.versions]
        if status == HTTPStatus.NOT_FOUND:
            assert expected.missing or None in known, f"{path} answered 404"
        else:
            assert status == HTTPStatus.OK, f"{path} answered {status}"
            assert body in known, f"{path} has the contents of no version in {sorted(expected.versions)}: {body[:60]!r}"
