"""A small web server in front of a target, which answers as an application would that a release breaks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tests.end_to_end.deployment import Deployment
from tests.integration.web_servers import Exchange, LoopbackServer

__all__ = ["Fault", "front"]

Fault = Callable[[Exchange], bool]


@contextlib.contextmanager
def front(site: Deployment, fault: Fault | None = None, *, only: str = "") -> Iterator[LoopbackServer]:
    """Serve the target's files at ``/``; while its index holds the word ``bad``, ``fault`` answers instead.

    ``only``: the one path that the fault is for; empty means every one. Sets the site's ``url``.
    """

    def rule(exchange: Exchange) -> bool:
        path = exchange.target.partition("?")[0]
        try:
            broken = b"bad" in (site.target / "index.html").read_bytes()
            if fault and broken and only in ("", path):
                return fault(exchange)
            return exchange.answer(200, (site.target / (path.strip("/") or "index.html")).read_bytes())
        except OSError:
            return exchange.answer(404, b"not here")

    with LoopbackServer(rule) as server:
        site.settings["url"] = server.url
        yield server
