"""The real program for a static site, whichever way leads to the host: every request order that the product uses."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from deployer.errors import ConnectionLost, DeployerError, DeployFailed, GateFailed, InvalidInput, LockHeld
from deployer.plan import Request
from deployer.static import requests
from deployer.static.matching import record
from deployer.static.rollback import StaticRollback
from deployer.static.signatures import SEPARATOR
from deployer.static.stream import Names
from tests.contract.conftest import Way
from tests.contract.program import Bytes, Endless, ask
from tests.contract.site import Site
from tests.fakes import FakeWatch

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def site(way: Way) -> Site:
    return Site(way)


def test_a_deploy_puts_the_source_live(site: Site) -> None:
    """Odd names and several megabytes included; the second time nothing is to do."""
    big = os.urandom(3_000_000)
    for name, data in {"big.bin": big, "a b/é\n'$(x)": b"odd", "copy.html": b"one", "css/site.css": b"body {}"}.items():
        site.write(name, data)
    result = site.deployed()
    assert (result.status, result.figures["files_total"], result.figures["files_uploaded"]) == ("deployed", 5, 4)
    assert result.figures["bytes_uploaded"] > len(big)
    assert site.live() == {
        "index.html": b"one",
        "copy.html": b"one",
        "big.bin": big,
        "a b/é\n'$(x)": b"odd",
        "css/site.css": b"body {}",
    }
    assert site.run().status == "unchanged"


def test_a_second_deploy_sends_what_is_new(site: Site) -> None:
    """Unchanged files are the same inodes, moved ones are copied on the host, changed ones travel."""
    site.write("stays.html", b"stays")
    site.write("moves.html", b"moves")
    site.deployed()
    inode = (site.target / "stays.html").stat().st_ino
    (site.source / "moves.html").rename(site.source / "moved.html")
    site.write("index.html", b"two")
    result = site.deployed()
    assert (result.figures["files_uploaded"], result.figures["files_deleted"]) == (1, 1)
    assert site.live() == {"index.html": b"two", "stays.html": b"stays", "moved.html": b"moves"}
    assert (site.target / "stays.html").stat().st_ino == inode


def test_the_watch_starts_before_the_host_hears_of_the_switch(site: Site) -> None:
    """When the first probe request leaves, visitors still get the old release; at the mark they get the new one."""
    site.deployed()
    site.write("index.html", b"two")
    seen: dict[str, bytes] = {}

    class Looking(FakeWatch):
        def start(self) -> None:
            seen["start"] = site.live()["index.html"]

        def mark_switch(self) -> None:
            seen["mark"] = site.live()["index.html"]

    site.watch = Looking()
    site.deployed()
    assert seen == {"start": b"one", "mark": b"two"}


def test_a_failed_gate_brings_the_old_release_back(site: Site) -> None:
    """The failed one is kept and marked, the lock is free, and the same contents may be tried again."""
    site.deployed()
    site.write("index.html", b"two")
    result = site.run(gate=lambda: "status 500")
    assert isinstance(result.error, GateFailed)
    assert site.live() == {"index.html": b"one"}
    reply = site.inspected()
    assert reply.raw("lock") is None
    assert reply.text(f"{result.release}.failed") == "yes"
    assert site.deployed().status == "deployed"


def test_a_failed_first_release_leaves_nothing_live(site: Site) -> None:
    """There was nothing before."""
    assert isinstance(site.run(gate=lambda: "status 500").error, GateFailed)
    assert not site.target.exists()
    assert site.deployed().status == "deployed"


def test_a_rollback_and_the_log(site: Site) -> None:
    """To what was live before, by the same lock and switch; each deploy's output is kept."""
    first = site.deployed()
    site.write("index.html", b"two")
    second = site.deployed()
    back = site.run(StaticRollback(site.way.config(lock_wait=30), "", label="anna", log=lambda: "the way back\n"))
    assert (back.error, back.release, back.previous_release) == (None, first.release, second.release)
    assert site.live() == {"index.html": b"one"}
    session = site.session()
    _, log = session.perform(site.ask(), requests.show_log(second.release))
    assert log.text("log") == "the log\n"


def unlocked(site: Site) -> bool:
    """Whether the lock is given back by the host itself, before the lease ends after 15 s."""
    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        if site.inspected().raw("lock") is None:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    "body", [Endless(), Bytes(b"no archive"), Bytes(b"")], ids=["garbage without end", "garbage", "nothing"]
)
@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_an_upload_that_is_no_archive_fails_and_unlocks(site: Site, body: Endless | Bytes, codec: str) -> None:
    """While it is still being sent, too: an error, no hang, nothing switched, the lock free."""
    site.deployed()
    session = site.session()
    session.perform(site.ask(), requests.lock(1, "anna"))
    began = time.monotonic()
    with pytest.raises(DeployFailed):
        session.perform(requests.contents(codec, "202611221903.00", body), requests.tree(codec, "x", 1, Bytes(b"")))
    assert time.monotonic() - began < 40  # less than the time-out for a host that says nothing
    session.close()
    assert unlocked(site)
    assert site.live() == {"index.html": b"one"}


@pytest.mark.parametrize("moment", ["lock", "switch"])
def test_leaving_early_undoes_and_unlocks(site: Site, moment: str) -> None:
    """With the lock only, or right after the switch: the old release is live and nothing is held."""
    site.deployed()
    site.write("index.html", b"two")
    if moment == "lock":
        session = site.session()
        session.perform(site.ask(), requests.lock(1, "anna"))
        session.close()
    else:

        def gate() -> str:
            assert site.live() == {"index.html": b"two"}
            raise KeyboardInterrupt

        assert site.run(gate=gate).error is not None
    assert unlocked(site)
    assert site.live() == {"index.html": b"one"}
    assert site.deployed().status == "deployed"


def test_a_second_owner_waits_and_is_told_whose_lock_it_is(site: Site) -> None:
    """While it waits the user hears of it; after its patience it is a LockHeld with the owner's label."""
    owner, other = site.session(), site.session()
    owner.perform(site.ask("n1"), requests.lock(1, "anna"))
    with pytest.raises(LockHeld, match="anna since noon"):
        other.perform(site.ask("n2"), requests.lock(1, "bert"))
    assert any("waiting for the lock" in text for text in site.way.heard)
    owner.close()
    assert site.deployed().status == "deployed"


def test_a_broken_lock_stops_its_owner(site: Site) -> None:
    """After unlock, the former owner gets an error instead of a switch."""
    owner, other = site.session(), site.session()
    owner.perform(site.ask("n1"), requests.lock(1, "anna"))
    (_, reply) = other.perform(site.ask("n2"), requests.inspect())
    other.perform(requests.break_lock(reply.text("lock_entry")))
    with pytest.raises(DeployFailed, match="lock"):
        owner.perform(requests.switch("20261122T190300Z-x.y", ""))
    assert not site.target.exists()


class Halting:
    """A list of names that stops after its first byte, as it does when its client is stopped."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.begun, self.go_on = threading.Event(), threading.Event()

    def chunks(self) -> Iterator[bytes]:
        data = b"".join(Names(self._names).chunks())
        yield data[:1]
        self.begun.set()
        assert self.go_on.wait(60)
        yield data[1:]


def test_nobody_renews_the_lease_of_a_client_that_is_silent(site: Site) -> None:
    """In the middle of a list the host only waits. It does not pass its own waiting off as work, for which others wait."""
    site.deployed()
    session, names = site.session(), Halting("index.html")
    session.perform(site.ask(), requests.lock(1, "anna"), requests.copy(), requests.facts("x"))
    sending = threading.Thread(target=session.perform, args=(requests.remove(names),))
    sending.start()
    try:
        assert names.begun.wait(60)
        time.sleep(1.5)
        (lease,) = site.target.parent.glob(".deployer/**/lease")
        before = lease.stat().st_mtime_ns
        time.sleep(2.5)
        assert lease.stat().st_mtime_ns == before
    finally:
        names.go_on.set()
        sending.join(60)
        session.close()


def test_nothing_is_rebuilt_over_a_live_file(site: Site) -> None:
    """Where a link to it stands in the new release's place, it stays as it is, and the host says that it is not right."""
    site.deployed()
    before = (site.target / "index.html").stat()
    session = site.session()
    begin = (requests.lock(1, "anna"), requests.copy(), requests.facts("x"), requests.remove(Names(())))
    session.perform(site.ask(), *begin)
    listed = f"{hashlib.sha256(b'two').hexdigest()}  new/index.html\n".encode() + SEPARATOR
    body = Bytes(gzip.compress(listed + record(b"index.html", b"two", [])))
    (reply,) = session.perform(requests.patch("gzip", "202611221903.00", 1, body, lambda _reply: None))
    session.close()
    assert reply.text("unpatched") == "new/index.html"
    after = (site.target / "index.html").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert site.live() == {"index.html": b"one"}


@pytest.mark.parametrize(
    ("error", "words", "first"),
    [
        (DeployFailed, "does not exist on the host", lambda site: site.ask(target=f"{site.target}/no/where")),
        (InvalidInput, 'belongs to the app "contract"', lambda site: site.ask(app="other")),
        (DeployFailed, "is a file on the host", lambda site: site.ask(target=str(site.source / "index.html"))),
    ],
)
def test_the_hosts_refusals_are_errors_of_their_class(
    site: Site, error: type[DeployerError], words: str, first: Callable[[Site], Request]
) -> None:
    """Told before anything is written, with what to do."""
    site.deployed()
    before = site.snapshot()
    with pytest.raises(error, match=words):
        site.session().perform(first(site), requests.inspect())
    assert site.snapshot() == before


def test_an_unknown_request_is_refused(site: Site) -> None:
    """A newer client says what it wants, an older program says that it does not know it."""
    with pytest.raises(DeployFailed, match='does not know the request "dance"'):
        site.session().perform(ask("dance"))


def test_raw_facts_hold_names_of_every_kind(site: Site) -> None:
    """An inventory travels by size in bytes, whatever the names are: a site that was never deployed is adopted by it."""
    site.target.mkdir()
    for name in ("é.html", "a b.html", "\udcff\udcfe.html", "new\nline.html"):
        (site.target / name).write_bytes(b"old")
    _, reply = site.session().perform(site.ask(), requests.facts(""))
    hashes = reply.text("hashes").split("\n")
    assert sorted(line.partition("  ./")[2] for line in hashes) == sorted(["é.html", "a b.html", "\udcff\udcfe.html"])
    assert site.deployed().status == "deployed"
    assert site.live() == {"index.html": b"one"}


def test_the_end_of_the_program_between_two_requests_is_noticed(site: Site) -> None:
    """A program that a signal ended has unlocked, and the next request is a lost connection, never silence."""
    session = site.session()
    session.perform(site.ask(), requests.lock(1, "anna"))
    (owner,) = (site.target.parent / ".deployer" / "site" / "state" / "lock").glob("*/owner")
    os.kill(int(owner.read_text().split()[0]), 15)
    assert unlocked(site)
    with pytest.raises(ConnectionLost):
        session.perform(requests.facts(""))
