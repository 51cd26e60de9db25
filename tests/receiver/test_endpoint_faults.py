"""The endpoint under attack and on a machine in trouble: what is answered with 202 is on disk, and nothing else is."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from receiver import serving
from tests.attempts import until
from tests.conftest import need
from tests.receiver.postgres import PostgreSQL
from tests.receiver.program import Receiver, push


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver")) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    need("root", "to mount a small file system", present=os.geteuid() == 0)
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_refuses_until_there_is_room(small_disk: Path) -> None:
    """503 while nothing can be stored, and /health says why; 202 again as soon as there is room, without a restart."""
    with Receiver(small_disk.parent) as server:
        assert server.deliver(push(), guid="before").status == 202
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        codes = [server.deliver(push(after=f"{number:040x}"), guid=f"full-{number}").status for number in range(1, 200)]
        assert set(codes) <= {202, 503} and codes[-1] == 503
        time.sleep(5.5)  # health really writes every five seconds
        health = server.get("/health")
        assert health.status == 503 and "full" in health.json["problems"][0]
        (small_disk / "ballast").unlink()
        assert server.deliver(push(after="f" * 40), guid="after").status == 202
        with sqlite3.connect(small_disk / "receiver.db") as connection:
            stored = {guid for (guid,) in connection.execute("SELECT guid FROM deliveries")}
    accepted = {f"full-{number}" for number, code in enumerate(codes, 1) if code == 202}
    assert accepted | {"before", "after"} == stored


@pytest.mark.slow
def test_killed_at_any_moment_it_has_what_it_has_answered(tmp_path: Path) -> None:
    """SIGKILL to all of its processes under load, again and again: every 202 is in the database, whole."""
    server = Receiver(tmp_path)
    answered: set[str] = set()
    for number in range(int(os.environ.get("DEPLOYER_KILLS", "8"))):
        server.start()
        stop = threading.Event()

        def send(sender: int, number: int = number, stop: threading.Event = stop) -> None:
            count = 0
            while not stop.is_set():
                guid = f"{number}-{sender}-{count}"
                try:
                    if server.deliver(push(after=f"{hash(guid) % 10**38:040d}", note=guid), guid=guid).status == 202:
                        answered.add(guid)
                except (OSError, http.client.HTTPException):
                    return
                count += 1

        senders = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
        for sender in senders:
            sender.start()
        time.sleep(0.05 + random.random() / 2)
        server.kill()
        stop.set()
        for sender in senders:
            sender.join(60)
    with sqlite3.connect(server.state / "receiver.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {guid for (guid,) in connection.execute("SELECT guid FROM deliveries")}
        fates = {guid for (guid,) in connection.execute("SELECT guid FROM deliveries JOIN fates ON delivery = id")}
    assert answered and answered <= stored and stored == fates


@pytest.mark.slow
def test_a_client_that_drips_does_not_keep_others_waiting(receiver: Receiver) -> None:
    """Forty connections that send a byte a second: they are cut within half a minute, and deliveries go on meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(40)]
    for connection in slow:
        connection.sendall(b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n")
    began, open_ones = time.monotonic(), list(slow)
    longest = 0.0
    while open_ones and time.monotonic() - began < 90:
        for connection in list(open_ones):
            connection.settimeout(0)
            try:
                connection.send(b"x")
                if connection.recv(1) == b"":
                    open_ones.remove(connection)
            except BlockingIOError:
                pass
            except OSError:
                open_ones.remove(connection)
        asked = time.monotonic()
        assert receiver.deliver(push(after="e" * 40, at=asked)).status == 202
        longest = max(longest, time.monotonic() - asked)
        time.sleep(1)
    for connection in slow:
        connection.close()
    assert not open_ones and longest < 20  # whoever waits for them waits for half a minute


test_a_client_that_drips_does_not_keep_others_waiting = pytest.mark.slow(
    test_a_client_that_drips_does_not_keep_others_waiting
)


@pytest.mark.slow
def test_a_locked_database_delays_and_then_refuses(tmp_path: Path) -> None:
    """While another process writes, deliveries wait, and nothing else does; after nine seconds GitHub is told the truth."""
    with Receiver(tmp_path) as server:
        server.deliver(push(), guid="before")
        blocker = sqlite3.connect(server.state / "receiver.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        done: list[int] = []
        waiting = threading.Thread(
            target=lambda: done.append(server.deliver(push(after="1" * 40), guid="during").status)
        )
        waiting.start()
        time.sleep(1.5)
        assert server.get("/metrics").status == 200
        assert done == []
        blocker.execute("ROLLBACK")
        waiting.join(60)
        assert done == [202]
        blocker.execute("BEGIN IMMEDIATE")
        refused = server.deliver(push(after="2" * 40), guid="never")
        blocker.execute("ROLLBACK")
        blocker.close()
        assert refused.status == 503 and "deliver it again" in refused.json["error"]
        assert server.deliver(push(after="3" * 40), guid="after").status == 202


def test_a_locked_server_delays_nothing_but_deliveries(tmp_path: Path, postgresql: PostgreSQL) -> None:
    """PostgreSQL is waited for as politely: whoever asks for something else is answered meanwhile."""
    postgresql.statement("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    with Receiver(tmp_path, top=f'database = "{postgresql.url}"') as server, psycopg.connect(postgresql.url) as blocker:
        blocker.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        done: list[int] = []
        waiting = threading.Thread(target=lambda: done.append(server.deliver(push(), guid="during").status))
        waiting.start()
        time.sleep(1.5)
        assert server.get("/hooks/github").status == 405
        assert done == []
        blocker.rollback()
        waiting.join(60)
        assert done == [202]


def test_a_connection_without_a_request_does_not_delay_the_end(tmp_path: Path) -> None:
    """A proxy keeps its connections open for the next request: at the end they are closed, not waited for."""
    with Receiver(tmp_path) as server:
        proxy = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        proxy.request("GET", "/health")
        assert proxy.getresponse().read()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15  # it would be closed after 20 s without a request anyway
        assert proxy.sock.recv(1) == b""


def test_what_takes_long_is_computed_aside() -> None:
    """A password's hash is 0.1 s of work on purpose: it must not hold up the thread that takes the deliveries."""
    assert serving._aside(threading.get_native_id) != threading.get_native_id()
    with pytest.raises(ZeroDivisionError):
        serving._aside(divmod, 1, 0)


def test_reload_takes_a_new_secret_and_keeps_the_old_configuration_if_the_new_one_is_wrong(tmp_path: Path) -> None:
    """SIGHUP: no delivery is refused meanwhile, and a mistake in the file is said and changes nothing."""
    with Receiver(tmp_path) as server:
        assert server.process is not None
        (tmp_path / "secret").write_text("another secret of ours", "utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.deliver(push(), secret="another secret of ours").status == 202, 60)
        server.file.write_text("nonsense = ", "utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the configuration was not reloaded" in server.log, 60)
        assert server.deliver(push(), secret="another secret of ours").status == 202
        assert re.search("another secret|Everybody", server.log) is None
