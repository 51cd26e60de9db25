"""What goes wrong around a rolled deploy: proxy, engine, disk, network, people. Visitors never notice."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.contract.visitors import Visitors
from tests.end_to_end.docker_server import Blog, Proxy, Running, login, prepare, server_session
from tests.end_to_end.hosts import NOBODY, ordinary_user
from tests.end_to_end.site import wait_until
from tests.engine import Engine
from tests.relay import Relay
from tests.sshd import Sshd, sshd_for_tests

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

KILLS = int(os.environ.get("DEPLOYER_KILLS", "3"))


@pytest.fixture(scope="module")
def server(started_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blog]:
    """The server of most of these tests, on this machine; each leaves it in the steady state."""
    for program in ("git", "make"):
        need(program, "to deploy a project")
    folder = tmp_path_factory.mktemp("faults")
    prepare(started_engine)
    proxy = Proxy(started_engine, folder / "conf")
    proxy.start()
    blog = Blog(folder / "blog", started_engine, proxy=proxy)
    blog.begin()
    yield blog
    started_engine.clean()


@pytest.fixture
def blog(server: Blog) -> Blog:
    """The server, with the usual deploy.toml, and a release that is live."""
    server.host = {"address": "local"}
    server.configured_as()
    server.undo()
    if not server.state.exists():
        server.deploy()
    return server


@pytest.fixture
def sshd(blog: Blog, tmp_path: Path) -> Iterator[Sshd]:
    """A way to the server by SSH."""
    with sshd_for_tests(tmp_path, config=server_session(blog.engine, tmp_path / "home")) as server:
        yield server


@contextlib.contextmanager
def visitors(blog: Blog) -> Iterator[Visitors]:
    """Some visitors at an easy pace, all of whom have to get their answers."""
    assert blog.proxy
    with Visitors(blog.proxy.url, visitors=2) as asking:
        yield asking
    assert asking.failures == []
    assert asking.answers


def reached(blog: Blog, running: Running, moment: str) -> None:
    """Wait until the deploy is in this step: fetch, build, start (containers are started), cut or retire."""
    roll = blog.state / "roll"
    signs: dict[str, Callable[[], bool]] = {
        "fetch": (blog.state / "pending").exists,
        "build": (blog.directory / "building").exists,
        "start": lambda: (roll / "stage").exists() and len(blog.containers()) > 1,
        "cut": (roll / "cut").exists,
        "retire": lambda: (roll / "stage").exists() and "retiring" in (roll / "stage").read_text(),
    }

    def come() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return signs[moment]() or running.process.poll() is not None
        return False

    assert wait_until(come, 60, step=0.02), running.said
    assert running.process.poll() is None, running.said


def hold_build(blog: Blog) -> Path:
    """Let builds wait, a minute at most, until the returned file is there."""
    sign, goes = blog.directory / "building", blog.directory / "go"
    goes.unlink(missing_ok=True)
    wait = f"n=0; until [ -e '{goes}' ] || [ $n = 600 ]; do n=$((n + 1)); sleep 0.1; done"
    blog.rebuild["build"] = f"sh build.sh; touch '{sign}'; {wait}; rm '{sign}'"
    return goes


def test_an_engine_that_is_not_there(blog: Blog, tmp_path: Path) -> None:
    """Docker down, or not permitted: exit code 1 and the mend, before anything is fetched."""
    before, head = blog.containers(), blog.head
    blog.commit("no engine")
    blog.run(DOCKER_HOST=f"unix://{tmp_path}/nothing").failed(1, "the Docker engine does not run", "systemctl start")
    blog.undo()
    assert (blog.containers(), blog.head) == (before, head)
    blog.steady(blog.version)


def test_a_user_who_may_not_use_the_engine(blog: Blog, open_directory: Path, as_root: None) -> None:
    """Exit code 1, and the command that lets him."""
    shutil.copytree(blog.checkout, open_directory / "server" / "blog")
    for path in (open_directory / "server", *open_directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    blog.commit("not for everybody")
    allowed = ordinary_user(open_directory / "user")
    ran = blog.run("--path", str(open_directory / "server" / "blog"), PATH=allowed, HOME=str(open_directory))
    ran.failed(1, "may not use the Docker engine", "usermod -aG docker")


def test_traefik_that_cannot_be_asked_in_the_middle(blog: Blog) -> None:
    """Its API is gone after the new containers were started: exit code 1, and the old ones serve as before."""
    assert blog.proxy
    version, before = blog.version, blog.containers()
    with Relay(blog.proxy.api_port, rtt=0) as relay, visitors(blog) as asking:
        blog.settings["traefik"]["api"] = f"http://127.0.0.1:{relay.port}"
        blog.settings["traefik"]["timeout"] = 5
        blog.rebuild["settle"] = 3  # there is time to pull the cable before Traefik is told
        blog.commit("nobody to ask")
        running = blog.start()
        reached(blog, running, "start")
        relay.pause()
        running.ended().failed(1, "Traefik has not taken over")
    assert version in asking.answers
    blog.undo()
    assert blog.containers() == before
    blog.steady(version)


def test_a_proxy_file_that_is_edited_by_hand_meanwhile(blog: Blog) -> None:
    """What somebody wrote during the build is kept aside and told, and the roll ends well."""
    assert blog.proxy
    goes = hold_build(blog)
    blog.commit("beside an editor")
    with visitors(blog):
        running = blog.start()
        reached(blog, running, "build")
        # As an editor saves: Traefik must not read half of it, which would be the editor's fault.
        saved = blog.directory / "saved"
        saved.write_text(f"# Anna was here\n{blog.proxy.own.read_text()}")
        saved.replace(blog.proxy.own)
        goes.touch()
        ended = running.ended()
    assert ended.code == 0, ended.err
    assert "by hand" in ended.err or "meanwhile" in ended.err, ended.err
    kept = [
        path
        for path in blog.state.parent.rglob("*")
        if path.is_file() and "Anna was here" in path.read_text("utf-8", "replace")
    ]
    assert kept
    assert any(str(path) in ended.err for path in kept), (kept, ended.err)
    blog.steady("beside an editor")


def test_a_build_that_takes_too_long(blog: Blog) -> None:
    """It ends with the container that it runs in."""
    version, before = blog.version, set(blog.engine.docker("ps", "--all", "--quiet").split())
    blog.rebuild["build_timeout"] = 3
    blog.commit("for ever", {"Dockerfile": "FROM app:plain\nRUN sleep 301\n"})
    with visitors(blog):
        blog.run().failed(1, "build ran for longer than 3 s")
    blog.undo()
    blog.steady(version)
    assert wait_until(lambda: set(blog.engine.docker("ps", "--quiet").split()) <= before, 60)


def test_two_pushes_at_once(blog: Blog) -> None:
    """The second waits, and deploys its own commit when the first is done."""
    goes = hold_build(blog)
    blog.commit("the first")
    with visitors(blog) as asking:
        first = blog.start()
        reached(blog, first, "build")
        blog.commit("the second")
        second = blog.start("--lock-wait", "100")
        goes.touch()
        assert first.ended().code == 0, first.said
        assert second.ended().code == 0, second.said
    assert {"the first", "the second"} <= set(asking.answers)
    blog.steady("the second")


def test_a_network_that_is_cut(blog: Blog, sshd: Sshd) -> None:
    """While containers start, and at the cut-over: the host goes back by itself, and the next run deploys."""
    before = blog.version
    with visitors(blog):
        for moment in ("start", "cut"):
            blog.commit(f"cut off in {moment}")
            with Relay(sshd.port, rtt=0.02) as relay:
                blog.host = login(sshd, relay.port)
                running = blog.start("--drain", "5")
                reached(blog, running, moment)
                relay.cut()
            assert running.ended().code in (1, 4, 7), running.said
            blog.undo()
            blog.steady(before)
        blog.host = login(sshd)
        blog.commit("connected again")
        blog.deploy()
    blog.steady("connected again")


@pytest.mark.parametrize("moment", ["build", "start", "cut", "retire"])
def test_an_interrupted_deploy(blog: Blog, moment: str) -> None:
    """Ctrl-C in any step: exit code 130, and the old version as it was; once the old one goes, the new one whole."""
    before = blog.version
    if moment == "build":
        hold_build(blog)
    version = f"interrupted in {moment}"
    blog.commit(version)
    with visitors(blog):
        running = blog.start("--drain", "3")
        reached(blog, running, moment)
        running.process.send_signal(signal.SIGINT)
        ended = running.ended(60)
        assert wait_until(blog.is_at_rest, 60), sorted(blog.state.rglob("*"))
    (blog.directory / "building").unlink(missing_ok=True)
    assert ended.code == (0 if moment == "retire" and ended.code == 0 else 130), ended.err
    if moment != "retire":
        blog.undo()
    blog.steady(version if moment == "retire" else before)


def test_an_engine_that_restarts(blog: Blog) -> None:
    """In the middle of a roll and after it: the file leads to what exists, and the next run ends with one version."""
    assert blog.proxy
    before = blog.version
    blog.commit("beside a reboot")
    running = blog.start("--drain", "5")
    reached(blog, running, "cut")
    blog.engine.restart()
    ended = running.ended()
    assert ended.code in (0, 1, 7), ended.err
    assert wait_until(lambda: blog.proxy and blog.proxy.read() in (before, "beside a reboot"), 60)
    blog.deploy()
    blog.steady("beside a reboot")
    blog.engine.restart()
    blog.proxy.wait("beside a reboot")
    blog.steady("beside a reboot")


@pytest.mark.timeout(120 + 60 * KILLS)
def test_killed_at_random(blog: Blog) -> None:
    """SIGKILL of client and host's shell at any moment, of one or both: no request fails, and the next run converges."""
    seed = os.environ.get("DEPLOYER_SEED") or str(time.time_ns())
    moments = random.Random(seed)
    with visitors(blog) as asking:
        for each in range(KILLS):
            moment, later = moments.choice(["fetch", "start", "cut", "retire"]), moments.uniform(0, 1)
            whom = moments.choice(["client", "shell", "both"])
            told = f"DEPLOYER_SEED={seed}, {each}: {whom}, {later:.2f} s after {moment}, from {blog.version!r}"
            blog.commit(f"kill {each}")
            running = blog.start("--drain", "3")
            reached(blog, running, moment)
            time.sleep(later)
            kill(blog, running, whom)
            again = blog.run("--lock-wait", "60")
            assert again.code == 0, f"{told}\n{running.said}\n{again.err}"
            assert asking.failures == [], told
            blog.steady(f"kill {each}")


def kill(blog: Blog, running: Running, whom: str) -> None:
    """SIGKILL to the client, the host's shell or both, if they run still."""
    if whom != "client":
        blog.kill_host()
    if whom != "shell":
        running.process.kill()
    running.ended()
