"""A visitor of the demo site who reads page after page and notices everything that goes wrong."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from types import TracebackType

from demo.site import ARTICLES, front_page_says

__all__ = ["Visitor"]

PAUSE = 0.02  # seconds between two pages
PATIENCE = 5.0  # seconds for one answer


class Visitor:
    """Reads from its construction until ``leave``; fresh connections and a kept one in turn.

    ``pages`` were asked for; ``dropped`` says of each page that did not come whole what happened; ``seen`` are the front
    page's headings in the order of their appearance.
    """

    def __init__(self, port: int) -> None:
        self.pages = 0
        self.dropped: list[str] = []
        self.seen: list[str] = []
        self._port = port
        self._kept = self._connection()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="visitor", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Stop reading. May be called twice."""
        self._leaving.set()
        self._thread.join(timeout=2 * PATIENCE)
        self._kept.close()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _read_on(self) -> None:
        articles = itertools.cycle(range(ARTICLES - 2))  # the ones that every version has
        begun = time.monotonic()
        while not self._leaving.wait(max(0.0, begun + self.pages * PAUSE - time.monotonic())):
            front = self.pages % 4 < 2
            self._read("/site/" if front else f"/site/article-{next(articles):03}.html", kept=self.pages % 2 == 0)

    def _read(self, path: str, *, kept: bool) -> None:
        self.pages += 1
        connection = self._kept if kept else self._connection()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            self._notice(path, answer.status, answer.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            self.dropped.append(f"{path}: {error!r}")
            connection.close()
        finally:
            if not kept:
                connection.close()

    def _notice(self, path: str, status: int, body: str) -> None:
        if status != http.HTTPStatus.OK or not body.endswith("</html>\n"):
            self.dropped.append(f"{path}: status {status}, {len(body)} characters")
        elif path == "/site/":
            heading = front_page_says(body)
            if self.seen[-1:] != [heading]:
                self.seen.append(heading)

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
