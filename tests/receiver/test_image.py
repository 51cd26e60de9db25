"""The image as people run it: examples/receiver/compose.yml on a real engine, and pushes through Traefik to what is live."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.secret import Secret
from receiver.hooks import sign
from receiver.secrets import hash_password
from tests.conftest import need
from tests.end_to_end.repository import git
from tests.engine import Engine
from tests.receiver.image import ROOT, build_image
from tests.receiver.program import SECRET, free_port, push
from tests.sshd import Sshd, sshd_for_tests

EXAMPLE = ROOT / "examples" / "receiver"
DOMAIN = "deploy.example.org"
USER = 10001
LIVE_SECONDS = 90
"""Until a push is live: three deploys, on a machine that has other work, too."""

RECEIVER_TOML = """\
bind = "0.0.0.0:9000"
public_url = "https://deploy.example.org"
trusted_proxies = ["{subnet}"]
concurrency = 3

[login]
password_hash = {{ file = "/run/secrets/password-hash" }}
"""
APP_TOML = """\
[apps.{name}]
repository = "octo/{name}"
config = "{name}.toml"
secrets = [{{ file = "/run/secrets/webhook-secret" }}]
clone_url = "{folder}/git/{name}.git"
variables = {{ DEPLOYER_KEY = {{ file = "/run/secrets/deploy-key" }} }}
"""
APPS = {
    # Files into a directory of the server that is mounted.
    "site": 'url = "http://web/site/"\nhost = "local"\n[static]\nbuild = "make"\nsource = "public"\n'
    'target = "{folder}/www/site"\n',
    # Files over SSH to the server that the container runs on.
    "remote": 'url = "http://web/remote/"\n[host]\naddress = "host.docker.internal"\nport = {port}\nuser = "{user}"\n'
    'host_key = "{host_key}"\n[static]\nbuild = "make"\nsource = "public"\ntarget = "{folder}/www/remote"\n',
    # Containers through the socket; the project mounts a folder of its checkout by a relative path.
    "blog": 'strategy = "rebuild"\nurl = "http://blog/"\nhost = "local"\n[rebuild]\npath = "{folder}/apps/blog"\n'
    'build = "make"\nup = "docker compose up -d"\n',
}
MAKEFILE = "all:\n\tmkdir -p public\n\tsed s/VERSION/$$(cat version)/ page >public/index.html\n"
BLOG = """\
services:
  blog:
    image: nginx:stable-alpine
    volumes: ["./public:/usr/share/nginx/html:ro"]
    networks: [front]
networks:
  front: {name: receiver_front, external: true}
"""
BESIDE = """\
services:
  receiver:
    volumes: ["{folder}/git:{folder}/git:ro"]
  web:
    image: nginx:stable-alpine
    volumes: ["{folder}/www:/usr/share/nginx/html:ro"]
    networks: [front]
"""


class Server:
    """A server with the example on it: ``folder`` has what lies there, outside and inside of the container."""

    def __init__(self, engine: Engine, folder: Path, sshd: Sshd) -> None:
        self.engine, self.folder = engine, folder
        self.project = folder / "receiver"
        self._https, self._subnet = free_port(), "172.30.251.0/24"
        shutil.copytree(EXAMPLE, self.project)
        for name in ("git", "work", "www", "apps"):
            (folder / name).mkdir()
        self._write_files(sshd)
        for name in APPS:
            self._begin(name)
        _give(folder / "git", folder / "www", folder / "apps", self.project / "secrets")

    def _write_files(self, sshd: Sshd) -> None:
        kept = self.project / "secrets"
        kept.mkdir()
        (kept / "webhook-secret").write_text(f"{SECRET}\n", "utf-8")
        (kept / "password-hash").write_text(hash_password("correct horse battery"), "utf-8")
        shutil.copy(sshd.key_file, kept / "deploy-key")
        for file in kept.iterdir():
            file.chmod(0o400)
        values = {"folder": self.folder, "port": sshd.port, "user": sshd.user, "host_key": sshd.public()}
        apps = "".join(APP_TOML.format(name=name, folder=self.folder) for name in APPS)
        (self.project / "config" / "receiver.toml").write_text(
            RECEIVER_TOML.format(subnet=self._subnet) + apps, "utf-8"
        )
        for name, text in APPS.items():
            (self.project / "config" / f"{name}.toml").write_text(f'app = "{name}"\n{text.format(**values)}', "utf-8")
        (self.project / "compose.test.yml").write_text(BESIDE.format(**values), "utf-8")

    def _begin(self, name: str) -> None:
        work, origin = self.folder / "work" / name, self.folder / "git" / f"{name}.git"
        work.mkdir()
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "remote", "add", "origin", str(origin))
        for file, text in {
            "Makefile": MAKEFILE,
            "page": f"<h1>{name} VERSION</h1>\n",
            ".gitignore": "public/\n",
        }.items():
            (work / file).write_text(text, "utf-8")
        if name == "blog":
            (work / "compose.yml").write_text(BLOG, "utf-8")
        self.commit(name, "1")
        if name == "blog":
            git(self.folder, "clone", "--quiet", str(origin), str(self.folder / "apps" / name))

    def commit(self, name: str, version: str) -> str:
        """Push a version; the result is its commit."""
        work = self.folder / "work" / name
        (work / "version").write_text(version, "ascii")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", f"--message=Version {version}")
        git(work, "push", "--quiet", "origin", "main")
        _give(self.folder / "git")
        return git(work, "rev-parse", "HEAD")

    def compose(self, *arguments: str, check: bool = True) -> str:
        """``docker compose`` with the example's files, as its README says, and what the tests have beside them."""
        group = Path(self.engine.host.removeprefix("unix://")).stat().st_gid
        environment = self.engine.environment | {
            "COMPOSE_PROJECT_NAME": "receiver",
            "DOMAIN": DOMAIN,
            "HTTP_PORT": str(free_port()),
            "HTTPS_PORT": str(self._https),
            "SUBNET": self._subnet,
            "CHECKOUTS": str(self.folder / "apps"),
            "SITES": str(self.folder / "www"),
            "DOCKER_GROUP": str(group),
            "DOCKER_SOCKET": self.engine.host.removeprefix("unix://"),
        }
        files = [f"--file={name}" for name in ("compose.yml", "compose.socket.yml", "compose.test.yml")]
        done = subprocess.run(
            ["docker", "compose", "--ansi=never", *files, *arguments],
            cwd=self.project, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """What the world gets from Traefik by HTTPS, whose certificate here is its own; status 0: nobody answers."""
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self._https, timeout=30, context=context)
        try:
            connection.request(method, path, body, {"Host": DOMAIN, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def deliver(self, name: str, commit: str) -> Any:
        """GitHub's part, through Traefik."""
        body = json.dumps(push(f"octo/{name}", after=commit)).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(Secret(SECRET), body),
        }
        status, answer = self.ask("POST", "/hooks/github", body, headers)
        assert status == 202, answer
        return json.loads(answer)

    def page(self, name: str) -> str:
        """What a visitor gets of an app."""
        container, path = ("blog-blog-1", "/") if name == "blog" else ("receiver-web-1", f"/{name}/")
        try:
            connection = http.client.HTTPConnection(self.engine.address(container), 80, timeout=30)
            connection.request("GET", path)
            return connection.getresponse().read().decode().strip()
        except (AssertionError, StopIteration, OSError, http.client.HTTPException):
            return ""

    def wait(self, reached: Any, what: str, seconds: float = LIVE_SECONDS) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, f"{what}:\n{self.told()}"
            time.sleep(0.1)

    def told(self) -> str:
        """What the receiver has logged, and what it did."""
        said = self.compose("logs", "--no-log-prefix", "receiver", check=False)[-4000:]
        script = "cat logs/*.jsonl; receiver deliveries"
        return said + self.engine.docker("exec", "receiver-receiver-1", "sh", "-c", script, check=False)[-8000:]


def _give(*folders: Path) -> None:
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)


@pytest.fixture
def server(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The example, started."""
    # The repositories belong to the receiver's user, and their author here is root.
    (tmp_path / "gitconfig").write_text("[safe]\n\tdirectory = *\n", "utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for program in ("git", "make"):
        need(program, "to deploy a project")
    build_image(engine)
    engine.provide("traefik:v3", "nginx:stable-alpine")
    gateway = engine.docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    with sshd_for_tests(tmp_path, config=(f"ListenAddress {gateway}",)) as sshd:
        found = Server(engine, tmp_path / "server", sshd)
        try:
            found.compose("up", "--detach", "--quiet-pull")
            yield found
        finally:
            found.compose("down", "--volumes", "--timeout=5", check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pushes_are_live_through_traefik(server: Server) -> None:
    """Not root, read-only and behind Traefik, the image deploys into a mounted target, over SSH and through the socket."""
    server.wait(lambda: server.ask("GET", "/hooks/github")[0] == 405, "the receiver behind Traefik")
    assert [server.ask("GET", path)[0] for path in ("/health", "/metrics")] == [404, 404]
    _is_held_tight(server)
    # What was pushed before there was a receiver is found by itself.
    for name in APPS:
        server.wait(lambda name=name: server.page(name) == f"<h1>{name} 1</h1>", f"{name} to be found")
    commits = {name: server.commit(name, "2") for name in APPS}
    for name, commit in commits.items():
        fates = server.deliver(name, commit)["apps"]
        assert [(fate["app"], fate["verdict"]) for fate in fates] == [(name, "queued")]
    for name in APPS:
        server.wait(lambda name=name: server.page(name) == f"<h1>{name} 2</h1>", f"{name} to be live")
    _is_well(server)


def _is_held_tight(server: Server) -> None:
    inside = "id -u; touch /etc/written /opt/deployer/written 2>&1; grep -E '^(CapBnd|NoNewPrivs):' /proc/self/status"
    said = server.compose("exec", "-T", "receiver", "sh", "-c", inside).splitlines()
    assert said[0] == str(USER)
    assert [line.rpartition(": ")[2] for line in said[1:3]] == ["Read-only file system"] * 2
    assert [line.split() for line in said[3:]] == [["CapBnd:", "0" * 16], ["NoNewPrivs:", "1"]]


def _is_well(server: Server) -> None:
    """Docker's health check says so, nothing but known folders was written, and SIGTERM ends it well."""
    name = "receiver-receiver-1"
    state = "{{.State.Health.Status}}"
    server.wait(lambda: server.engine.docker("inspect", f"--format={state}", name) == "healthy", "health")
    mounted = ("/run", "/etc/hosts", "/etc/deployer", "/var/lib/deployer", str(server.folder.parents[0]))
    written = [line.split()[1] for line in server.engine.docker("diff", name).splitlines()]
    assert [path for path in written if not f"{path}/".startswith(mounted) and not any(
        f"{each}/".startswith(f"{path}/") for each in mounted
    )] == []  # fmt: skip
    server.compose("stop", "receiver")
    assert server.engine.docker("inspect", "--format={{.State.ExitCode}}", name) == "0"
