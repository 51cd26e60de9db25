"""The probe against real servers that drop on purpose, and against a real nginx that is reloaded and restarted."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.latency import ProbeReport, latency_line
from deployer.probe import Probe, ProbeSettings
from tests.attempts import ATTEMPTS, until
from tests.integration.web_servers import Exchange, LoopbackServer, RealClock, Rule, self_signed
from tests.nginx import Nginx

RATE = 100.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine is late with is neither dropped nor left unsent."""
    monkeypatch.setattr("deployer.probe.REQUEST_SECONDS", 60.0)
    monkeypatch.setattr("deployer.probe.SETTLE_SECONDS", 60.0)
    monkeypatch.setattr("deployer.probe.MOST_IN_FLIGHT", 1000)


@contextlib.contextmanager
def probing(url: str, rate: float = RATE, **settings: object) -> Iterator[Probe]:
    probe = Probe(ProbeSettings(url, rate, **settings), RealClock())  # type: ignore[arg-type]
    probe.start()
    try:
        assert probe.ready(60)
        yield probe
    finally:
        probe.abandon()


def seen_so_far(probe: Probe) -> ProbeReport:
    return probe._record.report(())


def most_at_once(seen: ProbeReport) -> int:
    """How many requests were under way at the same time."""
    spans = [(sample.start, sample.start + sample.latency) for sample in seen.samples]
    return max(sum(begun <= start <= ended for begun, ended in spans) for start, _ in spans)


def probe_numbers(rule: Rule, most: int = 80) -> tuple[ProbeReport, LoopbackServer]:
    """Probe a server with that rule until it has seen ``most`` requests."""
    with LoopbackServer(rule) as server, probing(server.url) as probe:
        until(lambda: len(server.seen) >= most)
        return probe.stop(after=0.1), server


def test_healthy_server_drops_nothing() -> None:
    """Every request is answered, and half of them share a connection."""
    began = time.monotonic()
    seen, server = probe_numbers(Exchange.answer)
    assert (seen.dropped, seen.reasons, seen.unsent) == (0, (), 0)
    assert seen.requests == len(server.seen)
    fresh = sum(exchange.headers.get("connection") == "close" for exchange in server.seen)
    assert abs(fresh - len(server.seen) / 2) <= 1
    first = sum(exchange.turn == 0 for exchange in server.seen)
    assert first - fresh <= most_at_once(seen)  # a connection more only while all others are in use
    assert 0 < seen.p50_ms <= seen.p99_ms < 1000 * (time.monotonic() - began)


def refuse_with_status(exchange: Exchange) -> bool:
    return exchange.answer(503)


def refuse_within_the_body(exchange: Exchange) -> bool:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    return exchange.reset()


def refuse_within_a_chunk(exchange: Exchange) -> bool:
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf")
    return False


def refuse_with_noise(exchange: Exchange) -> bool:
    exchange.send(b"220 mail\r\n\r\n")
    return False


@pytest.mark.parametrize(
    "refuse", [refuse_with_status, refuse_within_the_body, refuse_within_a_chunk, refuse_with_noise]
)
def test_exactly_the_refused_requests_are_dropped(refuse: Rule) -> None:
    """A server that refuses 17 requests, fresh and kept ones, makes 17 drops."""
    seen, server = probe_numbers(lambda exchange: refuse(exchange) if 20 <= exchange.number < 37 else exchange.answer())
    assert seen.dropped == 17
    assert seen.requests == len(server.seen)
    assert sum(count for _, count in seen.reasons) == 17


def test_closing_without_an_answer_drops_fresh_requests_only() -> None:
    """On a reused connection the close is retried, once and on a fresh one; on a fresh one it is a drop."""

    def rule(exchange: Exchange) -> bool:
        refused = 20 <= exchange.number < 60 and (exchange.turn > 0 or exchange.headers.get("connection") == "close")
        return False if refused else exchange.answer()

    seen, server = probe_numbers(rule, 100)
    closed = [exchange for exchange in server.seen if 20 <= exchange.number < 60]
    fresh = [exchange for exchange in closed if exchange.headers.get("connection") == "close"]
    reused = [exchange for exchange in closed if exchange.turn > 0]
    assert fresh and reused
    assert seen.dropped == len(fresh)
    assert seen.requests == len(server.seen) - len(reused)


def test_kept_connections_that_the_server_closes_are_no_drops() -> None:
    """A server that ends every connection after two requests, without saying so, drops nothing."""

    def rule(exchange: Exchange) -> bool:
        exchange.answer()
        return exchange.turn == 0

    assert probe_numbers(rule)[0].dropped == 0


def test_refused_connections_are_counted_one_by_one() -> None:
    """While nobody listens, each request is one drop, and the gap is as long as the outage."""
    with LoopbackServer(Exchange.answer) as server, probing(server.url) as probe:
        began = time.monotonic()
        until(lambda: len(server.seen) >= 20)
        closed = time.monotonic()
        server.close()
        probe.mark("switch")
        time.sleep(0.5)
        until(lambda: seen_so_far(probe).dropped >= 20)
        server.listen()
        outage = time.monotonic() - closed
        seen = probe.stop(after=1.0)
    unheard = seen.requests - len(server.seen)
    assert max(20, unheard) <= seen.dropped <= RATE * outage + 1 + most_at_once(seen)
    assert 450 <= seen.longest_gap_ms <= 1000 * (time.monotonic() - began)
    assert "connection refused" in seen.reasons[0][0]
    assert "!" in latency_line(seen)


def test_redirects_are_good_and_not_followed() -> None:
    """A redirect is a complete answer, and a wanted status is one too."""
    seen, server = probe_numbers(lambda exchange: exchange.answer(302, Location="/elsewhere"), 20)
    assert (seen.dropped, {exchange.target for exchange in server.seen}) == (0, {"/"})
    with LoopbackServer(lambda exchange: exchange.answer(401)) as server, probing(server.url, status={401}) as probe:
        assert probe.stop(after=0.1).dropped == 0


def test_slow_answers_are_not_drops() -> None:
    """A server that pauses for half a second delays answers without losing one, and the percentiles show it."""
    pause = threading.Event()
    pause.set()

    waiting = threading.Event()

    def rule(exchange: Exchange) -> bool:
        if not pause.is_set():
            waiting.set()
        pause.wait(60)
        return exchange.answer()

    with LoopbackServer(rule) as server, probing(server.url, rate=20) as probe:
        until(lambda: len(server.seen) >= 10)
        pause.clear()
        assert waiting.wait(60)
        time.sleep(0.45)
        pause.set()
        seen = probe.stop()
    assert (seen.dropped, seen.unsent) == (0, 0)
    assert seen.p99_ms >= 400


@pytest.mark.slow
def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent requests are given up after their time, and at most 32 wait at once: the others are counted as unsent.

    On a machine that is too busy to send 32 in that time, some are given up before: then it is tried again.
    """
    monkeypatch.setattr("deployer.probe.REQUEST_SECONDS", 1.0)
    monkeypatch.setattr("deployer.probe.MOST_IN_FLIGHT", 32)

    def silenced() -> ProbeReport:
        silent, over = threading.Event(), threading.Event()

        def rule(exchange: Exchange) -> bool:
            return exchange.answer() if not silent.is_set() else over.wait(90)

        with LoopbackServer(rule) as server, probing(server.url) as probe:
            until(lambda: len(server.seen) >= 20)
            silent.set()
            until(lambda: seen_so_far(probe).unsent)
            seen = probe.stop(after=0)
            over.set()
        return seen

    for _ in range(ATTEMPTS):
        seen = silenced()
        if seen.dropped == 32:
            break
    assert seen.dropped == 32
    assert "timed out" in seen.reasons[0][0]


def test_url_that_is_not_up_before_the_deploy() -> None:
    """A first deploy starts from errors: counting begins with the first good answer."""
    up = threading.Event()

    def rule(exchange: Exchange) -> bool:
        return exchange.answer(200 if up.is_set() else 404)

    with LoopbackServer(rule) as server:
        probe = Probe(ProbeSettings(server.url, RATE), RealClock())
        probe.start()
        assert not probe.ready(60)
        up.set()
        probe.mark("switch")
        seen = probe.stop(after=0.2)
    first = next(sample.start for sample in seen.samples if sample.good)
    overtaken = [sample for sample in seen.samples if not sample.good and sample.start > first]
    assert seen.dropped == len(overtaken)  # none, if the answers come in the order of the requests
    assert all(sample.start < seen.marks[0].at for sample in overtaken)
    assert 0 < seen.requests < len(seen.samples)


def test_stop_waits_for_answers_past_the_mark() -> None:
    """Stopping goes on until the time and five answers past the last mark, and no longer."""
    with LoopbackServer(Exchange.answer) as server, probing(server.url, rate=10) as probe:
        probe.mark("switch")
        began = time.monotonic()
        seen = probe.stop(after=0.1)
        assert 0.3 < time.monotonic() - began < 30
        assert sum(sample.start >= seen.marks[0].at for sample in seen.samples) >= 5
        count = len(server.seen)
        time.sleep(0.3)
        assert len(server.seen) == count


def test_a_probe_that_nobody_stops_ends_by_itself() -> None:
    """The longest time ends the sending; what was seen can still be had."""
    with LoopbackServer(Exchange.answer) as server:
        probe = Probe(ProbeSettings(server.url, RATE), RealClock(), longest=0.2)
        probe.start()
        until(lambda: not (probe._pacer.is_alive() or probe._record.in_flight))
        assert probe.stop().requests == len(server.seen)


def test_abandoning_does_not_wait() -> None:
    """An interrupted deploy ends its probe at once, and no request follows."""

    over = threading.Event()

    def rule(exchange: Exchange) -> bool:
        over.wait(90)
        return exchange.answer()

    with LoopbackServer(rule) as server:
        probe = Probe(ProbeSettings(server.url, RATE), RealClock())
        probe.start()
        until(lambda: len(server.seen) >= 3)
        began = time.monotonic()
        probe.abandon()
        assert time.monotonic() - began < 30
        until(lambda: not probe._pacer.is_alive())
        until(lambda: len(server.seen) == probe._record.in_flight)  # what was on its way has come
        count = len(server.seen)
        time.sleep(0.2)
        assert len(server.seen) == count
        over.set()


def test_probing_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS requests are answered on fresh and kept connections, at another address than the name's."""
    public, context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with LoopbackServer(Exchange.answer, tls=context) as server:
        where = f"127.0.0.1:{server.port}"
        with probing("https://site.test/", connect_to=where, rate=20) as probe:
            until(lambda: len(server.seen) >= 10)
            seen = probe.stop(after=0.1)
    assert seen.dropped == 0
    assert {exchange.headers["host"] for exchange in server.seen} == {"site.test"}


def test_nginx_reload_drops_nothing(nginx: Nginx) -> None:
    """nginx changes its workers at a reload and closes idle connections; no visitor loses a request by that."""
    (nginx.directory / "index.html").write_text("hello")
    with probing(nginx.url) as probe:
        for _ in range(3):
            assert nginx._process
            nginx._process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            enough = seen_so_far(probe).requests + 20
            until(lambda: seen_so_far(probe).requests >= enough)  # noqa: B023  # it is called here
        seen = probe.stop()
    assert seen.requests >= 60
    assert (seen.dropped, seen.reasons) == (0, ())


def test_nginx_restart_is_seen(nginx: Nginx) -> None:
    """A stop and a start of nginx drop requests; the report says how many, for how long and why."""
    (nginx.directory / "index.html").write_text("hello")
    with probing(nginx.url) as probe:
        until(lambda: seen_so_far(probe).requests >= 20)
        begun = probe._now()
        nginx._stop()
        probe.mark("down")
        time.sleep(0.3)
        until(lambda: seen_so_far(probe).dropped >= 10)
        assert nginx._start()
        probe.mark("up")
        seen = probe.stop()
    assert seen.dropped >= 10
    assert seen.longest_gap_ms >= 250
    assert [mark.name for mark in seen.marks] == ["down", "up"]
    up = seen.marks[1].at
    bad = [sample for sample in seen.samples if not sample.good]
    assert [sample for sample in bad if sample.start + sample.latency < begun or sample.start > up] == []
