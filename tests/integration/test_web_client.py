"""The web client against real sockets on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.web import Client, Fault, Kept, WebError, fetch
from tests.attempts import until
from tests.integration.web_servers import Exchange, LoopbackServer, Rule, self_signed


def failure(rule: Rule, timeout: float = 60.0) -> WebError:
    """The error of fetching from a server with that rule."""
    with LoopbackServer(rule) as server, pytest.raises(WebError) as caught:
        fetch(server.url, timeout=timeout)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound but not listening: refuses, and nobody else can take it
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_answer_is_whole_but_held_only_in_part() -> None:
    """The hash and size are of the whole body, of which only the wanted first bytes are kept."""
    body = bytes(range(256)) * 4000
    with LoopbackServer(lambda exchange: exchange.answer(200, body, X_Kind="a")) as server:
        answer = fetch(server.url, timeout=60, most_bytes=10)
    assert (answer.status, answer.body, answer.size) == (200, body[:10], len(body))
    assert answer.sha256 == hashlib.sha256(body).hexdigest()
    assert answer.headers["x-kind"] == "a"
    assert 0 < answer.seconds < 60


def test_request_asks_for_the_file_as_it_is() -> None:
    """The path travels percent-encoded, the answer uncompressed, and extra fields are sent."""
    with LoopbackServer(Exchange.answer) as server:
        fetch(server.url + "ä b?q=ü", timeout=60, headers={"Cache-Control": "no-cache"})
        seen = server.seen[0]
    assert seen.target == "/%C3%A4%20b?q=%C3%BC"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert (seen.headers["accept-encoding"], seen.headers["cache-control"]) == ("identity", "no-cache")


def test_chunked_body_is_joined() -> None:
    """A chunked body is the concatenation of its chunks."""

    def rule(exchange: Exchange) -> bool:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        return True

    with LoopbackServer(rule) as server:
        assert fetch(server.url, timeout=60).body == b"abcde"


def test_body_may_end_with_the_connection() -> None:
    """Without a length, the end of the connection is the end of the body."""

    def rule(exchange: Exchange) -> bool:
        exchange.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        return False

    with LoopbackServer(rule) as server:
        assert fetch(server.url, timeout=60).body == b"all of it"


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
        b"",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_answers_that_break_off_are_incomplete(sent: bytes, reset: bool) -> None:
    """Wherever an answer breaks off, by FIN or by RST, it is an incomplete answer."""

    def rule(exchange: Exchange) -> bool:
        exchange.send(sent)
        return exchange.reset() if reset else False

    assert failure(rule).fault is Fault.INCOMPLETE


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46\r\n", b"HTTP/1.1 abc\r\n"]
)
def test_another_protocol_is_named(sent: bytes) -> None:
    """What is not HTTP is said to be that."""

    def rule(exchange: Exchange) -> bool:
        exchange.send(sent)
        return False

    assert failure(rule).fault is Fault.NOT_HTTP


def test_refused_connection(closed_port: int) -> None:
    """A closed port is 'cannot connect', with the system's reason."""
    with pytest.raises(
        WebError, match=f"^cannot connect to 127.0.0.1 port {closed_port}: connection refused$"
    ) as caught:
        fetch(f"http://127.0.0.1:{closed_port}/", timeout=60)
    assert caught.value.fault is Fault.UNREACHABLE


def test_unknown_name() -> None:
    """A name that cannot be resolved is 'cannot connect' (RFC 6761: .invalid never resolves)."""
    with pytest.raises(WebError) as caught:
        fetch("http://nowhere.invalid/", timeout=30)
    assert caught.value.fault in (Fault.UNREACHABLE, Fault.TIMED_OUT)


@pytest.mark.parametrize("dribble", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_deadline_is_for_everything(dribble: bytes) -> None:
    """A server that is silent, or sends a byte now and then, is given up at the deadline."""
    over = threading.Event()

    def rule(exchange: Exchange) -> bool:
        exchange.send(dribble)
        for _ in range(900):
            if over.wait(0.1):
                break
            if dribble:
                exchange.send(b"x")
        return False

    began = time.monotonic()
    assert failure(rule, timeout=0.4).fault is Fault.TIMED_OUT
    assert 0.35 < time.monotonic() - began < 30
    over.set()


def test_headers_that_never_end_time_out() -> None:
    """The deadline holds while the header fields drip in, too."""

    def rule(exchange: Exchange) -> bool:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(900):
            exchange.send(b"X: 1\r\n")
            time.sleep(0.1)
        return False

    assert failure(rule, timeout=0.3).fault is Fault.TIMED_OUT


def test_redirects_are_followed() -> None:
    """Relative and absolute redirects are followed, and the answer knows where it came from."""
    steps = {"/": "/a/", "/a/": "b", "/a/b": "/c?x=1"}

    def rule(exchange: Exchange) -> bool:
        onward = steps.get(exchange.target)
        return exchange.answer(302, Location=onward) if onward else exchange.answer(200, exchange.target.encode())

    with LoopbackServer(rule) as server:
        answer = fetch(server.url, timeout=60)
        assert (answer.body, answer.url) == (b"/c?x=1", server.url + "c?x=1")
        assert fetch(server.url, timeout=60, follow=False).status == 302
        assert fetch(server.url, timeout=60, until={302}).status == 302


def test_redirect_loop() -> None:
    """The eleventh redirect is one too many."""
    with LoopbackServer(lambda exchange: exchange.answer(301, Location="/")) as server:
        with pytest.raises(WebError, match="redirect loop") as caught:
            fetch(server.url, timeout=60)
        assert len(server.seen) == 11
    assert caught.value.fault is Fault.REDIRECTS


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "x",
        "",
        "http://",
        "http://a:b/",
        "http://u:secret@x/",
        "http://x:99999/",
        "http://a b/",
        "http://\ud800/",
    ],
)
def test_unusable_urls(url: str) -> None:
    """A URL that cannot be asked is refused without showing it: it may hold a password."""
    with pytest.raises(WebError) as caught:
        fetch(url, timeout=1)
    assert caught.value.fault is Fault.BAD_URL
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "localhost:{port}"])
def test_connect_to_keeps_the_name(address: str) -> None:
    """Another address is connected to, and the URL's host name is asked for."""
    with LoopbackServer(Exchange.answer) as server:
        fetch("http://site.test/x", timeout=60, connect_to=address.format(port=server.port))
        assert (server.seen[0].headers["host"], server.seen[0].target) == ("site.test", "/x")


def test_connect_to_without_a_port_uses_the_urls() -> None:
    """An address without a port gets the URL's port, also behind a redirect to another port of the same host."""
    with LoopbackServer(Exchange.answer) as last:
        there = f"http://site.test:{last.port}/there"
        with LoopbackServer(lambda exchange: exchange.answer(302, Location=there)) as server:
            answer = fetch(f"http://site.test:{server.port}/", timeout=60, connect_to="127.0.0.1")
    assert (answer.status, answer.url) == (200, there)


@pytest.mark.parametrize("address", ["[", "127.0.0.1:x", ":80", "[::1]:99999"])
def test_connect_to_must_be_an_address(address: str) -> None:
    """What is not an address is refused with its text."""
    with pytest.raises(WebError, match="connect_to must be"):
        Client(address)


def test_tls_trusts_only_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A self-signed certificate is refused in words, and accepted once SSL_CERT_FILE names it."""
    public, context = self_signed(tmp_path)
    with LoopbackServer(Exchange.answer, tls=context) as server:
        where = f"127.0.0.1:{server.port}"
        with pytest.raises(WebError, match="certificate of site.test is not valid: self-signed certificate") as caught:
            fetch("https://site.test/", timeout=60, connect_to=where)
        assert caught.value.fault is Fault.TLS
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        assert fetch("https://site.test/", timeout=60, connect_to=where).status == 200
        with pytest.raises(WebError, match=r"other.test is not valid: Hostname mismatch"):
            fetch("https://other.test/", timeout=60, connect_to=where)


def test_expired_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired certificate is refused, with that reason."""
    public, context = self_signed(tmp_path, days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with LoopbackServer(Exchange.answer, tls=context) as server, pytest.raises(WebError, match="has expired"):
        fetch(server.url, timeout=60)


def test_tls_to_a_plain_server() -> None:
    """HTTPS to a port that speaks plain HTTP is a TLS error, not a traceback."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(WebError) as caught:
            fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout=60)
    assert caught.value.fault is Fault.TLS


def test_kept_connection_is_reused() -> None:
    """Requests in a row use one connection."""
    with LoopbackServer(Exchange.answer) as server:
        kept = Kept(Client(), server.url)
        for _ in range(3):
            assert kept.fetch(timeout=60).status == 200
        kept.close()
    assert [exchange.turn for exchange in server.seen] == [0, 1, 2]


@pytest.mark.parametrize("reset", [False, True])
def test_kept_connection_closed_while_idle_is_retried(reset: bool) -> None:
    """A reused connection that ends before the answer's first byte is retried once on a fresh one."""

    def rule(exchange: Exchange) -> bool:
        if exchange.turn == 1:
            return exchange.reset() if reset else False
        return exchange.answer()

    with LoopbackServer(rule) as server:
        kept = Kept(Client(), server.url)
        assert [kept.fetch(timeout=60).status for _ in range(3)] == [200, 200, 200]
        kept.close()
    assert [exchange.turn for exchange in server.seen] == [0, 1, 0, 1, 0]


def test_kept_connection_closed_on_idle_time_out_is_retried() -> None:
    """A server that closed the connection, or said 408 on it, before the next request is not at fault."""
    for farewell in (b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):
        read = threading.Semaphore(0)

        def rule(exchange: Exchange, farewell: bytes = farewell, read: threading.Semaphore = read) -> bool:
            exchange.answer()
            read.acquire(timeout=60)
            exchange.send(farewell)
            return False

        with LoopbackServer(rule) as server:
            kept = Kept(Client(), server.url)
            for _ in range(3):
                assert kept.fetch(timeout=60).status == 200
                read.release()
                until(lambda: not server.open)
            kept.close()
        assert [exchange.turn for exchange in server.seen] == [0, 0, 0]


def test_first_use_and_begun_answers_are_not_retried() -> None:
    """A fresh connection that gets no answer, and a reused one that breaks off within it, are failures."""

    def rule(exchange: Exchange) -> bool:
        if exchange.number == 0:
            return False
        if exchange.turn == 1:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            return False
        return exchange.answer()

    with LoopbackServer(rule) as server:
        kept = Kept(Client(), server.url)
        with pytest.raises(WebError, match="without an answer"):
            kept.fetch(timeout=60)
        assert kept.fetch(timeout=60).status == 200
        with pytest.raises(WebError, match="broke off in the body"):
            kept.fetch(timeout=60)
        assert kept.fetch(timeout=60).status == 200
        kept.close()
    assert len(server.seen) == 4
