"""The gate with the real client against real servers: each fault of a bad release, and an old mount."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from deployer.health import ExpectedFile, HealthSettings, Verdict, check
from deployer.ports import Clock
from deployer.web import fetch
from tests.conftest import need
from tests.fakes import FakeClock
from tests.integration.web_servers import Exchange, LoopbackServer, RealClock, Rule, self_signed
from tests.nginx import Nginx


def gate(url: str, *expected: ExpectedFile, clock: Clock | None = None, **settings: Any) -> Verdict:
    values = {"url": url, "timeout": 60.0, **settings}
    return check(HealthSettings(**values), expected, fetch, clock or RealClock())


def verdict(rule: Rule, **settings: Any) -> Verdict:
    with LoopbackServer(rule) as server:
        return gate(server.url, **settings)


def test_good_site() -> None:
    """A site with the right status and text passes with one request."""
    seen = verdict(Exchange.answer, contains="hello")
    assert (seen.passed, seen.attempts) == (True, 1)


def test_wrong_status_and_text() -> None:
    """Definite wrong answers fail long before the time-out."""
    assert "answered 500 instead of 200" in verdict(lambda exchange: exchange.answer(500)).reason
    seen = verdict(Exchange.answer, contains="other")
    assert (seen.passed, seen.attempts) == (False, 3)
    assert seen.seconds < 30


def test_redirect_loop() -> None:
    """A redirect loop fails, in one line."""
    seen = verdict(lambda exchange: exchange.answer(302, Location="/"))
    assert not seen.passed and "redirect loop" in seen.reason


def test_bad_certificate(tmp_path: Path) -> None:
    """A certificate that nobody vouches for fails, with the reason in words."""
    _, context = self_signed(tmp_path)
    with LoopbackServer(Exchange.answer, tls=context) as server:
        seen = gate("https://site.test/", connect_to=f"127.0.0.1:{server.port}")
    assert (seen.passed, seen.attempts) == (False, 3)
    assert seen.reason.endswith("the certificate of site.test is not valid: self-signed certificate")


def test_silence_ends_at_the_time_out() -> None:
    """A server that accepts and never answers uses up the gate's time and not more."""

    over = threading.Event()
    seen = verdict(lambda _exchange: over.wait(90), timeout=0.7)
    over.set()
    assert not seen.passed and "timed out" in seen.reason
    assert 0.6 < seen.seconds < 30


def test_burst_of_503_is_waited_out() -> None:
    """A server that is starting passes as soon as it is up."""
    seen = verdict(lambda exchange: exchange.answer(503 if exchange.number < 4 else 200))
    assert (seen.passed, seen.attempts) == (True, 5)


def test_broken_answers_are_waited_out() -> None:
    """Resets and answers that break off are no answers, and are asked for again."""

    def rule(exchange: Exchange) -> bool:
        if exchange.number > 2:
            return exchange.answer()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"[: exchange.number * 20])
        return exchange.reset()

    assert verdict(rule).attempts == 4


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A target that is a link to the first of two releases."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
        (tmp_path / name / "ä b%41?.txt").write_text(name * 9)
    (tmp_path / "site").symlink_to("one")
    return tmp_path / "site"


def files_of(release: Path) -> tuple[ExpectedFile, ...]:
    held = [(path.name, path.read_bytes()) for path in sorted(release.iterdir())]
    return tuple(ExpectedFile(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in held)


def test_nginx_serves_the_new_release(site: Path, tmp_path: Path) -> None:
    """Behind nginx, whose directory's parent is stable, the switched release passes; the other one fails."""
    need("nginx", "to serve a switched link")
    with Nginx(site, tmp_path / "nginx", location="/app/") as server:
        assert gate(server.url, *files_of(tmp_path / "one")).passed
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(site)
        assert gate(server.url, *files_of(tmp_path / "two")).passed
        assert gate(server.url + "index.html", *files_of(tmp_path / "two"), site=server.url[:-1]).passed
        stale = gate(server.url, *files_of(tmp_path / "one"), timeout=10, clock=FakeClock())
    assert not stale.passed
    assert stale.reason.startswith(f"{server.url}index.html has other contents than the release")
    assert "mounts the target itself" in stale.reason


def test_nginx_that_holds_the_old_directory(site: Path, tmp_path: Path) -> None:
    """A server that resolved the target once, as a container's mount does, is found out: new files are not there."""
    need("nginx", "to serve the old directory")
    (tmp_path / "two" / "new.css").write_text("new")
    with Nginx(site.resolve(), tmp_path / "nginx") as server:
        expected = [file for file in files_of(tmp_path / "two") if file.url_path == "new.css"]
        seen = gate(server.url, *expected)
    assert (seen.passed, seen.attempts) == (False, 4)
    assert "new.css answered 404" in seen.reason and "mounts the target itself" in seen.reason
