"""The kinds of projects that the rebuild strategy was made for, each as its owner has it on the server."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.end_to_end.docker_server import Blog, Proxy, prepare, server_session
from tests.end_to_end.repository import git
from tests.engine import Engine
from tests.load import Load
from tests.sshd import Sshd, sshd_for_tests

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "blog-site" / "blog"
SECRET = "hush4711hush"
PAUSE = 10  # milliseconds between two requests of a connection

# As people wrote them for Traefik 2, and kept: several hosts in one rule, a regular expression in braces.
ROUTERS = """\
# All my sites. Ask Anna before you touch this.
http:
  routers:
    to-https:
      rule: "HostRegexp(`{host:old[0-9]+}.example.org`)"
      middlewares: [to-blog]
      service: blog
    blog:
      rule: "Host(`blog.example.org`, `www.example.org`)"
      middlewares: [pages, squeeze]
      service: blog
    tag:
      rule: "HostRegexp(`{tag:[a-z]+}.blog.example.org`)"
      service: blog
    diary:
      rule: "Host(`diary.example.org`)"
      middlewares: [friends]
      service: diary   # not public

  middlewares:
    pages:
      errors:
        status: ["500-599"]
        service: errors
        query: "/{status}.html"
    squeeze:
      compress: {}
    to-blog:
      redirectRegex: {regex: ".*", replacement: "http://blog.example.org/"}
    friends:
      basicAuth:
        users: ["anna:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]

  services:
    errors:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:9"}]
    # the blog's containers
    blog:
      loadBalancer:
        servers:
          - url: "http://blog"
    diary:
      loadBalancer:
        servers:
          - url: "http://diary"
"""


@pytest.fixture
def session(engine: Engine, tmp_path: Path) -> Iterator[Sshd]:
    """An OpenSSH server whose logins use the engine, and have a secret in their environment as servers do."""
    for program in ("git", "make"):
        need(program, "to deploy a project")
    prepare(engine)
    (config,) = server_session(engine, tmp_path / "home")
    with sshd_for_tests(tmp_path, config=(f"{config} DIARY_TOKEN={SECRET}",)) as server:
        yield server


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_makefile_behind_a_hand_written_proxy(engine: Engine, session: Sshd, tmp_path: Path) -> None:
    """Built with `git describe` and buildx; what Traefik has of the blog is adopted first, then it rolls unnoticed."""
    need("wrk", "to ask for pages without a pause")
    proxy = Proxy(engine, tmp_path / "conf")
    proxy.own.unlink()
    original = proxy.directory / "routers.yml"
    original.write_text(ROUTERS)
    proxy.start("--core.defaultrulesyntax=v2")
    blog = Blog(tmp_path / "blog", engine, sshd=session, proxy=proxy)
    shutil.copytree(EXAMPLE, blog.work, dirs_exist_ok=True)
    blog.commit("first", push=False)
    git(blog.work, "tag", "v1")
    blog.publish()
    blog.by_hand("make", "build", "up")
    proxy.wait("version v1", host="blog.example.org")
    blog.run().failed(2, "deployer proxy adopt", "routers.yml")
    assert '-          - url: "http://blog"\n' in blog.command("proxy", "adopt").out
    with (
        Load(proxy.url, connections=4, host="blog.example.org", pause=PAUSE) as kept,
        Load(proxy.url, connections=2, host="www.example.org", close=True, pause=PAUSE) as fresh,
        Load(proxy.url, connections=2, host="news.blog.example.org", pause=PAUSE) as tagged,
    ):
        adopted = blog.command("proxy", "adopt", "--yes")
        assert adopted.code == 0, adopted.err
        before = blog.containers()
        blog.deploy()
        assert blog.containers() == before
        (blog.work / "posts" / "second.txt").write_text("News.\n")
        commit = blog.commit("second")
        answer = blog.deploy("--drain", "1")
        outcomes = [each.stop() for each in (kept, fresh, tagged)]
    assert [str(each) for each in outcomes if each.failed] == []
    assert answer["commit"] == commit
    proxy.wait(f"version v1-1-g{commit[:7]}", host="blog.example.org")
    assert blog.image(f"main:v1-1-g{commit[:7]}") == blog.image("main:latest")
    assert not set(blog.containers()) & set(before)
    text = original.read_text()
    assert text == ROUTERS.replace(text_of_blog(), "")
    assert '"http://blog"' in proxy.own.read_text()
    assert proxy.ask("diary.example.org")[0] == 401
    assert proxy.ask("old7.example.org")[0] in (302, 307)


def text_of_blog() -> str:
    """The lines of ROUTERS that are the service; the comment above it stays."""
    return ROUTERS[ROUTERS.index("    blog:\n      loadBalancer") : ROUTERS.index("    diary:\n      loadBalancer")]


SHOP_MAKEFILE = """\
build:
\tdocker build --quiet --build-arg VERSION=$(shell cat version) --tag shop:latest -f docker/Dockerfile docker
up:
\tcd docker && docker-compose up -d
"""
SHOP = """\
services:
  shop:
    image: shop:latest
    restart: always
  mongo:
    image: mongo:4
    container_name: mongo
    restart: always
    stop_grace_period: 0s
    command: sh -c "date >>/data/db/started; exec sleep 100000"
    ports: ["127.0.0.1:%(port)d:27017"]
    volumes: ["../data/mongo:/data/db"]
"""


def test_a_database_beside_is_left_alone(engine: Engine, session: Sshd, tmp_path: Path) -> None:
    """docker/docker-compose.yml under the old name of Compose; neither a deploy by `up` nor a roll touches the database."""
    need("docker-compose", "to call Compose by its old name")
    engine.docker("tag", "busybox", "mongo:4")
    blog = Blog(tmp_path / "shop", engine, sshd=session)
    files = {
        "Makefile": SHOP_MAKEFILE,
        ".gitignore": "data/\n",
        "docker/docker-compose.yml": SHOP % {"port": free_port()},
    }
    files["docker/Dockerfile"] = "FROM app:plain\nARG VERSION\nENV VERSION=$VERSION\n"
    blog.commit("1", files, push=False)
    blog.publish()
    blog.by_hand("make", "build", "up")
    database = engine.docker("inspect", "--format={{.Id}} {{.State.StartedAt}}", "mongo")
    for version, roll in (("2", []), ("3", ["shop:80"])):
        before = blog.containers("shop", "docker")
        blog.configured_as(roll=roll)
        blog.commit(version)
        answer = blog.deploy()
        assert answer["status"] == "deployed"
        assert not {each.split()[0] for each in before.values()} & {
            each.split()[0] for each in blog.containers("shop", "docker").values()
        }
        assert engine.docker("inspect", "--format={{.Id}} {{.State.StartedAt}}", "mongo") == database
    (name,) = blog.containers("shop", "docker")
    assert "VERSION=3" in engine.docker("inspect", "--format={{.Config.Env}}", name)
    assert (blog.checkout / "data" / "mongo" / "started").read_text().count("\n") == 1
    blog.configured_as(roll=["shop:80", "mongo:27017"])
    blog.commit("4")
    blog.run().failed(1, "mongo cannot be replaced without downtime", "container_name", "27017", "a database")


DIARY_MAKEFILE = """\
build:
\tdocker build --quiet --build-arg VERSION=$(shell cat version) --tag diary:latest - <Dockerfile
up:
\tdocker compose up -d
"""
DIARY = """\
services:
  diary:
    image: diary:latest
    container_name: diary
    restart: always
    environment:
      TOKEN: ${DIARY_TOKEN}
    networks: [traefik_proxy]
networks:
  traefik_proxy: {external: true}
"""


def test_a_named_container_is_deployed_with_a_gap(engine: Engine, session: Sshd, tmp_path: Path) -> None:
    """It cannot roll: run, plan and check say why and what to do; `up` deploys it, and what visitors missed is told."""
    proxy = Proxy(engine, tmp_path / "conf")
    proxy.own.unlink()
    (proxy.directory / "routers.yml").write_text(
        ROUTERS.replace("Host(`diary.example.org`)", "PathPrefix(`/`)").replace("[friends]", "[]")
    )
    proxy.start("--core.defaultrulesyntax=v2")
    blog = Blog(tmp_path / "diary", engine, sshd=session)
    dockerfile = "FROM app:plain\nARG VERSION\nENV VERSION=$VERSION\n"
    files = {"Makefile": DIARY_MAKEFILE, "Dockerfile": dockerfile, "docker-compose.yml": DIARY}
    blog.commit("1", files, push=False)
    blog.publish()
    blog.by_hand("env", f"DIARY_TOKEN={SECRET}", "make", "build", "up")
    proxy.wait("1")
    blog.configured_as(roll=["diary:80"])
    first = engine.docker("inspect", "--format={{.Id}}", "diary")
    blog.commit("2")
    for command in ("run", "plan"):
        ended = blog.command(command, "--json")
        ended.failed(1, "diary cannot be replaced without downtime", "container_name: diary", "remove that line")
    checks = blog.command("check", "--json").json["checks"]
    (roll,) = [each for each in checks if each["name"] == "roll"]
    assert roll["state"] == "error"
    assert "remove that line" in roll["mend"]
    assert engine.docker("inspect", "--format={{.Id}}", "diary") == first
    blog.configured_as(roll=[])
    blog.settings |= {"url": proxy.url, "probe": {"rate": 50}}
    ran = blog.run()
    assert ran.code == 0, ran.err
    assert ran.json["probe"]["dropped"] > 0
    assert str(ran.json["probe"]["dropped"]) in ran.err
    assert proxy.read() == "2"
    assert engine.docker("inspect", "--format={{.Id}}", "diary") != first
    assert f"TOKEN={SECRET}" in engine.docker("inspect", "--format={{.Config.Env}}", "diary")
    for path in blog.state.rglob("*"):
        assert path.is_dir() or SECRET not in path.read_text("utf-8", "replace"), path
    assert SECRET not in ran.out + ran.err
    assert blog.is_at_rest()
