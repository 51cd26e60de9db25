"""Visitors at a steady pace, whose every failure is told with its moment."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Visitors"]

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 15


class Visitors:
    """Ask for a URL until the end of the ``with`` block: half of them over kept-alive connections, half over fresh ones."""

    def __init__(self, url: str, *, visitors: int = 4) -> None:
        parts = urlsplit(url)
        self._address, self._path = parts.netloc, parts.path or "/"
        self._ended = threading.Event()
        self._begun = time.monotonic()
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._visit, args=(number % 2 == 0,), daemon=True) for number in range(visitors)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _visit(self, fresh: bool) -> None:
        connection = self._connect()
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                connection.request("GET", self._path, headers={"Connection": "close"} if fresh else {})
                answer = connection.getresponse()
                content = answer.read().decode("utf-8", "replace").strip()
                if answer.status == 200:
                    self.answers.append(content)
                else:
                    self._failed(f"{answer.status} {content}")
            except (OSError, http.client.HTTPException) as error:
                self._failed(repr(error))
                connection.close()
                connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)

    def _failed(self, why: str) -> None:
        self.failures.append(f"after {time.monotonic() - self._begun:.2f} s: {why}")
