"""What `deployer check` concludes from the web's answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.checking.web import web_findings
from deployer.config import Config, load
from deployer.finding import Finding, State
from deployer.plan import Reply
from deployer.web import Answer, Fault, WebError

RELEASE = "20261120T080000Z-aaaaaaa.0123456789abcdef01234567"
PAGE, CONTENTS = b"<h1>blog</h1>", b"body { }"
LIVE = {"live": RELEASE, "present": "yes", "kind": "link", "file": "a b.css"} | {
    "file_hash": f"{hashlib.sha256(CONTENTS).hexdigest()}  -"
}

Server = Callable[[str], tuple[int, bytes]]


def configured(url: str, **flags: Any) -> Config:
    basic = {"app": "blog", "host": ("local",), "static.source": "public", "static.target": "/www/blog", "url": url}
    return load(None, flags=basic | flags, variables={}, directory=Path("/"))


def ask(
    server: Server, url: str = "https://e.org/blog/", facts: dict[str, str] | None = LIVE, **flags: Any
) -> dict[str, Finding]:
    def fetch(url: str, *, connect_to: str, timeout: float) -> Answer:
        status, body = server(url.partition("e.org")[2])
        return Answer(url, status, {}, body, hashlib.sha256(body).hexdigest(), len(body), 0.012)

    reply = None if facts is None else Reply(tuple((name, text.encode()) for name, text in facts.items()))
    return {each.name: each for each in web_findings(configured(url, **flags), reply, "", fetch)}


def good(path: str) -> tuple[int, bytes]:
    return (200, PAGE) if path in {"/blog/", "/"} else (404, b"not here")


def test_a_site_that_answers_and_hides_is_fine() -> None:
    """The URL's status is an expected one, and nothing is to be had through .deployer."""
    found = ask(good)
    assert [each.state for each in found.values()] == [State.OK, State.OK]
    assert found["url"].found == "https://e.org/blog/ answers 200 in 12 ms"


def test_without_a_url_nothing_is_asked() -> None:
    """There is nothing to say either."""
    assert ask(good, url="") == {}


@pytest.mark.parametrize(
    ("flags", "status", "body", "state"),
    [
        ({}, 404, b"", State.ERROR),
        ({"health.status": (404,)}, 404, b"", State.OK),
        ({"health.contains": "blog"}, 200, PAGE, State.OK),
        ({"health.contains": "shop"}, 200, PAGE, State.ERROR),
    ],
)
def test_a_live_site_is_judged_as_the_gate_would(flags: dict[str, Any], status: int, body: bytes, state: State) -> None:
    """By the statuses and the text that a deploy expects."""
    found = ask(lambda _: (status, body), facts={"kind": "link", "present": "yes"}, **flags)["url"]
    assert (found.state, bool(found.mend)) == (state, state is State.ERROR)


def test_a_directory_that_deployer_has_not_filled_is_only_warned_of() -> None:
    """On a fresh server it is empty, and a bad answer is what to expect before the first deploy."""
    found = ask(lambda _: (403, b""), facts={"kind": "directory"})["url"]
    assert found.state is State.WARNING and "if it stays so, the gate rolls back" in found.found


def test_before_the_first_deploy_any_answer_is_fine() -> None:
    """There is a server; that it has no page yet is no mistake."""
    found = ask(lambda _: (404, b""), facts={"kind": "none"})
    assert (found["url"].state, found["hidden"].state) == (State.OK, State.OK)
    assert "nothing is live yet" in found["url"].found


def test_no_answer_is_an_error_without_the_urls_query() -> None:
    """A query may hold something secret."""

    def fetch(url: str, *, connect_to: str, timeout: float) -> Answer:
        raise WebError(Fault.UNREACHABLE, "connection refused")

    facts = Reply(tuple((name, text.encode()) for name, text in LIVE.items()))
    (found,) = web_findings(configured("https://e.org/blog/?token=secret"), facts, "", fetch)
    assert (found.state, "secret" in found.found + found.mend) == (State.ERROR, False)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://e.org/blog/", "/.deployer/blog/releases"),
        ("https://e.org/blog", "/.deployer/blog/releases"),
        ("https://e.org/blog/index.html", "/.deployer/blog/releases"),
        ("https://e.org/", "/.deployer/blog/releases"),
        ("https://e.org", "/.deployer/blog/releases"),
        ("https://e.org/a/blog/", "/a/.deployer/blog/releases"),
        ("https://e.org/a/blog/", "/.deployer/blog/releases"),
    ],
)
def test_releases_that_can_be_reached_are_a_warning(url: str, path: str) -> None:
    """Beside the site's directory or at the root; the mend is the rule to paste. A release's name is not told."""
    served = f"{path}/{RELEASE}/a%20b.css"
    found = ask(lambda asked: (200, CONTENTS) if asked == served else good(asked), url=url)["hidden"]
    assert found.state is State.WARNING
    assert r"location ~ /\.deployer { deny all; }" in found.mend
    assert "0123456789abcdef" not in found.found


def test_a_page_that_answers_to_everything_shows_nothing() -> None:
    """As single-page applications do, even where that page is the file that was asked for."""
    assert ask(lambda _: (200, PAGE))["hidden"].state is State.OK
    assert ask(lambda _: (200, CONTENTS))["hidden"].state is State.OK


def test_a_file_that_the_server_changes_is_still_reachable() -> None:
    """Its contents may be filtered on the way: that names nobody has are refused tells enough."""
    found = ask(lambda asked: (200, b"minified") if RELEASE in asked else good(asked))["hidden"]
    assert found.state is State.WARNING


def test_a_host_that_did_not_answer_is_asked_by_http_all_the_same() -> None:
    """The URL is looked at; what would need the host's answer is left out."""
    assert list(ask(good, facts=None)) == ["url"]


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"container": "blog b1 c1 sha256:1 running none"}, State.ERROR),
        ({"live": "20261120T080000Z-aaaaaaa"}, State.ERROR),
        ({"container": "blog b1 c1 sha256:1 exited none"}, State.OK),
        (None, State.ERROR),
    ],
)
def test_what_runs_has_to_answer(facts: dict[str, str] | None, state: State) -> None:
    """With strategy rebuild, what should answer is what was deployed or runs; a checkout has nothing to hide."""
    found = ask(lambda _: (502, b""), facts=facts, strategy="rebuild", **{"rebuild.path": "blog"})
    assert {name: each.state for name, each in found.items()} == {"url": state}
