"""What monitoring sees: health and metrics, and the limits that keep the endpoint alive."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from receiver.store import Database, Status, upkeep
from receiver.store.jobs import Settled, claim, settle
from receiver.web.limits import FailureLimit, client_address
from tests.receiver.program import Receiver, push


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_metrics_count_across_restarts(tmp_path: Path) -> None:
    """Deliveries by their fate, deploys by their end, durations, drops, and the queue's age."""
    server = Receiver(tmp_path)
    with server:
        for number in range(1, 4):
            server.deliver(push(after=f"{number:040x}"))
        server.deliver(push(ref="refs/heads/dev"))
    database = Database.open(f"sqlite:///{server.state / 'receiver.db'}")
    job = claim(database, "worker", ["blog"])
    assert job is not None
    settle(database, job, Settled(Status.SUCCEEDED, commit="b" * 40, release="r1", dropped=2))
    with server:
        server.deliver(push(after="9" * 40))
        text = server.get("/metrics").body.decode()
    assert value(text, 'receiver_deliveries_total{event="push",verdict="queued"}') == 4
    assert value(text, 'receiver_deliveries_total{event="push",verdict="ignored"}') == 1
    assert value(text, 'receiver_deploys_total{app="blog",status="succeeded"}') == 1
    assert value(text, 'receiver_dropped_total{app="blog"}') == 2
    assert value(text, 'receiver_deploy_seconds_bucket{app="blog",le="+Inf"}') == 1
    assert value(text, "receiver_jobs_waiting") == 1
    assert 0 <= value(text, "receiver_queue_age_seconds") < 60


def test_health_says_what_is_wrong_while_deliveries_are_stored(tmp_path: Path) -> None:
    """Without a worker it is degraded, which only who asks strictly gets as an error."""
    with Receiver(tmp_path) as server:
        lone = server.get("/health")
        assert (lone.status, lone.json["status"]) == (200, "degraded") and "no worker" in lone.json["problems"][0]
        assert server.get("/health?strict").status == 503
        database = Database.open(f"sqlite:///{server.state / 'receiver.db'}")
        upkeep.see_worker(database, "me", time.time())
        assert server.get("/health?strict").json == {"problems": [], "status": "ok"}
        upkeep.remember(database, "catch_up_error", "GitHub does not answer")
        assert server.get("/health").json["problems"] == ["catch-up: GitHub does not answer"]
        server.deliver(push())
        with sqlite3.connect(server.state / "receiver.db") as connection:
            connection.execute("UPDATE jobs SET created_at = created_at - 7200")
        assert "1 jobs wait, the oldest for 2.0 hours" in server.get("/health").json["problems"]


def test_an_address_may_fail_a_few_times_a_minute_and_recovers() -> None:
    """The bucket empties evenly; others are not concerned, and an IPv6 customer is one."""
    now = [0.0]
    limit = FailureLimit(3, 60, clock=lambda: now[0])
    for _ in range(3):
        assert limit.wait("203.0.113.9") == 0
        limit.fail("203.0.113.9")
    assert limit.wait("203.0.113.9") == pytest.approx(20) and limit.wait("203.0.113.10") == 0
    now[0] = 20.1
    assert limit.wait("203.0.113.9") == 0
    for number in range(4):
        limit.fail(f"2001:db8::{number}")
    assert limit.wait("2001:db8::ffff") > 0 and limit.wait("2001:db8:0:1::1") == 0


def test_only_so_many_addresses_are_remembered() -> None:
    """An attack from many addresses costs no memory."""
    limit = FailureLimit(1, 60, addresses=100)
    for number in range(1_000):
        limit.fail(f"10.0.{number // 250}.{number % 250}")
    assert len(limit._levels) == 100 and limit.wait("10.0.0.0") == 0 < limit.wait("10.0.3.249")


@pytest.mark.parametrize(
    ("remote", "forwarded", "trusted", "client"),
    [
        ("203.0.113.9", "10.9.9.9", [], "203.0.113.9"),
        ("127.0.0.1", "10.9.9.9", [], "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", ["127.0.0.0/8"], "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 10.0.0.2", ["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.1"),
        ("::ffff:127.0.0.1", "198.51.100.1", ["127.0.0.0/8"], "198.51.100.1"),
        ("", "198.51.100.1", [], "198.51.100.1"),
        ("127.0.0.1", "", ["127.0.0.0/8"], "127.0.0.1"),
    ],
)
def test_what_forwarded_for_says_counts_as_far_as_proxies_are_trusted(
    remote: str, forwarded: str, trusted: list[str], client: str
) -> None:
    """From its right end; what the client itself puts there is only ever its own word."""
    environ = EnvironBuilder(headers=[("X-Forwarded-For", forwarded)] if forwarded else []).get_environ()
    environ["REMOTE_ADDR"] = remote
    assert client_address(Request(environ), trusted) == client
