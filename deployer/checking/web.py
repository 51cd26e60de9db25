"""What `deployer check` asks by HTTP: whether the URL answers, and whether visitors could reach ``.deployer``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from deployer.checking.rooms import is_first, is_live
from deployer.config import Config
from deployer.finding import Finding, error, fine, warning
from deployer.plan import Reply
from deployer.web import Answer, WebError

__all__ = ["Fetch", "web_findings"]

SECONDS = 5.0
DENY = (
    r"nginx, in the server block: location ~ /\.deployer { deny all; } (Traefik hides nothing by itself: put this into the "
    "web server behind it, or add && !PathRegexp(`/[.]deployer`) to the router's rule)"
)


class Fetch(Protocol):
    """:func:`deployer.web.fetch`, or what stands in for it."""

    def __call__(self, url: str, *, connect_to: str, timeout: float) -> Answer:
        """GET ``url`` and follow its redirects. Raises WebError."""
        ...


def web_findings(config: Config, reply: Reply | None, connect_to: str, fetch: Fetch) -> Iterator[Finding]:
    """For one host; ``reply`` is what its program said, or None when it could not be asked."""
    if config.health_url:
        yield _answers(config, connect_to, fetch, live=is_live(config, reply), first=is_first(config, reply))
    # A checkout is no place that a web server serves.
    served = config.url and config.strategy == "static"
    if served and reply is not None and (hidden := _hidden(config, reply, connect_to, fetch)) is not None:
        yield hidden


def _answers(config: Config, connect_to: str, fetch: Fetch, *, live: bool, first: bool) -> Finding:
    url = config.health_url
    shown, good = url.partition("?")[0], config.health.status
    look = f"curl -v {quote(shown, safe=':/?&=%~+,;@[]')}"
    try:
        answer = fetch(url, connect_to=connect_to, timeout=min(SECONDS, config.health.timeout))
    except WebError as reason:
        return error("url", f"{shown} does not answer: {reason}", look)
    found = f"{shown} answers {answer.status}"
    if not live:
        return fine("url", f"{found}, as nothing is live yet")
    wanted = " or ".join(str(status) for status in good)
    bad, then = (warning, "if it stays so, the gate rolls") if first else (error, "the gate would roll")
    if answer.status not in good:
        return bad("url", f"{found} instead of {wanted}: {then} back", f"{look}, or --health-status")
    if config.health.contains.encode("utf-8", "surrogateescape") not in answer.body:
        found = f"{found} without the text {config.health.contains!r}: {then} back"
        return bad("url", found, f"{look}, or --health-contains")
    return fine("url", f"{found} in {answer.seconds * 1000:.0f} ms")


def _hidden(config: Config, reply: Reply, connect_to: str, fetch: Fetch) -> Finding | None:
    """Whether the live release can be had under its directory's name; None where nobody answers."""
    live, file = reply.text("live"), reply.text("file")
    if not live or not file:
        return fine("hidden", "nothing is live yet that could be reached through .deployer; look again after a deploy")
    app = config.static.target.rpartition("/")[2]
    answered = False
    for folder in _folders(config.url):
        url, absent = (
            f"{folder}.deployer/{quote(app)}/releases/{quote(each)}/{quote(file)}" for each in (live, _other(live))
        )
        try:
            answer = fetch(url, connect_to=connect_to, timeout=SECONDS)
            answered = True
            reachable = answer.status == HTTPStatus.OK and _shows(
                answer, fetch(absent, connect_to=connect_to, timeout=SECONDS), reply.text("file_hash").split(" ")[0]
            )
        except WebError:
            continue
        if reachable:
            found = f"visitors who learn a release's name can reach it through {folder}.deployer/"
            return warning("hidden", found, DENY)
    return fine("hidden", "visitors cannot reach .deployer") if answered else None


def _shows(answer: Answer, absent: Answer, digest: str) -> bool:
    """Whether a good answer is the release's file, and not what the server says to whatever it does not know."""
    return absent.status != HTTPStatus.OK or (answer.sha256 == digest and absent.sha256 != digest)


def _other(live: str) -> str:
    return f"{live.partition('.')[0]}.{secrets.token_hex(12)}"


def _folders(url: str) -> dict[str, None]:
    """Where ``.deployer`` would be beside the site, and at the root; each ends in a slash."""
    parts = urlsplit(url)
    folder, _, page = parts.path.rpartition("/")
    site = folder if "." in page or not page else parts.path
    beside = site.rpartition("/")[0] + "/"
    return dict.fromkeys(urlunsplit((parts.scheme, parts.netloc, path, "", "")) for path in (beside, "/"))
