"""Ctrl-C and SIGTERM at every step: the command ends soon, and leaves the site as it promises."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.end_to_end.hanging import HangingServer
from tests.end_to_end.processes import marked, name_of, opened, send, tree_of
from tests.end_to_end.site import Client, Ended, Running, Site, login_environment, wait_until
from tests.end_to_end.tools import hold_tool, link_tools
from tests.relay import Relay
from tests.sshd import Sshd, sshd_for_tests

LIMIT = 25.0  # five seconds, where nothing else runs; whatever is interrupted would go on for a minute at least
PATIENCE = 30.0  # for what is over in a moment, and never where it is not
IMMEDIATE = 10.0  # seconds that the next run may wait: for no lease to pass
OLD, NEW, NEXT = 1, 2, 3
ROUNDS = 16
SEED = os.environ.get("DEPLOYER_KILLS_SEED") or secrets.token_hex(4)
SIGNALS = {"SIGTERM": (signal.SIGTERM,), "Ctrl-C twice": (signal.SIGINT, signal.SIGINT)}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
every_signal = pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """What all processes of the test are found by; none may stay."""
    mark = f"{tmp_path.name}-{secrets.token_hex(4)}"
    yield mark
    gone = wait_until(lambda: not marked(mark), PATIENCE, step=0.1)
    left = [name_of(pid) for pid in marked(mark)]
    for pid in marked(mark):
        send(pid, signal.SIGKILL)
    assert gone, left


@pytest.fixture
def sshd(tmp_path: Path, mark: str) -> Iterator[Sshd]:
    with sshd_for_tests(
        tmp_path, host_key_types=("ed25519",), config=[login_environment(mark, tmp_path / "home")]
    ) as sshd:
        yield sshd


@pytest.fixture
def client(tmp_path: Path, mark: str, sshd: Sshd) -> Client:
    return Client(tmp_path, mark, sshd)


@pytest.fixture
def site(tmp_path: Path, client: Client) -> Site:
    """A site with a live release."""
    (tmp_path / "www").mkdir()
    site = Site(tmp_path / "www", tmp_path / "work", "site")
    client.deploy(site, OLD)
    return site


def interrupt(running: Running, signals: Sequence[signal.Signals], then: Callable[[], None] = lambda: None) -> Ended:
    """Send the signals, a little apart, and see that the end comes in time."""
    began = time.monotonic()
    for number in signals:
        running.signal(number)
        time.sleep(0.2)
    then()
    ended = running.ended(60)
    seconds = time.monotonic() - began
    print(f"\nended {seconds:.1f} s after the signal: {ended}")
    assert seconds < LIMIT, str(ended)
    assert "Traceback" not in ended.err, ended.err
    return ended


def check(client: Client, site: Site, ended: Ended) -> None:
    """The end was an interruption, nothing was deployed, the lock is free, and the next run waits for nothing."""
    assert ended.code == 130, str(ended)
    assert "interrupted" in ended.err
    assert wait_until(lambda: site.live() == OLD and not site.lock.exists(), PATIENCE), site.live()
    check_next_run(client, site)


def check_next_run(client: Client, site: Site) -> None:
    """It goes live without waiting for a lease, and nothing odd is left."""
    before = site.waits_for_leases()
    assert client.deploy(site, NEXT).waited < IMMEDIATE
    assert site.waits_for_leases() == before
    assert site.leftovers() == []


@every_signal
@pytest.mark.parametrize("manners", ["polite", "stubborn"])
def test_while_it_builds(
    client: Client, site: Site, mark: str, signals: Sequence[signal.Signals], manners: str, tmp_path: Path
) -> None:
    """The build ends with all its children, even when they do not listen to signals."""
    stubborn = "trap '' INT TERM; " if manners == "stubborn" else ""
    build = f"{stubborn}sleep 301 & (sleep 302; true) & touch '{tmp_path / 'building'}'; sleep 303"
    running = client.start(site, NEW, "--build", build)
    assert wait_until((tmp_path / "building").exists, 60), running.said
    ended = interrupt(running, signals)
    assert wait_until(lambda: not marked(mark), PATIENCE), [name_of(pid) for pid in marked(mark)]
    check(client, site, ended)


@every_signal
def test_while_it_reads_the_source(client: Client, site: Site, signals: Sequence[signal.Signals]) -> None:
    """Hashing stops in the middle of a file."""
    large = site.source(NEW) / "large.bin"
    with large.open("wb") as file:
        file.truncate(200 << 30)  # sparse, so it takes no space
    running = client.start(site, NEW)
    assert wait_until(lambda: any(large in opened(pid) for pid in tree_of(running.process.pid)), 60, step=0.001), (
        running.said
    )
    time.sleep(0.3)
    check(client, site, interrupt(running, signals))


def test_a_kill_while_it_reads_the_source(client: Client, site: Site, mark: str) -> None:
    """Nobody can tell the process that reads beside it to end, but it ends."""
    large = site.source(NEW) / "large.bin"
    with large.open("wb") as file:
        file.truncate(200 << 30)  # sparse, so it takes no space
    running = client.start(site, NEW)
    assert wait_until(lambda: any(large in opened(pid) for pid in tree_of(running.process.pid)), 60), running.said
    send(running.process.pid, signal.SIGKILL)
    running.ended()
    assert wait_until(lambda: not marked(mark), PATIENCE), [name_of(pid) for pid in marked(mark)]


@every_signal
def test_while_it_connects(client: Client, site: Site, signals: Sequence[signal.Signals]) -> None:
    """It does not wait for a server that accepts the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client.port = silent.getsockname()[1]
        running = client.start(site, NEW)
        silent.settimeout(60)
        with silent.accept()[0]:
            time.sleep(0.3)
            ended = interrupt(running, signals)
    client.port = 0
    check(client, site, ended)


@every_signal
def test_while_it_waits_for_the_lock(client: Client, site: Site, mark: str, signals: Sequence[signal.Signals]) -> None:
    """The waiting program on the host goes, too, and the other deploy goes on."""
    with HangingServer() as server:
        other = client.start(site, NEW, "--health-url", server.url)
        assert server.asked.wait(60), other.said
        before = set(marked(mark))
        waiting = client.start(site, NEXT)
        assert wait_until(lambda: any(site.state.glob("claim.*")), 60), waiting.said
        time.sleep(0.5)
        ended = interrupt(waiting, signals)
        assert ended.code == 130
        assert wait_until(lambda: set(marked(mark)) <= before, PATIENCE), [
            name_of(pid) for pid in {*marked(mark)} - before
        ]
        assert other.runs
        server.answering.set()
        assert other.ended().code == 0
    assert site.live() == NEW
    check_next_run(client, site)


@every_signal
@pytest.mark.parametrize("line", ["slow", "stuck"])
def test_while_it_uploads(client: Client, site: Site, signals: Sequence[signal.Signals], line: str) -> None:
    """What was sent is thrown away, also when the line carries nothing any more."""
    site.add(NEW, site.files(NEW) | {"large.bin": random.Random(SEED).randbytes(8_000_000)})
    assert client.sshd
    with Relay(client.sshd.port, rtt=0.05, rate=4) as relay:
        client.port = relay.port
        running = client.start(site, NEW)
        assert wait_until(lambda: relay.traffic().sent > 1_000_000, 60), running.said
        if line == "stuck":
            relay.pause()
        ended = interrupt(running, signals)
        if line == "slow":
            # What is on its way arrives first.
            assert wait_until(lambda: not site.lock.exists(), PATIENCE), site.owner()
    client.port = 0
    check(client, site, ended)


@every_signal
def test_while_the_gate_looks(client: Client, site: Site, signals: Sequence[signal.Signals]) -> None:
    """The release that is being looked at goes again."""
    with HangingServer() as server:
        running = client.start(site, NEW, "--health-url", server.url)
        assert server.asked.wait(60), running.said
        assert site.live() == NEW
        ended = interrupt(running, signals)
        check(client, site, ended)


@every_signal
def test_while_the_gate_of_a_first_deploy_looks(
    client: Client, tmp_path: Path, signals: Sequence[signal.Signals]
) -> None:
    """Nothing is live again."""
    (tmp_path / "www").mkdir()
    site = Site(tmp_path / "www", tmp_path / "work", "site")
    with HangingServer() as server:
        running = client.start(site, NEW, "--health-url", server.url)
        assert server.asked.wait(60), running.said
        ended = interrupt(running, signals)
    assert ended.code == 130
    assert wait_until(lambda: not site.lock.exists(), PATIENCE)
    assert site.live() is None
    check_next_run(client, site)


@every_signal
def test_while_it_finishes(client: Client, site: Site, tmp_path: Path, signals: Sequence[signal.Signals]) -> None:
    """Once the release is confirmed it stays: the first signal waits for the end of that."""
    tools = link_tools(tmp_path / "tools")
    removing = hold_tool(tools, "rm", "*/records/*/failed")
    client = Client(tmp_path, client.mark, variables={"PATH": str(tools)})
    running = client.start(site, NEW)
    assert wait_until(removing.is_waiting, 60, step=0.002), running.said
    # Who insists leaves while the host is not done yet.
    done = threading.Timer(2.0 * (len(signals) - 1), removing.let_go)
    ended = interrupt(running, signals, done.start)
    assert ended.code == 0 if len(signals) == 1 else ended.code in (0, 7, 130), str(ended)
    assert wait_until(lambda: not site.lock.exists(), PATIENCE), site.owner()
    assert site.live() == NEW
    check_next_run(client, site)


@pytest.mark.timeout(180)
def test_at_any_moment(client: Client, site: Site) -> None:
    """Either it was interrupted and nothing has changed, or it was done; and nothing has to be mended."""
    random_ = random.Random(SEED)
    whole = client.deploy(site, NEXT).seconds
    live, codes = NEXT, Counter[int]()
    for number in range(10, 10 + ROUNDS):
        running = client.start(site, number)
        time.sleep(random_.uniform(0.1, whole * 0.95))
        # Before Python has even started, the signal's own effect is as good.
        early = not running.said
        sent = random_.choice([signal.SIGINT, signal.SIGTERM])
        ended = interrupt(running, [sent])
        codes[ended.code] += 1
        assert ended.code in ((0, 130, -sent) if early else (0, 130)), str(ended)
        live = number if ended.code == 0 else live
        assert wait_until(lambda: not site.lock.exists(), PATIENCE), site.owner()
        assert site.live() == live, str(ended)
    print(f"\nseed {SEED}: exit codes {dict(codes)}")
    assert site.leftovers() == []
