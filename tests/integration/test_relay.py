"""The relay is only worth something when its clock is right."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.relay import Relay, Traffic

RTT = 0.05
SLACK = 0.5  # this machine may be busy; the lower bounds are what the benchmarks rely on


@contextlib.contextmanager
def far_end(greeting: bytes = b"") -> Iterator[int]:
    """A server on loopback that greets, then sends back what it gets."""

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(greeting)
            while data := connection.recv(65536):
                connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def send_all(connection: socket.socket, payload: bytes) -> None:
    connection.sendall(payload)
    connection.shutdown(socket.SHUT_WR)


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    return connection.recv(size, socket.MSG_WAITALL)


def test_first_answer_takes_a_round_trip_more_for_the_handshake() -> None:
    """Asking over a new connection takes two round trips, and one over an open connection."""
    with far_end() as port, Relay(port, rtt=RTT) as relay:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as connection:
            connection.sendall(b"a")
            assert connection.recv(1) == b"a"
            first = time.monotonic() - start
            start = time.monotonic()
            connection.sendall(b"b")
            assert connection.recv(1) == b"b"
            second = time.monotonic() - start
    assert 2 * RTT <= first < 2 * RTT + SLACK
    assert RTT <= second < RTT + SLACK


def test_server_that_speaks_first_is_heard_after_two_round_trips() -> None:
    """SSH's banner takes the handshake, its last packet's way there, and its own way back."""
    with far_end(b"SSH-2.0-x\r\n") as port, Relay(port, rtt=RTT) as relay:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as connection:
            assert connection.recv(4) == b"SSH-"
    assert 2 * RTT <= time.monotonic() - start < 2 * RTT + SLACK


def test_rate_holds_each_way_and_nothing_is_lost() -> None:
    """A megabyte over 40 Mbit/s takes 0.2 s each way, and comes back whole, with the end of the stream."""
    payload = bytes(range(256)) * 4000
    with far_end() as port, Relay(port, rtt=0.01, rate=40) as relay:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
            sender = threading.Thread(target=send_all, args=(connection, payload))
            sender.start()
            returned = receive_all(connection)
            sender.join()
        seconds = time.monotonic() - start
        traffic = relay.traffic()
    assert returned == payload
    assert len(payload) * 8 / 40e6 <= seconds < 1.5
    assert traffic == Traffic(connections=1, sent=len(payload), received=len(payload))


def test_connections_share_the_rate() -> None:
    """Two at once take as long as one of twice the size: there is one line."""
    payload = bytes(500_000)
    with far_end() as port, Relay(port, rtt=0.01, rate=40) as relay:

        def send() -> None:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
                send_all(connection, payload)
                receive_all(connection)

        start = time.monotonic()
        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert time.monotonic() - start >= 2 * len(payload) * 8 / 40e6


def test_refused_connection_is_seen_as_broken() -> None:
    """Where nobody listens at the far end, the near end gets a reset."""
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        with (
            Relay(bound_only.getsockname()[1], rtt=RTT) as relay,
            socket.create_connection(("127.0.0.1", relay.port), timeout=5) as connection,
            pytest.raises(ConnectionResetError),
        ):
            connection.recv(1)


def test_pulled_cable_delays_and_cut_breaks() -> None:
    """A paused relay delivers nothing until it is resumed; a cut one ends its connections."""
    with far_end() as port, Relay(port, rtt=0) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as connection:
            connection.sendall(b"a")
            assert connection.recv(1) == b"a"
            relay.pause()
            connection.sendall(b"b")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            relay.resume()
            connection.settimeout(5)
            assert connection.recv(1) == b"b"
            relay.cut()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", relay.port), timeout=5)


def test_limited_connections_break_after_their_bytes() -> None:
    """Each connection carries so many bytes, both ways together, and is reset; the next one has as many again."""
    with far_end() as port, Relay(port, rtt=0, limit=1000) as relay:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as connection:
                connection.sendall(b"a" * 500)
                assert receive_exactly(connection, 500) == b"a" * 500
                connection.sendall(b"b")
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
