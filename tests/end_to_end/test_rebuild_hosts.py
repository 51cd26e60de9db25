"""Rebuilding on several hosts, and on one with a small disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.contract.visitors import Visitors
from tests.end_to_end.docker_server import DOCKERFILE, NETWORK, Blog, Proxy, login, prepare, server_session
from tests.end_to_end.faults import ext4, mounted
from tests.end_to_end.repository import git
from tests.engine import Engine, engine_for_tests
from tests.sshd import sshd_for_tests

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(autouse=True)
def programs() -> None:
    """What the projects are deployed with."""
    for program in ("git", "make"):
        need(program, "to deploy a project")


def test_a_disk_that_gets_full(engine: Engine, tmp_path: Path) -> None:
    """The checkout's disk, which has deployer's state, too, is full during the build: the old version stays."""
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", folder):
        prepare(engine)
        blog = Blog(folder / "blog", engine)
        blog.begin()
        blog.deploy()
        before = blog.containers()
        blog.rebuild["build"] = "dd if=/dev/zero of=waste bs=64k count=1000; make build"
        blog.commit("too big")
        ended = blog.run()
        ended.failed(1, "build failed on the host")
        (blog.checkout / "waste").unlink()
        blog.undo()
        assert blog.containers() == before
        blog.steady("1")
        blog.configured_as()
        blog.commit("2")
        blog.deploy()
        blog.steady("2")


def test_dockers_disk_that_gets_full(tmp_path: Path) -> None:
    """The disk with Docker's data is full during the build: it is named, the old version serves, and space mends it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with (
        mounted("-t", "ext4", "-o", "loop", ext4(tmp_path / "disk.img", megabytes=512), disk),
        engine_for_tests(disk / "docker") as engine,
    ):
        engine.application("app:plain", kept=True)
        engine.docker("network", "create", NETWORK)
        blog = Blog(tmp_path / "blog", engine)
        blog.begin()
        blog.deploy()
        before = blog.containers()
        blog.commit("too big", {"Dockerfile": f"{DOCKERFILE}RUN dd if=/dev/zero of=/waste bs=1M\n"})
        with Visitors(f"http://{engine.address('blog-blog-1', NETWORK)}/") as visitors:
            blog.run().failed(1, "build failed on the host", f"the disk with Docker's data ({disk}/docker) had only")
        assert (visitors.failures, set(visitors.answers)) == ([], {"1"})
        blog.undo()
        assert blog.containers() == before
        blog.steady("1")
        blog.by_hand("docker", "container", "prune", "--force")
        blog.commit("2", {"Dockerfile": DOCKERFILE})
        blog.deploy()
        blog.steady("2")


@pytest.fixture
def engine_beside() -> Iterator[Engine]:
    """A second engine."""
    with engine_for_tests() as engine:
        prepare(engine)
        yield engine


def test_several_hosts_one_after_the_other(engine: Engine, engine_beside: Engine, tmp_path: Path) -> None:
    """The second fails its gate and gets its old version back; the first stays new, and the report says both."""
    prepare(engine)
    with contextlib.ExitStack() as stack:
        blogs = [Blog(tmp_path / name, each) for name, each in (("a", engine), ("b", engine_beside))]
        for each in blogs:
            (config,) = server_session(each.engine, each.directory)
            each.host = login(stack.enter_context(sshd_for_tests(tmp_path, config=(config,))))
            front(each.engine, each.directory / "conf", closed=each is not blogs[0])
            each.host["connect_to"] = each.engine.address("traefik")
        first, second = blogs
        first.begin()
        second.origin = first.origin
        git(second.checkout.parent, "clone", "--quiet", str(first.origin), "blog")
        second.by_hand("make", "build", "up")
        first.others = [second.host]
        first.rebuild["path"] = "server/blog"
        first.settings["health"] |= {"url": "http://blog.test/", "contains": "1"}
        assert first.deploy()["hosts"]
        first.settings["health"] = {"url": "http://blog.test/gate"}
        first.commit("2")
        ended = first.run()
        ended.failed(5, "health gate")
        first.steady("2")
        second.steady("1")
        told = {line.strip() for line in ended.err.splitlines() if "127.0.0.1" in line and " is live" in line}
        assert len(told) == 2, ended.err


def front(engine: Engine, directory: Path, *, closed: bool) -> None:
    """Traefik that nobody tells of a roll; its path /gate wants a password, if it is closed."""
    proxy = Proxy(engine, directory)
    proxy.own.unlink()
    (directory / "routers.yml").write_text(
        f"""\
http:
  routers:
    all: {{rule: 'PathPrefix(`/`)', service: blog}}
    gate: {{rule: 'PathPrefix(`/gate`)', service: blog, middlewares: [{"closed" if closed else "open"}]}}
  middlewares:
    closed: {{basicAuth: {{users: ['nobody:nothing']}}}}
    open: {{headers: {{customRequestHeaders: {{X-Open: 'yes'}}}}}}
  services:
    blog: {{loadBalancer: {{servers: [{{url: 'http://blog'}}]}}}}
"""
    )
    proxy.start()
