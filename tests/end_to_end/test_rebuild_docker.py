"""Rolled deploys from outside: a real engine, Compose, Traefik and OpenSSH, while visitors ask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.conftest import need
from tests.contract.visitors import Visitors
from tests.end_to_end.docker_server import BUILD, COMPOSE, Blog, Proxy, prepare, server_session
from tests.engine import Engine
from tests.load import Load
from tests.sshd import sshd_for_tests

pytestmark = pytest.mark.timeout(300)

PAUSE = 10  # milliseconds: some hundred requests a second, and the machine is there for the deploy, too


@pytest.fixture(scope="module")
def server(started_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blog]:
    """The server of all these tests; each leaves it in the steady state."""
    for program in ("git", "make", "wrk"):
        need(program, "to deploy a project under load")
    folder = tmp_path_factory.mktemp("blogger")
    engine = started_engine
    prepare(engine)
    engine.application("app:checked", checked=True, kept=True)
    proxy = Proxy(engine, folder / "conf")
    with sshd_for_tests(folder, config=server_session(engine, folder / "home")) as sshd:
        proxy.start()
        blog = Blog(folder / "blog", engine, sshd=sshd, proxy=proxy)
        blog.begin()
        yield blog
    engine.clean()


@pytest.fixture
def blog(server: Blog) -> Blog:
    """The server, with the usual deploy.toml, and a release that is live."""
    server.configured_as()
    server.undo()  # what a test that failed has pushed
    if not server.state.exists():
        before = server.containers()
        server.deploy()
        assert server.containers() == before, "the first run replaced a container that was as it had to be"
        server.steady("1")
    return server


@contextlib.contextmanager
def load(blog: Blog) -> Iterator[None]:
    """Kept-alive and fresh connections, GET and POST, and slow answers under way: none of them may fail."""
    assert blog.proxy
    url = blog.proxy.url
    with (
        Load(url, connections=4, pause=PAUSE) as kept,
        Load(url, connections=2, close=True, pause=PAUSE) as fresh,
        Load(url, connections=2, post="a letter", pause=PAUSE) as post,
        Load(f"{url}slow/1", connections=4) as slow,
    ):
        yield
        outcomes = [each.stop() for each in (kept, fresh, post, slow)]
    assert [str(each) for each in outcomes if each.failed] == []
    assert all(each.requests for each in outcomes)


@contextlib.contextmanager
def visitors(blog: Blog) -> Iterator[Visitors]:
    """Some visitors at an easy pace, all of whom have to get their answers."""
    assert blog.proxy
    with Visitors(blog.proxy.url, visitors=2) as asking:
        yield asking
    assert asking.failures == []
    assert asking.answers


@pytest.mark.slow
def test_nobody_notices_a_roll(blog: Blog) -> None:
    """Under load, from the steady state to it: an app that dies at once on SIGTERM, and one that answers 503 for 3 s."""
    with load(blog):
        for behaviour in ("warming", ""):
            version = f"under load {behaviour}".strip()
            commit = blog.commit(version, {"behaviour": behaviour})
            answer = blog.deploy("--drain", "4", "--settle", "1")
            assert (answer["status"], answer["commit"]) == ("deployed", commit)
    blog.steady("under load")
    before = blog.containers()
    blog.by_hand("docker", "compose", "up", "-d")
    assert blog.containers() == before


@pytest.mark.slow
def test_a_push_that_changes_no_image_touches_no_container(blog: Blog) -> None:
    """The same commit is not built, and a commit that builds the same image replaces nothing."""
    before = blog.containers()
    assert "nothing to do" in blog.command("plan").err
    assert blog.deploy()["status"] == "unchanged"
    commit = blog.commit(blog.version, {"README": "Only words.\n"})
    planned = blog.answer("plan")
    steps = ["fetch", "build", "start", "switch", "accept", "retire", "log", "finish"]
    assert (planned["commit"], [step["name"] for step in planned["steps"]]) == (commit, steps)
    with visitors(blog):
        answer = blog.deploy()
    assert (answer["status"], answer["commit"], blog.head) == ("deployed", commit, commit)
    assert blog.containers() == before
    blog.steady(blog.version)


@pytest.mark.slow
def test_replicas(blog: Blog) -> None:
    """One container becomes three, three are replaced in batches of two, and one comes back, all at once."""
    with visitors(blog):
        for version, replicas, batch in (("three", 3, 0), ("batches", 3, 2), ("one", 1, 0)):
            blog.commit(version, {"docker-compose.yml": COMPOSE % {"replicas": replicas}})
            blog.deploy("--roll-batch", str(batch))
            blog.steady(version, replicas=replicas)


@dataclass(frozen=True)
class Bad:
    """What a push changes, how it is deployed, and what the error says."""

    words: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    patience: int = 60
    rebuild: dict[str, object] = field(default_factory=dict)


BAD = {
    "crashes": Bad(("blog-blog-", "cannot open the database"), {"behaviour": "crashing"}),
    "never answers well": Bad(("not ready within 6 s", "500"), {"behaviour": "unwell"}, 6),
    "never healthy": Bad(("within 6 s", "health check"), {"behaviour": "unwell", "base": "app:checked"}, 6),
    "dies soon": Bad(("the new container blog-blog-", "state "), {"behaviour": "fading"}, rebuild={"settle": 3}),
    "healthy, then dies": Bad(
        ("the new container blog-blog-", "state "),
        {"behaviour": "fading", "base": "app:checked"},
        rebuild={"settle": 5},
    ),
    "does not build": Bad(("build failed on the host",), {"Dockerfile": "FROM nothing:here\n"}),
    "invalid Compose file": Bad(("imagine",), {"docker-compose.yml": "services: {blog: {imagine: main}}\n"}),
    "unknown service": Bad(("names shop", "Its services: blog"), rebuild={"roll": ["blog:80", "shop:80"]}),
    "migration fails": Bad(("before_up failed", "no such table"), rebuild={"before_up": "echo no such table; exit 7"}),
    "second migration fails": Bad(("after_up failed",), rebuild={"after_up": "exit 8"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_gets_no_visitor(blog: Blog, kind: str) -> None:
    """Exit code 1 with the reason; the old container serves all the time, and tags, checkout and proxy are as before."""
    bad = BAD[kind]
    blog.settings["health"]["timeout"] = bad.patience
    blog.rebuild.update(bad.rebuild)
    version, before = blog.version, (blog.containers(), blog.head, blog.image(), blog.tags())
    blog.commit(f"bad: {kind}", bad.files)
    with visitors(blog) as asking:
        blog.run().failed(1, *bad.words)
    assert set(asking.answers) == {version} or kind == "second migration fails"
    blog.undo()
    blog.steady(version)
    assert (blog.containers(), blog.head, blog.image(), blog.tags()) == before
    assert blog.answer("status")["live_release"] == blog.tags()[-1]


@pytest.mark.slow
def test_a_version_that_fails_its_gate_is_taken_back(blog: Blog) -> None:
    """Exit code 5: the old containers are there still and serve again; past a one-way migration, it stays: exit code 7."""
    assert blog.proxy
    good = blog.version
    blog.settings["health"] = {"url": blog.proxy.url, "contains": good, "timeout": 60}
    before = (blog.containers(), blog.head, blog.image(), blog.tags())
    blog.commit("out of tune")
    with visitors(blog) as asking:
        ended = blog.run()
        ended.failed(5, "health gate")
    assert ended.json["status"] == "rolled_back"
    assert set(asking.answers) == {good, "out of tune"}
    blog.undo()
    blog.steady(good)
    assert (blog.containers(), blog.head, blog.image(), blog.tags()[:-1]) == before
    assert [each["state"] for each in blog.answer("releases")["releases"]][:2] == ["failed", "live"]
    blog.commit("no way back")
    with visitors(blog):
        blog.run("--no-rollback-past").failed(7, "one-way migration")
    blog.steady("no way back")


@pytest.mark.slow
def test_rollback_brings_kept_images_back(blog: Blog) -> None:
    """Nothing is built, though the build would fail; once somebody has pruned the images, the commit is built again."""
    old = (blog.version, blog.head, blog.image())
    blog.commit("too far", {"build.sh": f"test ! -e '{blog.directory}/broken' || exit 1\n{BUILD}"})
    with visitors(blog):
        blog.deploy()
        (blog.directory / "broken").touch()
        answer = blog.answer("rollback")
        assert (answer["status"], answer["commit"]) == ("rolled_back", old[1])
        blog.steady(old[0])
        assert (blog.head, blog.image()) == old[1:]
        (blog.directory / "broken").unlink()
        with others_images(blog):
            blog.by_hand("docker", "image", "prune", "-a", "-f")
        assert answer["previous_release"] not in blog.tags()
        (gone,) = [
            each for each in blog.answer("releases")["releases"] if each["release"] == answer["previous_release"]
        ]
        assert (gone["state"], gone["lost"]) == ("incomplete", ["blog"])
        assert "blog (gone)" in blog.command("releases").out
        ran = blog.command("rollback", "--json", answer["previous_release"])
        assert ran.code == 0, ran.err
        assert "are gone (blog), so it is built again" in ran.err
        blog.steady("too far")


@contextlib.contextmanager
def others_images(blog: Blog) -> Iterator[None]:
    """What all tests need is in use meanwhile."""
    used = [blog.engine.docker("create", image, "true") for image in sorted(blog.engine.provided)]
    yield
    blog.engine.docker("rm", *used)


@pytest.mark.slow
def test_images_of_dropped_releases_go(blog: Blog) -> None:
    """The kept releases keep theirs, and images that are somebody else's stay, tagged or not."""
    blog.rebuild["keep"] = 2
    mine = blog.engine.application("mine:latest", version="mine")
    dropped = blog.image()
    with visitors(blog):
        for version in ("next", "last"):
            blog.commit(version)
            blog.deploy()
    releases = [each["release"] for each in blog.answer("releases")["releases"]]
    assert blog.tags() == sorted(releases)
    assert len(releases) == 2
    assert dropped not in blog.images()
    assert mine in blog.images()
    blog.steady("last")
