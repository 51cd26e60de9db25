"""Twenty deploys at once: one at a time goes live, and the last state is one of them, whole."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.journal import Event
from tests.conftest import need
from tests.end_to_end.processes import marked, name_of
from tests.end_to_end.site import Client, Ended, Site, login_environment, wait_until
from tests.end_to_end.visitors import Visitors
from tests.nginx import Nginx
from tests.sshd import Sshd, sshd_for_tests

TWENTY = range(1, 21)
BEFORE = 21
STARTUPS = {"many at once": "MaxStartups 100:30:200", "as installed": "MaxStartups 10:30:100"}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """What all processes of the test are found by; none may stay."""
    mark = f"{tmp_path.name}-{secrets.token_hex(4)}"
    yield mark
    assert wait_until(lambda: not marked(mark), 30, step=0.1), [name_of(pid) for pid in marked(mark)]


@pytest.fixture
def sshd(request: pytest.FixtureRequest, tmp_path: Path, mark: str) -> Iterator[Sshd]:
    """A server with the limits that the test's parameter says."""
    limits = STARTUPS[getattr(request, "param", "many at once")]
    with sshd_for_tests(
        tmp_path, host_key_types=("ed25519",), config=[login_environment(mark, tmp_path / "home"), limits]
    ) as sshd:
        yield sshd


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose twenty sources are there."""
    (tmp_path / "www").mkdir()
    site = Site(tmp_path / "www", tmp_path / "work", "site")
    for number in TWENTY:
        site.source(number)
    return site


@pytest.fixture
def nginx(site: Site, tmp_path: Path) -> Iterator[Nginx]:
    """A web server of the target's parent."""
    need("nginx", "to serve the target as visitors get it")
    with Nginx(site.www, tmp_path / "nginx") as nginx:
        yield nginx


def race(client: Client, site: Site, lock_wait: int) -> list[Ended]:
    """Deploy all twenty at once."""
    running = [client.start(site, number, lock_wait=lock_wait) for number in TWENTY]
    return [each.ended(330) for each in running]


def check_turns(events: tuple[Event, ...]) -> list[Event]:
    """Between taking the lock and the end of a deploy, no other deploy does anything. Returns the switches."""
    owner = ""
    for event in events:
        if (event.step, event.state) == ("lock", "taken"):
            assert owner == "", f"{event} while {owner} went on"
            owner = event.deploy
        assert event.deploy == owner, f"{event} while {owner} went on"
        if event.step == "done" or event.state == "failed":
            owner = ""
    assert owner == ""
    return [event for event in events if (event.step, event.state) == ("switch", "done")]


def check(site: Site, ended: list[Ended], began: float, *, earlier: int = 0) -> None:
    """What holds after each race; ``earlier`` switches were before it."""
    codes = Counter(each.code for each in ended)
    print(f"\n{dict(codes)} in {time.monotonic() - began:.1f} s")
    assert set(codes) <= {0, 3}, "\n".join(str(each) for each in ended if each.code not in (0, 3))
    switches = check_turns(site.events())
    assert len(switches) == earlier + codes[0]
    assert site.live() in [number for number, each in zip(TWENTY, ended, strict=True) if each.code == 0]
    assert site.target.readlink().name == switches[-1].release
    assert all("another deploy holds the lock" in each.err for each in ended if each.code == 3)
    assert site.leftovers() == []


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("sshd", "beginning"),
    [("many at once", "a release"), ("many at once", "a directory"), ("many at once", ""), ("as installed", "")],
    indirect=["sshd"],
)
def test_twenty_deploys_take_turns(
    tmp_path: Path, mark: str, sshd: Sshd, site: Site, nginx: Nginx, beginning: str
) -> None:
    """All of them go live, one after the other, and visitors see nothing but whole versions."""
    client = Client(tmp_path, mark, sshd)
    if beginning == "a release":
        client.deploy(site, BEFORE)
    elif beginning == "a directory":
        site.make_plain(BEFORE)
    visitors = Visitors(site, nginx.port, pause=0.02)
    visitors.expect(BEFORE if beginning else None, *TWENTY)
    began = time.monotonic()
    with visitors:
        ended = race(client, site, 300)
    assert visitors.problems == []
    assert [str(each) for each in ended if each.code] == []
    check(site, ended, began, earlier=1 if beginning == "a release" else 0)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_those_that_do_not_get_their_turn_say_so(tmp_path: Path, mark: str, sshd: Sshd, site: Site) -> None:
    """Those that may wait for no more than two seconds end with exit code 3, and change nothing."""
    client = Client(tmp_path, mark, sshd)
    began = time.monotonic()
    check(site, race(client, site, 2), began)
