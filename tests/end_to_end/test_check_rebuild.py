"""`deployer check` on hosts that rebuild: real repositories, sshd and Docker; each thing that is wrong has its mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.checkout_host import Repository, git, isolate
from tests.end_to_end.deployment import Deployment, listing
from tests.end_to_end.hosts import programs_without
from tests.engine import Engine
from tests.sshd import sshd_for_tests

pytestmark = pytest.mark.timeout(180)

MAKEFILE = "VERSION = $(shell touch ran)\nbuild:\n\ttrue\nup:\n\ttrue\n"
ORDER = ["config", "connection", "clock", "tools", "parent", "state", "disk", "inodes", "lock", "checkout", "remote"]
COMMANDS = ["build", "up", "compose"]
SECRET = "ghp_hush4711hush4711hush4711hush4711hush"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    isolate(tmp_path, monkeypatch)
    made = Repository(tmp_path)
    made.commit({"Makefile": MAKEFILE, "page": "one\n"})
    return made


@pytest.fixture
def site(tmp_path: Path, repository: Repository) -> Deployment:
    """An app whose checkout is on this machine, which has no docker."""
    made = Deployment(tmp_path / "app")
    made.home = tmp_path / "home"
    repository.clone(made.parent / "blog")
    made.settings |= {"app": "blog", "strategy": "rebuild", "rebuild": {"path": str(made.parent / "blog")}}
    made.variables["PATH"] = programs_without(tmp_path / "programs", "docker", "docker-compose")
    made.variables["TMPDIR"] = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    return made


def findings(site: Deployment, code: int, *flags: str, **variables: str) -> list[dict[str, str]]:
    ended = site.command("check", "--json", *flags, variables=variables)
    assert ended.code == code, ended.out + ended.err
    assert "Traceback" not in ended.err
    assert SECRET not in ended.out + ended.err
    assert list(Path(site.variables["TMPDIR"]).iterdir()) == []
    found: list[dict[str, str]] = ended.json["checks"]
    for each in found:
        assert bool(each["mend"]) == (each["state"] != "ok"), each
    return found


def bad(found: list[dict[str, str]]) -> dict[str, str]:
    """What is not fine: the names, each with what was found and its mend."""
    return {
        each["name"]: f"{each['state']}: {each['found']} > {each['mend']}" for each in found if each["state"] != "ok"
    }


def names(found: list[dict[str, str]]) -> list[str]:
    return [each["name"] for each in found]


def tell(found: list[dict[str, str]], name: str) -> str:
    return next(each["found"] for each in found if each["name"] == name)


def test_a_checkout_that_is_ready(site: Deployment, repository: Repository) -> None:
    """Everything is fine, and nothing was changed, run or left: not in the checkout, not beside it."""
    before = listing(site.parent)
    found = findings(site, 0)
    assert (bad(found), names(found)) == ({}, ORDER + COMMANDS)
    assert tell(found, "checkout") == f"{site.parent}/blog, branch main at {repository.head()[:7]}, of {repository.url}"
    assert tell(found, "remote") == f"{repository.url} has main at {repository.head()[:7]}"
    assert "git 2." in tell(found, "tools")
    assert listing(site.parent) == before


def test_over_ssh(tmp_path: Path, site: Deployment, repository: Repository) -> None:
    """From a login's home, with the steps of the connection before everything else."""
    with sshd_for_tests(tmp_path, config=[f"SetEnv PATH={site.variables['PATH']} HOME={site.parent}"]) as sshd:
        site.host = {"address": "127.0.0.1", "port": sshd.port, "user": sshd.user, "key": str(sshd.key_file)}
        site.host |= {"host_key": [sshd.pin()]}
        site.settings["rebuild"] = {"path": str(site.parent / "blog"), "ref": "main"}
        found = findings(site, 0)
    expected = [ORDER[0], "dns", "connection", "host_key", "login", *ORDER[2:], *COMMANDS]
    assert (bad(found), names(found)) == ({}, expected)
    assert repository.head()[:7] in tell(found, "remote")


def test_what_stops_in_the_checkout(site: Deployment) -> None:
    """Local changes, commits that are nowhere else, and a merge: each with what mends it, and nothing else."""
    checkout = site.parent / "blog"
    (checkout / "own").write_text("x")
    git(checkout, "add", "own")
    git(checkout, "commit", "--quiet", "--message", "mended on the server")
    (checkout / "page").write_text("edited")
    (checkout / ".git" / "MERGE_HEAD").write_text(f"{git(checkout, 'rev-parse', 'HEAD')}\n")
    wrong = bad(findings(site, 1))
    assert sorted(wrong) == ["changes", "commits", "unfinished"]
    assert "error: tracked files were changed on the host: page > " in wrong["changes"]
    assert "--stash" in wrong["changes"]
    assert "mended on the server" in wrong["commits"]
    assert "reset --hard HEAD~1" in wrong["commits"]
    assert "merge --abort" in wrong["unfinished"]
    (checkout / ".git" / "MERGE_HEAD").unlink()
    assert sorted(bad(findings(site, 0, "--stash", "--update", "rebase"))) == ["changes"]


def test_a_command_that_cannot_begin(site: Deployment, repository: Repository) -> None:
    """A program that is not there; a target that the Makefile has not, but the commit to come may have. Make is not run."""
    flags = ("--build", "no-such-program x", "--up", "make up later", "--after-up", "cd x && ./y")
    wrong = bad(findings(site, 1, *flags))
    assert sorted(wrong) == ["build", "up"]
    assert "error: the host has no program no-such-program" in wrong["build"]
    assert "error" in wrong["up"]
    assert "has no target later for `make up later`" in wrong["up"]
    repository.commit({"Makefile": f"{MAKEFILE}later:\n\ttrue\n"})
    wrong = bad(findings(site, 0, *flags[2:]))
    assert list(wrong) == ["up"]
    assert wrong["up"].startswith("warning: ")
    assert not (site.parent / "blog" / "ran").exists()


def test_no_checkout_yet(site: Deployment, repository: Repository) -> None:
    """With a repository to clone, its head is told; without one, that is the mend."""
    site.settings["rebuild"]["path"] = str(site.parent / "other")
    assert "--repository" in bad(findings(site, 1))["checkout"]
    found = findings(site, 0, "--repository", repository.url)
    assert tell(found, "remote") == f"{repository.url} has main at {repository.head()[:7]}"
    assert not (site.parent / "other").exists()


def test_what_is_no_checkout(site: Deployment) -> None:
    """A directory with something else in it, a file, and one whose parent is not there."""
    (site.parent / "plain").mkdir()
    (site.parent / "plain" / "x").touch()
    for path, words in (("plain", "is no git checkout"), ("plain/x", "is a file"), ("no/where", "does not exist")):
        wrong = bad(findings(site, 1, "--path", str(site.parent / path)))
        assert words in str(wrong), path
        assert "remote" not in wrong


def test_a_remote_that_cannot_be_asked(site: Deployment, repository: Repository) -> None:
    """The reason is the host's own, without the token, and nothing that held it is left."""
    git(site.parent / "blog", "remote", "set-url", "origin", "http://127.0.0.1:1/o/blog.git")
    wrong = bad(findings(site, 1, DEPLOYER_GITHUB_TOKEN=SECRET))
    assert list(wrong) == ["remote"]
    assert "cannot ask http://127.0.0.1:1/o/blog.git for its commits" in wrong["remote"]
    git(site.parent / "blog", "remote", "set-url", "origin", repository.url)
    assert 'no branch or tag "nowhere"' in bad(findings(site, 2, "--ref", "nowhere"))["remote"]
    other = bad(findings(site, 1, "--repository", "https://github.com/o/other.git"))
    assert "not of rebuild.repository" in other["remote"]


def test_a_host_without_git(tmp_path: Path, site: Deployment) -> None:
    """One error, and nothing follows from it."""
    site.variables["PATH"] = programs_without(tmp_path / "fewer", "docker", "docker-compose", "git")
    wrong = bad(findings(site, 1))
    assert "the host has no git" in wrong["tools"]


def test_compose_without_docker(site: Deployment, repository: Repository) -> None:
    """A Compose file needs an engine, and the mend says where to get one."""
    (site.parent / "blog" / "compose.yml").write_text("services: {blog: {image: main}}\n")
    assert "docs.docker.com" in bad(findings(site, 1))["docker"]


# --- with a real engine -------------------------------------------------------------------------------------------------

PROJECT: dict[str, Any] = {
    "services": {
        "blog": {"image": "main:latest", "command": ["sleep", "6000"], "stop_signal": "SIGKILL"},
        "bot": {
            "image": "main:latest",
            "command": ["sleep", "6000"],
            "stop_signal": "SIGKILL",
            "container_name": "the-bot",
        },
    }
}


@pytest.fixture
def running(engine: Engine, site: Deployment) -> Deployment:
    """The app's Compose project runs, and its host may ask the engine."""
    engine.provide("busybox:latest")
    engine.docker("tag", "busybox:latest", "main:latest")
    (site.parent / "blog" / "compose.yaml").write_text(json.dumps(PROJECT))
    engine.compose(site.parent / "blog", "up", "--detach")
    del site.variables["PATH"]
    site.variables |= {name: value for name, value in engine.environment.items() if name in ("DOCKER_HOST", "PATH")}
    return site


def keep(site: Deployment, images: str) -> None:
    """A kept release whose services had these images."""
    record = site.parent / ".deployer" / "blog" / "state" / "records" / "20261120T080000Z-aaaaaaa"
    record.mkdir(parents=True)
    (record / "images").write_text(images)
    (record / "served").touch()


def test_a_project_that_runs(running: Deployment, engine: Engine) -> None:
    """Engine, file, project and containers are told; a service that is to roll is judged, with the mend."""
    found = findings(running, 0)
    assert list(bad(found)) == ["roll"]
    assert "--roll blog:80" in bad(found)["roll"]
    assert names(found)[-5:] == ["docker", "compose", "containers", "roll", "docker_disk"]
    assert tell(found, "containers") == "running: blog, bot"
    assert f"{running.parent}/blog/compose.yaml, project blog" in tell(found, "compose")
    found = findings(running, 1, "--roll", "blog:80", "--roll", "bot:80", "--roll", "page:80")
    rolled = [f"{each['state']} {each['found']} > {each['mend']}" for each in found if each["name"] == "roll"]
    assert rolled[0].startswith("ok blog:80, 1 replica, without a health check")
    assert "`container_name: the-bot`" in rolled[1]
    assert "remove that line" in rolled[1]
    assert "names page, which is no service" in rolled[2]
    engine.docker("pause", "blog-blog-1")
    image = engine.docker("image", "inspect", "--format={{.Id}}", "main:latest")
    keep(running, f"blog sha256:{'0' * 64} main:latest\nbot {image} main:latest\n")
    wrong = bad(findings(running, 0, "--roll", "blog:80"))
    assert "blog-blog-1 is paused" in wrong["containers"]
    assert "are gone (blog): going back" in wrong["images"]
    engine.docker("unpause", "blog-blog-1")


def test_what_docker_and_compose_refuse(running: Deployment) -> None:
    """A file that is invalid with Compose's own words, one that is named and not there, an engine that is away."""
    file = running.parent / "blog" / "compose.yaml"
    file.write_text("services: {blog: {imagine: main}}\n")
    assert "imagine" in bad(findings(running, 1))["compose"]
    assert "does not exist" in bad(findings(running, 1, "--compose-file", "gone.yml"))["compose"]
    running.variables["DOCKER_HOST"] = f"unix://{running.parent}/nothing"
    assert "systemctl start docker" in bad(findings(running, 1))["docker"]


def test_traefiks_directory(site: Deployment) -> None:
    """A file that cannot be read, a service that nobody adopted, and an API that does not answer, all at once."""
    conf = site.parent / "conf"
    conf.mkdir()
    server = '{loadBalancer: {servers: [{url: "http://blog"}]}}'
    (conf / "routers.yml").write_text(f"http:\n  services:\n    blog: {server}\n")
    (conf / "broken.yml").write_text("http: {\n")
    flags = ("--roll", "blog:80", "--traefik-directory", str(conf), "--traefik-api", "http://127.0.0.1:1")
    found = findings(site, 2, *flags)
    said = " ".join(each["found"] + each["mend"] for each in found if each["name"] == "traefik")
    for words in ("broken.yml", "deployer proxy adopt", "does not answer at http://127.0.0.1:1"):
        assert words in said
    assert "no Compose file" in bad(found)["compose"]
    assert sorted(path.name for path in conf.iterdir()) == ["broken.yml", "routers.yml"]


def test_a_file_that_is_mounted_alone(site: Deployment, engine: Engine) -> None:
    """The container that mounts it would never see deployer's changes; the mend is to mount the directory."""
    conf = site.parent / "conf"
    conf.mkdir()
    (conf / "routers.yml").touch()
    engine.provide("busybox:latest")
    mount = f"--volume={conf}/routers.yml:/routers.yml:ro"
    engine.docker("run", "--detach", "--name=proxy", "--stop-signal=KILL", mount, "busybox:latest", "sleep", "600")
    site.variables |= {name: value for name, value in engine.environment.items() if name in ("DOCKER_HOST", "PATH")}
    flags = ("--roll", "blog:80", "--traefik-directory", str(conf), "--traefik-api", "http://127.0.0.1:1")
    said = [f"{each['found']} > {each['mend']}" for each in findings(site, 2, *flags) if each["name"] == "traefik"]
    assert any("routers.yml is mounted by itself into the container proxy" in each for each in said), said
