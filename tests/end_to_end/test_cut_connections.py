"""A line that breaks, again and again or at any byte: the old site or the new one, an exit code that is true, no repair."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, tree
from tests.end_to_end.site import wait_until
from tests.relay import Relay
from tests.sshd import Sshd

pytestmark = pytest.mark.timeout(300)
LIMIT = 5_000_000
UNDO_SECONDS = 60.0  # it is a moment's work, and the machine may be busy
EARLY = 5


@pytest.fixture
def remote(tmp_path: Path, sshd: Sshd) -> Deployment:
    """A site that deploys over that server, with one release."""
    site = Deployment(tmp_path, sshd=sshd)
    site.files(index="old", same="same")
    site.deploy()
    return site


def go_through(site: Deployment, sshd: Sshd, port: int) -> None:
    """Let the next commands connect to this port: a relay's, or the server's own."""
    site.host |= {"port": port, "host_key": [sshd.pin(port=port)]}


def is_undone(site: Deployment) -> bool:
    """Whether the host has put away what the broken run left: it does so by itself, as soon as it learns of the end."""
    return wait_until(site.is_unlocked, UNDO_SECONDS)


def test_a_line_that_breaks_every_five_megabytes(remote: Deployment, sshd: Sshd) -> None:
    """Each connection brings its part, and the same run goes on with the rest until all is there."""
    size, count = 1 << 20, 18
    for number in range(count):
        remote.write(f"movie{number:02}.bin", os.urandom(size))
    with Relay(sshd.port, rtt=0, limit=LIMIT) as relay:
        go_through(remote, sshd, relay.port)
        answer = remote.deploy()
        connections, sent = relay.traffic().connections, relay.traffic().sent

    assert (answer["status"], answer["files_uploaded"]) == ("deployed", count)
    assert 4 <= connections <= 9  # what is in the buffers when a line breaks is lost, and so is half a file
    assert count * size <= answer["bytes_uploaded"]
    assert sent < connections * LIMIT
    assert remote.served() == tree(remote.source)
    assert not (remote.state / "arrived").exists()
    assert remote.is_unlocked()


def test_a_line_that_breaks_too_early_for_one_file(remote: Deployment, sshd: Sshd) -> None:
    """Exit 1 after a second attempt that brought nothing; the old site serves, and a good line needs no repair."""
    old = remote.served()
    remote.write("film.bin", os.urandom(2 * LIMIT))
    with Relay(sshd.port, rtt=0, limit=LIMIT) as relay:
        go_through(remote, sshd, relay.port)
        remote.run().failed(1, "connection to", f"127.0.0.1:{relay.port}", "Run again")
        assert relay.traffic().connections == 2
    assert is_undone(remote)
    assert remote.served() == old
    assert len(remote.releases()) == 1

    go_through(remote, sshd, sshd.port)
    assert remote.deploy()["files_uploaded"] == 1
    assert remote.served() == tree(remote.source)


def test_what_fits_goes_through_such_a_line(remote: Deployment, sshd: Sshd) -> None:
    """The same site in two deploys of less: each run is a connection of its own, and what has arrived is not sent again."""
    with Relay(sshd.port, rtt=0, limit=LIMIT) as relay:
        go_through(remote, sshd, relay.port)
        for number in range(4):
            remote.write(f"movie{number}.bin", os.urandom(2 << 20))
            answer = remote.deploy()
            assert (answer["status"], answer["files_uploaded"]) == ("deployed", 1)
        assert relay.traffic().sent > LIMIT

    assert remote.served() == tree(remote.source)


def test_a_line_that_breaks_at_any_byte(remote: Deployment, sshd: Sshd) -> None:
    """From the first byte to the last: the exit code says what is live, and the next run needs no repair.

    4 as long as there is no conversation, then 1 with the old site; 7 only where the end itself was not heard any more.
    """
    with Relay(sshd.port, rtt=0) as relay:
        go_through(remote, sshd, relay.port)
        remote.write("index.html", "a whole deploy")
        remote.deploy()
        whole = relay.traffic().sent + relay.traffic().received
    early = [whole * point // EARLY + 1 for point in range(EARLY)]
    late = [whole - back for back in range(2400, 0, -600)]  # around the switch and the confirmation
    codes = []
    for limit in (*early, *late, whole + 4000):
        live = remote.served()
        remote.write("index.html", f"cut at {limit}")
        with Relay(sshd.port, rtt=0, limit=limit) as relay:
            go_through(remote, sshd, relay.port)
            ended = remote.run()
        assert is_undone(remote), limit
        codes.append(ended.code)
        if ended.code == 0:
            assert remote.served() == tree(remote.source)
            continue
        ended.failed(ended.code, "127.0.0.1", "un again" if ended.code != 4 else "")
        assert remote.served() == live or (ended.code == 7 and remote.served() == tree(remote.source)), limit
    assert codes[0] == 4
    assert set(codes[len(early) // 2 : len(early)]) == {1}
    assert set(codes[len(early) :]) <= {1, 7, 0}
    assert codes[-1] == 0

    go_through(remote, sshd, sshd.port)
    remote.files(index="at last")
    remote.deploy()
    assert remote.served() == tree(remote.source)
