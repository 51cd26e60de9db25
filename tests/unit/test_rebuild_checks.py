"""What `deployer check` says of a host that rebuilds, out of the facts that it told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployer.config import Config, load
from deployer.errors import DeployerError, DeployFailed
from deployer.finding import Finding, State
from deployer.plan import Reply
from deployer.premises import Seen
from deployer.rebuild.checks import host_findings
from deployer.rebuild.command_checks import make_targets, words

NOW = 1_800_000_000
HEAD, OTHER = "a" * 40, "b" * 40
RELEASE = "20261120T080000Z-aaaaaaa"
COMPOSE = "/srv/blog/docker-compose.yml"
BLOG = {"image": "main:latest", "build": True, "healthcheck": {"test": ["CMD", "x"]}, "deploy": {"replicas": 2}}
HEALTHY: dict[str, str | list[str]] = {
    "now": str(NOW),
    "user": "anna",
    "proc": "yes",
    "shell": "/usr/bin/dash",
    "git": "git version 2.39.5",
    "parent": "1000 anna 755 66 yes",
    "checkout_directory": "1000 anna 755 66 yes",
    "blocks": "/dev/sda1 10000000 2000000 8000000 20% /",
    "inodes": "/dev/sda1 100000 20000 80000 20% /",
    "live": RELEASE,
    "path": "/srv/blog",
    "checkout": "yes",
    "head": HEAD,
    "branch": "main",
    "remote": "https://github.com/anna/blog.git",
    "makefile": "Makefile",
    "http_tool": "curl",
    "docker": "ok",
    "docker_version": "27.1",
    "compose": "2.29.0",
    "compose_file": COMPOSE,
    "project": "blog",
    "rendered": json.dumps({"services": {"blog": BLOG}}),
    "container": [f"blog blog-blog-{number} c{number} sha256:1 running healthy" for number in (1, 2)],
    "image": ["blog sha256:1 main:latest 100000000"],
    "docker_free_kilobytes": "8000000",
    "docker_root": "/var/lib/docker",
}
NAMES = ["clock", "tools", "parent", "state", "disk", "inodes", "lock", "checkout", "remote", "build"]
DOCKER = ["docker", "compose", "containers", "roll", "docker_disk"]


def configured(**flags: Any) -> Config:
    named = {key.replace("__", "."): value for key, value in flags.items()}
    basic = {"app": "blog", "strategy": "rebuild", "host": ("local",), "rebuild.path": "/srv/blog"}
    return load(None, flags=basic | {"rebuild.roll": ("blog:80",)} | named, variables={}, directory=Path("/"))


def looked(
    *without: str, answer: str | DeployerError | None = HEAD, flags: Any = None, **changed: Any
) -> list[Finding]:
    """The findings for the healthy host with some facts changed."""
    facts = {name: value for name, value in (HEALTHY | changed).items() if name not in without}
    pairs = [
        (name, str(text).encode())
        for name, value in facts.items()
        for text in (value if isinstance(value, list) else [value])
    ]
    seen = Seen("blog", "/srv/blog", Reply(tuple(pairs)), NOW, NOW + 0.5)
    remote = has_main_at(answer) if isinstance(answer, str) else answer
    return list(host_findings(configured(**(flags or {})), seen, remote))


def has_main_at(commit: str) -> Reply:
    return Reply((("commit", commit.encode()), ("refname", b"refs/heads/main")))


def look(*without: str, **changed: Any) -> dict[str, Finding]:
    """The same by name; of a name that is there twice, the last."""
    return {finding.name: finding for finding in looked(*without, **changed)}


def rendered(**services: Any) -> str:
    return json.dumps({"services": services})


def test_a_healthy_host_is_fine() -> None:
    """Nothing to mend, and each line still says what was found."""
    found = look()
    assert [each for each in found.values() if each.state is not State.OK or each.mend] == []
    assert list(found) == NAMES + DOCKER
    assert found["tools"].found == "dash, git 2.39.5, curl"
    assert found["checkout"].found == "/srv/blog, branch main at aaaaaaa, of https://github.com/anna/blog.git"
    assert found["remote"].found == "https://github.com/anna/blog.git has main at aaaaaaa"
    assert found["containers"].found == "running: blog (2)"
    assert found["roll"].found.startswith("blog:80, 2 replicas, with a health check, by Compose's DNS")


@pytest.mark.parametrize(
    ("changed", "name", "state", "words"),
    [
        ({"missing": ["git", "awk"]}, "tools", State.ERROR, "no git, awk"),
        ({"git": "git version 1.8.3.1"}, "tools", State.ERROR, "older than 2.17"),
        ({"git": ""}, "tools", State.ERROR, "git on the host does not work"),
        ({"proc": ""}, "tools", State.ERROR, "/proc"),
        ({"http_tool": ""}, "tools", State.WARNING, "nothing that asks by HTTP"),
        ({"now": str(NOW + 4000)}, "clock", State.WARNING, "66 min ahead"),
        ({"parent": "0 root 755 66 no"}, "parent", State.ERROR, "anna cannot write to /srv"),
        ({"blocks": "/dev/sda1 10000000 9999900 100 99% /"}, "disk", State.ERROR, "is full"),
        ({"inodes": "/dev/sda1 100000 100000 0 99% /"}, "inodes", State.ERROR, "no more files"),
        ({"lock": "ben since noon"}, "lock", State.WARNING, "held by ben"),
        ({"lock": "ben", "lock_stale": "dead"}, "lock", State.WARNING, "left by a deploy that has ended"),
        ({"pending": f"{RELEASE} -"}, "interrupted", State.WARNING, "20261120T080000Z-aaaaaaa"),
        ({"failed": [RELEASE]}, "failed", State.WARNING, "20261120T080000Z-aaaaaaa"),
        ({"app": "other"}, "state", State.OK, "not there yet"),
        ({"path_closed": "yes"}, "checkout", State.ERROR, "anna may not enter /srv/blog, which belongs to anna"),
        ({"path_is": "file"}, "checkout", State.ERROR, "is a file"),
        ({"checkout_directory": "0 root 755 66 no"}, "checkout", State.ERROR, "belongs to root, not to anna"),
        ({"checkout": "no", "checkout_reason": "it is odd"}, "checkout", State.ERROR, "no git checkout: it is odd"),
        ({"checkout": "absent"}, "checkout", State.ERROR, "no rebuild.repository to clone"),
        ({"remote": ""}, "checkout", State.ERROR, "has no remote"),
        ({"lfs": "missing"}, "checkout", State.ERROR, "no git-lfs"),
        ({"interrupted": "rebase"}, "unfinished", State.WARNING, "the next deploy ends it"),
        ({"interrupted": "merge"}, "unfinished", State.ERROR, "a git merge has begun"),
        ({"changed": " M page\nM  b"}, "changes", State.ERROR, "page, b"),
        ({"changed": "".join(f" M {n}\n" for n in range(9))}, "changes", State.ERROR, "0, 1, 2, 3, 4 and 4 more"),
        ({"own": "abc mend", "own_count": "2"}, "commits", State.ERROR, "nowhere else: abc mend"),
        ({"absent": "make"}, "build", State.ERROR, "no program make"),
        ({"no_target": "build"}, "build", State.ERROR, "/srv/blog/Makefile has no target build"),
        ({"makefile": ""}, "build", State.ERROR, "has no Makefile"),
        ({"no_target": "build", "answer": OTHER}, "build", State.WARNING, "at aaaaaaa"),
        ({"docker": "none"}, "docker", State.ERROR, "not installed"),
        ({"docker": "down", "docker_said": "no answer"}, "docker", State.ERROR, "does not answer: no answer"),
        ({"docker": "denied"}, "docker", State.ERROR, "anna may not use"),
        ({"compose": ""}, "compose", State.ERROR, "not installed"),
        ({"compose": "1.29.2", "compose_error": "x"}, "compose", State.ERROR, "1.29.2 is too old"),
        ({"compose_error": "the Compose file is\ninvalid"}, "compose", State.ERROR, "the Compose file is invalid"),
        ({"compose_file": "", "compose_error": "several: name one"}, "compose", State.ERROR, "several"),
        ({"compose_file": ""}, "compose", State.ERROR, "nothing to roll"),
        ({"warning": "two projects; remove one"}, "compose", State.WARNING, "two projects"),
        ({"rendered": "{}"}, "compose", State.ERROR, "does not know"),
        ({"container": ["blog b1 c1 i restarting none"]}, "containers", State.WARNING, "b1 is restarting"),
        ({"container": ["blog b1 c1 i running unhealthy"]}, "containers", State.WARNING, "b1 is running, unhealthy"),
        ({"container": ["blog b1 c1 i exited none"]}, "containers", State.WARNING, "b1 is exited"),
        ({"container": []}, "containers", State.WARNING, "none runs, though 20261120T080000Z-aaaaaaa is live"),
        ({"container": [], "live": ""}, "containers", State.OK, "none runs yet"),
        ({"docker_free_kilobytes": "1000"}, "docker_disk", State.ERROR, "/var/lib/docker"),
        ({"lost": [f"{RELEASE} blog", f"{RELEASE} db"]}, "images", State.WARNING, "are gone (blog, db)"),
        ({"trouble": "what fail said"}, "host", State.ERROR, "what fail said"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong(changed: dict[str, Any], name: str, state: State, words: str) -> None:
    """One finding says it, with a mend where something is to do."""
    found = look(**changed)
    assert (found[name].state, words in found[name].found) == (state, True), found[name]
    assert bool(found[name].mend) == (state is not State.OK)


def test_another_apps_state() -> None:
    """Its directory belongs to another app: the run would end with code 2."""
    found = look(deployer="1000 anna 711 66 yes", root="1000 anna 711 66 yes", app="other")["state"]
    assert (found.code, "'other'" in found.found) == (2, True)


def test_without_a_compose_file_nothing_else_is_said_of_docker() -> None:
    """Not even where there is none."""
    found = look("docker", compose_file="", flags={"rebuild.roll": ()})
    assert list(found) == [*NAMES, "up", "compose"]
    assert found["compose"].state is State.OK


def test_a_first_clone() -> None:
    """Nothing to look at yet but its remote."""
    flags = {"rebuild.repository": "https://github.com/anna/blog.git"}
    found = look("remote", "head", checkout="absent", compose_file="", flags=flags)
    assert list(found) == NAMES
    assert found["checkout"].found.endswith("the first deploy clones https://github.com/anna/blog.git")
    assert found["remote"].found.startswith("https://github.com/anna/blog.git has main")


def test_why_the_remote_does_not_say() -> None:
    """With the host's own words, the hint that came with them, and its code."""
    found = look(answer=DeployFailed("cannot ask x (no route)"))["remote"]
    assert (found.code, found.found) == (1, "cannot ask x (no route)")
    assert "git -C /srv/blog ls-remote" in found.mend
    assert look(answer=DeployFailed("x", hint="do this"))["remote"].mend == "do this"
    assert "remote" not in look(answer=None)


def test_changes_that_are_put_away_and_commits_that_are_carried_over() -> None:
    """What the configuration allows does not stop a deploy."""
    found = look(changed=" M page", own="abc mend", flags={"rebuild.stash": True, "rebuild.update": "rebase"})
    assert (found["changes"].state, found["commits"].state) == (State.WARNING, State.OK)


def test_compose_is_no_must_where_nothing_rolls() -> None:
    """`up` may bring its own."""
    flags = {"rebuild.roll": ()}
    assert look(compose="", flags=flags)["compose"].state is State.WARNING
    assert look(compose="1.29.2", compose_error="x", rendered="", flags=flags)["compose"].state is State.WARNING
    assert "up" in look(flags=flags)


def test_every_obstacle_of_every_service_is_said() -> None:
    """With its mend, and what else could be done; a service that is unknown is told with those that are known."""
    services = rendered(
        blog={"image": "main", "container_name": "x", "ports": [{"published": "80", "target": 80}]},
        db={"image": "mongo"},
    )
    flags = {"rebuild.roll": ("blog:80", "page:80")}
    found = [each for each in looked(rendered=services, flags=flags) if each.name == "roll"]
    assert [each.state for each in found] == [State.ERROR] * 3
    assert "`container_name: x`" in found[0].found
    assert "remove that line" in found[0].mend
    assert "`up` replaces it with a gap" in found[1].mend
    assert "its services: blog, db" in found[2].mend


def test_what_only_its_author_can_judge() -> None:
    """Two containers at the same time write to one volume: a warning, as it may well be meant."""
    volume = {"type": "bind", "source": "/data", "target": "/data"}
    found = looked(rendered=rendered(blog={"image": "main", "volumes": [volume]}))
    said = [each for each in found if each.name == "roll"]
    assert [each.state for each in said] == [State.OK, State.WARNING]
    assert "/data" in said[1].found


@pytest.mark.parametrize(
    ("services", "state", "words"),
    [
        ({"blog": {"image": "main"}, "db": {"image": "mongo:6"}}, State.WARNING, "name blog with the port"),
        ({"bot": {"image": "bot", "container_name": "x"}}, State.WARNING, "bot: it has `container_name: x`"),
        ({"db": {"image": "docker.io/library/mongo:6", "container_name": "x"}}, State.OK, "only databases"),
    ],
)
def test_a_gap_that_could_be_avoided(services: dict[str, Any], state: State, words: str) -> None:
    """Where nothing rolls: which service could, or why none can; databases are left alone anyway."""
    found = look(rendered=rendered(**services), flags={"rebuild.roll": ()})["roll"]
    assert (found.state, words in found.found + found.mend) == (state, True), found


def test_traefik_needs_something_that_asks() -> None:
    """Without it no cut-over could be acknowledged, so that is an error there."""
    flags = {"traefik.directory": "/conf", "traefik.api": "http://127.0.0.1:8080"}
    assert look(http_tool="", flags=flags)["tools"].state is State.ERROR


@pytest.mark.parametrize(
    ("command", "targets"),
    [
        ("make build", ("build",)),
        ("make build up", ("build", "up")),
        ("make V=1 build", ("build",)),
        ("make", ()),
        ("make -C docker build", ()),
        ("make build && x", ()),
        ("make $T", ()),
        ("docker compose up", ()),
        ("make 'x", ()),
    ],
)
def test_targets_of_a_plain_make(command: str, targets: tuple[str, ...]) -> None:
    """Only where nothing but the Makefile of the checkout decides."""
    assert make_targets(command) == targets


def test_words_to_look_for() -> None:
    """Of each command that runs, once; `up` does not run where something rolls."""
    assert words(configured(rebuild__after_up="make warm", rebuild__up="never x")) == (
        "program make",
        "target build",
        "target warm",
    )
    assert words(configured(rebuild__roll=(), rebuild__before_up="A=1 ./x", rebuild__up="$X"))[-1] == "program ./x"
