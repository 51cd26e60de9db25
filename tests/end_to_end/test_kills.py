"""SIGKILL at any moment: visitors see whole versions only, and the next run mends everything by itself.

``DEPLOYER_KILLS`` is the number of kills in all, 100 by default; ``DEPLOYER_KILLS_SEED`` repeats the choices of a run
(the moments differ all the same, as the machine's load does).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.processes import marked, name_of, programs, send, tree_of
from tests.end_to_end.site import Client, Running, Site, login_environment, wait_until
from tests.end_to_end.tools import hold_tool, link_tools
from tests.end_to_end.visitors import Visitors
from tests.nginx import Nginx
from tests.sshd import sshd_for_tests

KILLS = int(os.environ.get("DEPLOYER_KILLS", "100"))
SEED = os.environ.get("DEPLOYER_KILLS_SEED") or secrets.token_hex(4)
SHARES = {"ssh": 0.4, "plain-ssh": 0.25, "local": 0.35}
VICTIMS = ("client", "shell", "shell and its children", "session")
ROUNDS = 4  # of one site: the first finds a plain directory, or nothing
BEGINNINGS = ("directory", "directory", "nothing")
SHORT = 10.0  # seconds that a run after a kill may wait: for no lease to pass


@dataclass(slots=True)
class Counts:
    """What happened in a lane."""

    victims: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    late: int = 0
    adoptions: int = 0
    healed: int = 0
    visits: int = 0
    requests: int = 0
    gaps: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.victims.values())

    def add(self, visitors: Visitors, *, gap: bool) -> None:
        self.visits += visitors.visits
        self.requests += visitors.requests
        if gap and visitors.longest_gap:
            self.gaps.append(round(visitors.longest_gap, 3))

    def __str__(self) -> str:
        seconds = self.seconds or [0.0]
        return (
            f"{self.kills} kills {dict(self.victims)}, {self.late} came too late; exit codes {dict(self.codes)}; "
            f"{self.adoptions} adoptions, gaps {self.gaps}; {self.healed} switches healed; {len(self.seconds)} runs after "
            f"kills, {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s; "
            f"{self.visits} visits, {self.requests} requests"
        )


class Lane:
    """Sites that are deployed one way, one after the other, with kills in between."""

    def __init__(self, name: str, client: Client, *, exchange: bool) -> None:
        self.name, self.client, self.exchange = name, client, exchange
        self.random = random.Random(f"{SEED} {name}")
        self.counts = Counts()
        self.victims = itertools.cycle(VICTIMS if client.sshd else VICTIMS[:-1])
        self.numbers = itertools.count(1)
        self.until_program = self.program_runs = 0.0

    def measure(self, site: Site) -> None:
        """How long a deploy takes, and how long until the host's program runs."""
        times = [self.times(site) for _ in range(3)]
        whole, self.until_program = (statistics.median(column) for column in zip(*times, strict=True))
        self.program_runs = whole - self.until_program

    def times(self, site: Site) -> tuple[float, float]:
        """Seconds of one deploy, and until its program on the host was there."""
        before = self.known()
        running = self.client.start(site, next(self.numbers))
        assert wait_until(lambda: self.victim("shell", running, before), 60, step=0.002)
        until = time.monotonic() - running.began
        ended = running.ended()
        assert ended.code == 0, str(ended)
        return ended.seconds, until

    def known(self) -> frozenset[int]:
        """The server's processes that are there before a deploy."""
        return frozenset(self.client.sshd.processes()) if self.client.sshd else frozenset()

    def victim(self, kind: str, running: Running, before: frozenset[int]) -> int | None:
        """The process to kill, once it is there."""
        if kind == "client":
            return running.process.pid
        sshd = self.client.sshd
        if kind == "session":
            assert sshd
            found = [pid for pid in sshd.sessions() if pid not in before and not name_of(pid).startswith("Z")]
            return self.random.choice(found) if found else None
        below = sshd.processes() if sshd else tree_of(running.process.pid)[1:]
        return next(iter(programs([pid for pid in below if pid not in before])), None)

    def kill(self, site: Site, number: int, live: frozenset[int | None]) -> bool:
        """Start a deploy over one of the ``live`` versions and kill a part of it; whether that was before its end."""
        kind = next(self.victims)
        before = self.known()
        running = self.client.start(site, number)
        self.wait_for_the_moment(kind, site, running, before)
        wait_until(lambda: not running.runs or self.victim(kind, running, before), 20)
        pid = self.victim(kind, running, before)
        pids = tree_of(pid) if pid and kind == "shell and its children" else [pid] if pid else []
        killed = running.runs and [send(each, signal.SIGKILL) for each in pids].count(True) > 0
        ended = running.ended()
        assert "Traceback" not in ended.err, ended.err
        # A process that has ended takes signals until somebody asks for its exit code.
        killed = killed and not (kind == "client" and ended.code == 0)
        # The machine's load changes, and with it the moments at which there is anything to kill.
        self.program_runs *= 1.02 if killed else 0.8
        if not killed:
            self.counts.late += 1
            assert ended.code == 0, str(ended)
            return False
        self.counts.victims[kind] += 1
        self.counts.codes[ended.code] += 1
        assert ended.code in ((-signal.SIGKILL,) if kind == "client" else (0, 1, 4, 7)), str(ended)
        if ended.code in (0, 1, 4):
            assert site.live() in (live if ended.code else {number}), str(ended)
        return True

    def wait_for_the_moment(self, kind: str, site: Site, running: Running, before: frozenset[int]) -> None:
        """A moment at random: around the switch, before the program on the host runs, or as long as it does."""
        choice = self.random.random()
        if choice < 0.33:
            wait_until(lambda: not running.runs or (site.state / "pending").exists(), 20, step=0.002)
            time.sleep(self.random.uniform(0, 0.03))
        elif kind == "client" and choice < 0.5:
            time.sleep(self.random.uniform(0, self.until_program))
        else:
            wait_until(lambda: not running.runs or self.victim("shell", running, before), 20)
            time.sleep(self.random.uniform(0, self.program_runs))

    def round(self, site: Site, visitors: Visitors, old: int | None, *, gap: bool) -> int:
        """One to four kills, then a run that must succeed at once. Returns the version that is live."""
        seen: list[int | None] = [old, None] if gap else [old]
        tried: list[int] = []
        for _ in range(self.random.randint(1, 4)):
            tried.append(next(self.numbers))
            visitors.expect(*seen, *tried)
            if not self.kill(site, tried[-1], frozenset((old, *tried[:-1], *seen[1:]))):
                break
        wanted = tried[-1] if self.random.random() < 0.5 else next(self.numbers)
        visitors.expect(*seen, *tried, wanted)
        leases = site.waits_for_leases()
        ended = self.client.deploy(site, wanted)
        visitors.expect(wanted)
        assert ended.waited < SHORT, str(ended)
        assert site.waits_for_leases() == leases, str(ended)
        assert site.leftovers() == []
        self.counts.seconds.append(ended.seconds)
        self.counts.healed += "interrupted deploy" in ended.err
        site.forget(*tried, wanted)
        return wanted

    def rounds(self, site: Site, port: int, beginning: str) -> None:
        """All rounds of one site, read by visitors without a pause."""
        old = None
        if beginning == "directory":
            old = next(self.numbers)
            site.make_plain(old)
            self.counts.adoptions += 1
        visitors = Visitors(site, port)
        visitors.expect(old)
        with visitors:
            for _ in range(ROUNDS):
                plain = beginning == "directory" and not site.target.is_symlink()
                old = self.round(site, visitors, old, gap=plain and not self.exchange)
                assert visitors.problems == [], "\n".join(visitors.problems)
        self.counts.add(visitors, gap=beginning == "directory")


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[dict[str, Lane]]:
    """Every way to deploy, each with a server of its own, and a check that no process of them stays."""
    need("nginx", "to serve the target as visitors get it")
    mark = f"{tmp_path.name}-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        found = {"local": Lane("local", Client(tmp_path, mark), exchange=True)}
        for kind, more in (("ssh", {}), ("plain-ssh", {"PATH": link_tools(tmp_path / "tools")})):
            environment = login_environment(mark, tmp_path / "home", **more)
            sshd = stack.enter_context(sshd_for_tests(tmp_path, host_key_types=("ed25519",), config=[environment]))
            found[kind] = Lane(kind, Client(tmp_path, mark, sshd), exchange=not more)
        yield found
    assert wait_until(lambda: not marked(mark), 30, step=0.1), [name_of(pid) for pid in marked(mark)]


def drive(lane: Lane, directory: Path, port: int, stopping: threading.Event) -> None:
    """Kill in one site after the other until the share is done, or another lane has failed."""
    www = directory / "www"
    lane.measure(Site(www, directory / "work", f"{lane.name}-measured"))
    for index in itertools.count():
        if stopping.is_set() or lane.counts.kills >= max(1, round(KILLS * SHARES[lane.name])):
            return
        beginning = BEGINNINGS[index % len(BEGINNINGS)]
        lane.rounds(Site(www, directory / "work", f"{lane.name}-{index}"), port, beginning)


@pytest.mark.slow
@pytest.mark.timeout(120 + KILLS * 12)
def test_a_kill_at_any_moment(lanes: dict[str, Lane], tmp_path: Path) -> None:
    """Killed client, remote program or session: every visit sees one whole version, and the next run succeeds at once."""
    (tmp_path / "www").mkdir()
    began = time.monotonic()
    with Nginx(tmp_path / "www", tmp_path / "nginx") as nginx, ThreadPoolExecutor(len(lanes)) as pool:
        stopping = threading.Event()
        going = [pool.submit(drive, lane, tmp_path, nginx.port, stopping) for lane in lanes.values()]
        wait(going, return_when=FIRST_EXCEPTION)
        stopping.set()
    print(f"\nseed {SEED}, {time.monotonic() - began:.0f} s")
    for lane in lanes.values():
        print(f"{lane.name}: {lane.counts}")
    for each in going:
        each.result()


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["client", "shell", "shell and its children"])
def test_a_kill_between_the_renames_of_an_adoption(lanes: dict[str, Lane], tmp_path: Path, whom: str) -> None:
    """Without an exchanging tool there is a moment without a site; a kill in it is healed by the host or the next run."""
    lane = lanes["local"]
    (tmp_path / "www").mkdir()
    site = Site(tmp_path / "www", tmp_path / "work", "site")
    site.make_plain(1)
    tools = link_tools(tmp_path / "slow")
    moving = hold_tool(tools, "mv", f'*" {site.target}"')
    running = replace(lane.client, variables={"PATH": str(tools)}).start(site, 2)
    assert wait_until(moving.is_waiting, 60, step=0.002), running.said
    assert site.live() is None
    program = lane.victim("shell", running, frozenset())
    assert program
    victims = {"client": [running.process.pid], "shell": [program]}.get(whom, tree_of(program))
    assert [send(pid, signal.SIGKILL) for pid in victims].count(True)
    moving.let_go()
    ended = running.ended()
    assert ended.code == (-signal.SIGKILL if whom == "client" else 7), str(ended)
    if whom == "client":
        # The program goes on, and undoes what nobody will confirm.
        assert wait_until(lambda: not site.lock.exists(), 30)
        assert site.live() == 1
    assert lane.client.deploy(site, 3).waited < SHORT
    assert site.waits_for_leases() == 0
    assert site.leftovers() == []
