"""A deploy that is paused past its lease never switches any more: another one has gone live meanwhile."""

from __future__ import annotations

import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.hanging import HangingServer
from tests.end_to_end.processes import marked, name_of, send, tree_of
from tests.end_to_end.site import Client, Ended, Running, Site, login_environment, wait_until
from tests.end_to_end.tools import HeldTool, hold_tool, link_tools
from tests.end_to_end.visitors import Visitors
from tests.nginx import Nginx
from tests.relay import Relay
from tests.sshd import Sshd, sshd_for_tests

LEASE = 15.0
FEW = 15.0  # seconds that the next deploy may take beyond the lease; it would wait for a minute
SLOW = 4.0  # Mbit/s
FIRST, PAUSED, OTHER = 1, 2, 3
SEED = os.environ.get("DEPLOYER_KILLS_SEED") or secrets.token_hex(4)
RANDOM_MOMENTS = 3
WHOM = ("client", "shell", "host")  # the last is the shell with its children, as when a machine sleeps


class Moment:
    """When a deploy is paused: at a random instant in which it holds the lock."""

    flags: tuple[str, ...] = ()

    def __init__(self, delay: Callable[[], float] = lambda: 0.0) -> None:
        self._delay = delay

    def wait(self, site: Site, running: Running) -> None:
        """Return at the moment."""
        wait_until(lambda: not running.runs or site.owner(), 60, step=0.001)
        time.sleep(self._delay())

    def resume(self) -> None:
        """The deploy goes on now."""


class Upload(Moment):
    """While contents travel over a slow line."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay

    def wait(self, site: Site, running: Running) -> None:
        """When the first megabyte has left."""
        assert wait_until(lambda: self._relay.traffic().sent > 1_000_000, 60), running.said


class Gate(Moment):
    """While the health check waits for its answer, which is good in the end."""

    def __init__(self, server: HangingServer) -> None:
        super().__init__()
        self._server = server
        self.flags = ("--health-url", server.url, "--timeout", "120")

    def wait(self, site: Site, running: Running) -> None:
        """When it has been asked."""
        assert self._server.asked.wait(60), running.said

    def resume(self) -> None:
        """Answer."""
        self._server.answering.set()


class Tool(Moment):
    """While a tool on the host is about to do its work."""

    def __init__(self, tool: HeldTool) -> None:
        super().__init__()
        self._tool = tool

    def wait(self, site: Site, running: Running) -> None:
        """When it has been started."""
        assert wait_until(self._tool.is_waiting, 60), running.said

    def resume(self) -> None:
        """Let it."""
        self._tool.let_go()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a deploy that was paused, before or after it was confirmed, and of the one that ran meanwhile.

    ``leases`` is how many the next one had to wait for.
    """

    paused: Ended
    confirmed: bool
    other: Ended
    live: int | None
    next_one: Ended
    leases: int
    problems: list[str]
    leftovers: list[str]


class Stage:
    """What all scenarios share: a server, its web server, and a place for sites."""

    def __init__(self, directory: Path, mark: str, nginx: Nginx, sshd: Sshd) -> None:
        self.directory, self.nginx, self.sshd = directory, nginx, sshd
        self.client = Client(directory, mark, sshd)
        self.random = random.Random(SEED)

    def play(
        self,
        name: str,
        moment: Moment,
        *,
        whom: str,
        client: Client | None = None,
        plain: bool = False,
        large: bool = False,
    ) -> Outcome:
        """Pause ``whom`` at ``moment`` for longer than the lease while another run deploys."""
        site = Site(self.nginx.directory, self.directory / "work", name)
        if large:
            site.add(PAUSED, site.files(PAUSED) | {"large.bin": self.random.randbytes(6_000_000)})
        if plain:
            site.make_plain(FIRST)
        else:
            self.client.deploy(site, FIRST)
        visitors = Visitors(site, self.nginx.port, pause=0.05)
        visitors.expect(FIRST, PAUSED, OTHER)
        with visitors:
            paused, stopped = self._pause(site, moment, whom, client or self.client)
            confirmed = is_confirmed(site)
            other = self.client.run(site, OTHER, lock_wait=60)
            if other.code == 0:
                visitors.expect(OTHER)
            time.sleep(max(0.0, LEASE + 1 - other.seconds))
            moment.resume()
            for pid in stopped:
                send(pid, signal.SIGCONT)
            ended = paused.ended()
            time.sleep(0.5)
            live = site.live()
        before = site.waits_for_leases()
        after = self.client.run(site, 4)
        leases = site.waits_for_leases() - before
        return Outcome(ended, confirmed, other, live, after, leases, visitors.problems, site.leftovers())

    def _pause(self, site: Site, moment: Moment, whom: str, client: Client) -> tuple[Running, list[int]]:
        """Start a deploy and stop it at a moment at which it holds the lock."""
        for _ in range(10):
            running = client.start(site, PAUSED, *moment.flags)
            moment.wait(site, running)
            program = site.owner()
            pids = [running.process.pid] if whom == "client" else [program] if program else []
            pids = tree_of(pids[0]) if whom == "host" and pids else pids
            stopped = [pid for pid in pids if send(pid, signal.SIGSTOP)]
            time.sleep(0.5)
            if stopped and program and site.owner() == program:
                return running, stopped
            for pid in stopped:
                send(pid, signal.SIGCONT)
            assert running.ended().code == 0, "not paused"
            self.client.deploy(site, FIRST)
        raise AssertionError(f"{site.name}: no moment was before the end of the deploy")


def later(seconds: float, play: Callable[[], Outcome]) -> Outcome:
    """Play a little later than others, as two processors are few for all at once."""
    time.sleep(seconds)
    return play()


def is_confirmed(site: Site) -> bool:
    """Whether the deploy that is paused had been confirmed: it is live, and no note says that it might be undone."""
    return site.live() == PAUSED and not (site.state / "pending").exists()


class Scenarios:
    """All of them, each a method call that gives an outcome; they mostly wait, so they run at the same time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def upload(self, whom: str) -> Outcome:
        stage = self._stage
        with Relay(stage.sshd.port, rtt=0.01, rate=SLOW) as relay:
            slow = replace(stage.client, port=relay.port)
            return stage.play(f"upload-{whom}", Upload(relay), whom=whom, client=slow, large=True)

    def gate(self, whom: str) -> Outcome:
        with HangingServer() as server:
            return self._stage.play(f"gate-{whom}", Gate(server), whom=whom)

    def any_moment(self, whom: str, number: int) -> Outcome:
        random_ = random.Random(f"{SEED} {whom} {number}")
        return self._stage.play(f"any-{whom}-{number}", Moment(lambda: random_.uniform(0, 0.6)), whom=whom)

    def adoption(self, *, exchange: bool) -> Outcome:
        name = "exchange" if exchange else "renames"
        stage = self._stage
        tools = link_tools(stage.directory / name)
        if exchange:
            tool = hold_tool(tools, "python3", "*", program=sys.executable)
        else:
            tool = hold_tool(tools, "mv", f'"{stage.nginx.directory / name}"*')
        client = Client(stage.directory, stage.client.mark, variables={"PATH": str(tools)})
        return stage.play(name, Tool(tool), whom="host", client=client, plain=True)

    def all(self) -> dict[str, Callable[[], Outcome]]:
        """Every scenario by name."""
        found: dict[str, Callable[[], Outcome]] = {}
        for whom in WHOM:
            found[f"{whom} during the upload"] = partial(self.upload, whom)
            found[f"{whom} during the gate"] = partial(self.gate, whom)
            for number in range(RANDOM_MOMENTS):
                found[f"{whom} at random moment {number}"] = partial(self.any_moment, whom, number)
        found["host in the exchange of an adoption"] = partial(self.adoption, exchange=True)
        found["host before the renames of an adoption"] = partial(self.adoption, exchange=False)
        return found


NAMES = [
    *(f"{whom} during the {step}" for whom in WHOM for step in ("upload", "gate")),
    *(f"{whom} at random moment {number}" for whom in WHOM for number in range(RANDOM_MOMENTS)),
    "host in the exchange of an adoption",
    "host before the renames of an adoption",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """Of all scenarios, which run at the same time: each mostly waits for the lease to pass."""
    need("nginx", "to serve the target as visitors get it")
    directory = tmp_path_factory.mktemp("fencing")
    mark = f"{directory.name}-{secrets.token_hex(4)}"
    www = directory / "www"
    www.mkdir()
    with (
        sshd_for_tests(
            directory, host_key_types=("ed25519",), config=[login_environment(mark, directory / "home")]
        ) as sshd,
        Nginx(www, directory / "nginx") as nginx,
        ThreadPoolExecutor(len(NAMES)) as pool,
    ):
        scenarios = Scenarios(Stage(directory, mark, nginx, sshd)).all()
        yield {name: pool.submit(later, 0.4 * index, scenarios[name]) for index, name in enumerate(NAMES)}
    assert wait_until(lambda: not marked(mark), 30, step=0.1), [name_of(pid) for pid in marked(mark)]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", NAMES)
def test_a_paused_deploy_never_switches(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    """The run beside it waits for the lease and goes live; the paused one fails with a reason and changes nothing."""
    outcome = outcomes[name].result()
    print(f"\nseed {SEED}, {name}: {outcome.other.waited:.1f} s; exit code {outcome.paused.code}: {outcome.paused.err}")
    assert outcome.problems == []
    assert outcome.other.code == 0, str(outcome.other)
    assert outcome.live == OTHER
    # What had left already goes on arriving, and counts as being alive.
    travelling = {"client during the upload": 6.0, "shell during the upload": 14.0}.get(name, 0.0)
    assert outcome.other.waited < LEASE + FEW + travelling
    assert "Traceback" not in outcome.paused.err
    if outcome.confirmed:
        assert outcome.paused.code in (0, 7), str(outcome.paused)
    else:
        assert outcome.paused.code in (1, 7), str(outcome.paused)
        reason = outcome.paused.err.partition("error: ")[2]
        assert "its lease of 15 s" in reason or "the lock was taken away" in reason
    assert outcome.next_one.code == 0, str(outcome.next_one)
    assert outcome.leases == 0
    assert outcome.next_one.waited < FEW
    assert outcome.leftovers == []
