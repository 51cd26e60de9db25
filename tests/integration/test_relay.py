"""The relay is only worth something when its clock is right."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.attempts import least, seconds_of
from tests.relay import Relay

RTT = 0.05
SLACK = 0.5  # this machine may be busy, but not each time; the lower bounds are what the benchmarks rely on


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


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=60)


def ask(connection: socket.socket) -> None:
    """A round trip."""
    connection.sendall(b"a")
    assert connection.recv(1) == b"a"


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

        def connect_and_ask() -> None:
            with connected(relay) as connection:
                ask(connection)

        first = least(lambda: seconds_of(connect_and_ask), 2 * RTT + SLACK)
        with connected(relay) as connection:
            ask(connection)
            second = least(lambda: seconds_of(lambda: ask(connection)), RTT + SLACK)
    assert 2 * RTT <= first <= 2 * RTT + SLACK
    assert RTT <= second <= RTT + SLACK


def test_server_that_speaks_first_is_heard_after_two_round_trips() -> None:
    """SSH's banner takes the handshake, its last packet's way there, and its own way back."""
    with far_end(b"SSH-2.0-x\r\n") as port, Relay(port, rtt=RTT) as relay:

        def hear() -> None:
            with connected(relay) as connection:
                assert connection.recv(4) == b"SSH-"

        seconds = least(lambda: seconds_of(hear), 2 * RTT + SLACK)
    assert 2 * RTT <= seconds <= 2 * RTT + SLACK


def test_turns_are_counted_whatever_the_time() -> None:
    """An answer has come over the line twice; what nobody waited for, or nobody has answered, counts no further."""
    with far_end() as port, Relay(port, rtt=0) as relay:
        assert relay.traffic().turns == 0
        for turns in (2, 4, 6):
            with connected(relay) as connection:
                for _ in range(turns // 2):
                    ask(connection)
            assert relay.traffic().turns == turns
    with far_end(b"hello") as port, Relay(port, rtt=0) as relay, connected(relay) as connection:
        assert receive_exactly(connection, 5) == b"hello"
        assert relay.traffic().turns == 1
        ask(connection)
        assert relay.traffic().turns == 3


def test_rate_holds_each_way_and_nothing_is_lost() -> None:
    """A megabyte over 40 Mbit/s takes 0.2 s each way, and comes back whole, with the end of the stream."""
    payload = bytes(range(256)) * 4000
    with far_end() as port, Relay(port, rtt=0.01, rate=40) as relay:

        def there_and_back() -> None:
            before = relay.traffic()
            with connected(relay) as connection:
                sender = threading.Thread(target=send_all, args=(connection, payload))
                sender.start()
                assert receive_all(connection) == payload
                sender.join()
            after = relay.traffic()
            assert after.connections == before.connections + 1
            assert (after.sent - before.sent, after.received - before.received) == (len(payload), len(payload))

        seconds = least(lambda: seconds_of(there_and_back), 1.5)
    assert len(payload) * 8 / 40e6 <= seconds <= 1.5


def test_connections_share_the_rate() -> None:
    """Two at once take as long as one of twice the size: there is one line."""
    payload = bytes(500_000)
    with far_end() as port, Relay(port, rtt=0.01, rate=40) as relay:

        def send() -> None:
            with connected(relay) as connection:
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
            connected(relay) as connection,
            pytest.raises(ConnectionResetError),
        ):
            connection.recv(1)


def test_pulled_cable_delays_and_cut_breaks() -> None:
    """A paused relay delivers nothing until it is resumed; a cut one ends its connections."""
    with far_end() as port, Relay(port, rtt=0) as relay:
        with connected(relay) as connection:
            ask(connection)
            relay.pause()
            connection.sendall(b"b")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            relay.resume()
            connection.settimeout(60)
            assert connection.recv(1) == b"b"
            relay.cut()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connected(relay)


def test_limited_connections_break_after_their_bytes() -> None:
    """Each connection carries so many bytes, both ways together, and is reset; the next one has as many again."""
    with far_end() as port, Relay(port, rtt=0, limit=1000) as relay:
        for _ in range(2):
            with connected(relay) as connection:
                connection.sendall(b"a" * 500)
                assert receive_exactly(connection, 500) == b"a" * 500
                connection.sendall(b"b")
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
