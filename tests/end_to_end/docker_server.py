"""A blogger's server with a real engine and Traefik: an author pushes, `deployer` is called from outside, visitors ask."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.deployment import Deployment, Ran
from tests.end_to_end.repository import git
from tests.end_to_end.site import wait_until
from tests.engine import Engine
from tests.sshd import Sshd

__all__ = [
    "BUILD",
    "COMPOSE",
    "DOCKERFILE",
    "NETWORK",
    "OWN_FILE",
    "Blog",
    "Proxy",
    "Running",
    "login",
    "prepare",
    "server_session",
]

NETWORK = "traefik_proxy"
OWN_FILE = "deployer-blog.yml"
SECONDS = 120.0

MAKEFILE = """\
VERSION = $(shell git describe --always --tags)
build:
\tsh build.sh
up:
\tdocker compose up -d
"""
# Small and quick to build, and every version an image of its own.
DOCKERFILE = """\
ARG BASE=app:plain
FROM $BASE
ARG NUMBER
ARG HABIT
ENV VERSION=$NUMBER BEHAVIOUR=$HABIT
"""
BUILD = """\
DOCKER_BUILDKIT=0 docker build --quiet --build-arg BASE="$(cat base)" --build-arg NUMBER="$(cat version)" \
--build-arg HABIT="$(cat behaviour)" --tag main:latest - <Dockerfile
"""
COMPOSE = """\
services:
  blog:
    image: main:latest
    restart: always
    deploy: {replicas: %(replicas)d}
    stop_grace_period: 3s
    networks: [traefik_proxy]
networks:
  traefik_proxy: {external: true}
"""
ROUTERS = """\
http:
  routers:
    blog:
      rule: "PathPrefix(`/`)"
      service: blog
"""
OWN = """\
http:
  services:
    blog:
      loadBalancer:
        servers:
          - url: "http://blog"
"""


def server_session(engine: Engine, home: Path) -> tuple[str, ...]:
    """The line of sshd_config for a server whose users have this home and this engine."""
    home.mkdir(parents=True, exist_ok=True)
    return (f"SetEnv DOCKER_HOST={engine.host} HOME={home} BUILDX_CONFIG={home / 'buildx'}",)


def prepare(engine: Engine) -> None:
    """What each server has before anything is deployed to it."""
    engine.provide("busybox", "traefik:v3")
    engine.application("app:plain", kept=True)
    engine.docker("network", "create", NETWORK)


def login(sshd: Sshd, port: int = 0) -> dict[str, object]:
    """The table ``host`` of deploy.toml; ``port`` is that of a relay before the server."""
    port = port or sshd.port
    about: dict[str, object] = {"address": "127.0.0.1", "port": port, "user": sshd.user, "key": str(sshd.key_file)}
    return about | {"host_key": [sshd.pin(port=port)], "connect_timeout": 30}


class Proxy:
    """Traefik in a container, that watches ``directory``; what it reads arrives within a fraction of its usual 2 s."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine, self.directory = engine, directory
        self.api_port = _free_port()
        directory.mkdir()
        self.reset()

    def start(self, *options: str) -> None:
        """Start the container, with these options beside the usual ones."""
        self.engine.docker(
            *("run", "--detach", "--name=traefik", "--restart=always", f"--network={NETWORK}"),
            *(f"--publish=127.0.0.1:{self.api_port}:8080", f"--volume={self.directory}:/conf:ro", "traefik:v3"),
            *("--entrypoints.web.address=:80", "--providers.file.directory=/conf", "--api.insecure=true"),
            *("--providers.providersthrottleduration=200ms", "--global.checknewversion=false", "--log.level=WARN"),
            *options,
        )

    def reset(self) -> None:
        """The files as they are in the steady state."""
        for path in self.directory.iterdir():
            path.unlink()
        (self.directory / "routers.yml").write_text(ROUTERS)
        self.own.write_text(OWN)

    @property
    def own(self) -> Path:
        """Deployer's file."""
        return self.directory / OWN_FILE

    @property
    def api(self) -> str:
        """The URL of the API, on the server."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def url(self) -> str:
        """Where visitors come in: past docker-proxy, which is slow."""
        return f"http://{self.engine.address('traefik')}:80/"

    def ask(self, host: str = "") -> tuple[int, str]:
        """The status and content that a visitor gets who asks for this host; status 0: none."""
        connection = http.client.HTTPConnection(self.engine.address("traefik"), 80, timeout=15)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/", headers={"Host": host} if host else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip()
        return 0, ""

    def read(self) -> str:
        """What a visitor gets; empty when it is no good answer."""
        status, content = self.ask()
        return content if status == 200 else ""

    def wait(self, version: str, seconds: float = 60, *, host: str = "") -> None:
        """Wait until visitors get a page that has this version. Raises AssertionError."""
        assert wait_until(lambda: version in self.ask(host)[1], seconds, step=0.05), self.ask(host)


@dataclass
class Running:
    """A `deployer run` under way."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def said(self) -> str:
        """Its standard error so far."""
        return self.err.read_text("utf-8", "replace")

    def ended(self, seconds: float = SECONDS) -> Ran:
        """Its end."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it hangs:\n{self.said}") from None
        return Ran(self.process.returncode, self.out.read_text("utf-8", "replace"), self.said)


class Blog(Deployment):
    """The app ``blog``: the author's ``work``, ``origin.git``, and the checkout ``server/blog`` on a server with Docker."""

    def __init__(
        self, directory: Path, engine: Engine, *, sshd: Sshd | None = None, proxy: Proxy | None = None
    ) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(directory, sshd=sshd)
        self.engine, self.proxy = engine, proxy
        self.static = {}
        self.work, self.origin = directory / "work", directory / "origin.git"
        self.checkout = directory / "server" / "blog"
        self.state = directory / "server" / ".deployer" / "blog" / "state"
        if sshd is None:
            self.variables |= {"DOCKER_HOST": engine.host, "BUILDX_CONFIG": str(directory / "buildx")}
        self.configured_as()
        self.work.mkdir()
        git(self.work, "init", "--quiet", "--initial-branch=main")
        self.checkout.parent.mkdir()
        self.others: list[dict[str, object]] = []
        self._count = 0

    def configure(self) -> None:
        """Write deploy.toml, with a table for each of the ``others``, which are further hosts."""
        super().configure()
        if not self.others:
            return
        path = self.directory / "deploy.toml"
        lines = [path.read_text().replace("[host]", "[[host]]")]
        for host in self.others:
            lines += ["[[host]]", *(f"{key} = {json.dumps(value)}" for key, value in host.items())]
        path.write_text("\n".join(lines) + "\n")

    @property
    def version(self) -> str:
        """The author's latest version."""
        return (self.work / "version").read_text().strip()

    def configured_as(self, **rebuild: object) -> None:
        """Deploy.toml as it usually is, but for these keys of its table ``rebuild``."""
        table = {"path": str(self.checkout), "drain": 1, "settle": 0, "roll": ["blog:80"], **rebuild}
        self.settings = {"app": "blog", "strategy": "rebuild", "lock_wait": 60, "rebuild": table}
        self.settings["health"] = {"timeout": 60}
        if self.proxy:
            self.settings["traefik"] = {"directory": str(self.proxy.directory), "api": self.proxy.api, "timeout": 30}

    def begin(self) -> None:
        """The first version, as a person brings it up on the server."""
        files = {
            "Makefile": MAKEFILE,
            "Dockerfile": DOCKERFILE,
            "build.sh": BUILD,
            "base": "app:plain",
            "behaviour": "",
        }
        self.commit("1", files | {"docker-compose.yml": COMPOSE % {"replicas": 1}}, push=False)
        self.publish()
        self.by_hand("make", "build", "up")
        if self.proxy:
            self.proxy.wait("1")

    def publish(self) -> None:
        """Make the repository out of the author's work, and the server's checkout."""
        git(self.directory, "clone", "--quiet", "--bare", "work", "origin.git")
        git(self.work, "remote", "add", "origin", str(self.origin))
        git(self.checkout.parent, "clone", "--quiet", str(self.origin), self.checkout.name)

    def by_hand(self, *command: str, check: bool = True) -> str:
        """What a person types in the checkout on the server; the result is what it printed."""
        variables = self.engine.environment | {"BUILDX_CONFIG": str(self.directory / "buildx")}
        done = subprocess.run(
            command, cwd=self.checkout, env=variables, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commit(self, version: str, files: Mapping[str, str] | None = None, *, push: bool = True) -> str:
        """Commit this version, with these files (path: contents); the result is its full hash."""
        for name, text in {"version": f"{version}\n", **(files or {})}.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", f"Write {version}")
        if push:
            git(self.work, "push", "--quiet", "origin", "main")
        return git(self.work, "rev-parse", "HEAD")

    def undo(self) -> None:
        """Take back what is not on the server, as an author does whose push was bad."""
        git(self.work, "reset", "--quiet", "--hard", self.head)
        git(self.work, "push", "--quiet", "--force", "origin", "main")

    def start(self, *flags: str, command: str = "run", **variables: str) -> Running:
        """Begin to deploy."""
        self.configure()
        self._count += 1
        out, err = (self.directory / f"{self._count}.{name}" for name in ("out", "err"))
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployer", command, "--json", *flags],
                cwd=self.directory,
                env=self.environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        return Running(process, out, err)

    @property
    def rebuild(self) -> dict[str, object]:
        """The table of that name in deploy.toml."""
        table: dict[str, object] = self.settings["rebuild"]
        return table

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def head(self) -> str:
        """The commit that the server's checkout is at."""
        return git(self.checkout, "rev-parse", "HEAD")

    def containers(self, service: str = "blog", project: str = "blog") -> dict[str, str]:
        """Identifier and state of each container of the service, by name."""
        form = "--format={{.Names}} {{.ID}} {{.State}}"
        wanted = (f"label=com.docker.compose.project={project}", f"label=com.docker.compose.service={service}")
        listed = self.engine.docker("ps", "--all", form, *(f"--filter={each}" for each in wanted))
        return {line.split()[0]: " ".join(line.split()[1:]) for line in listed.splitlines()}

    def image(self, reference: str = "main:latest") -> str:
        """The identifier of an image; empty when there is none."""
        return self.engine.docker("images", "--no-trunc", "--quiet", reference)

    def images(self) -> set[str]:
        """The identifiers of all images of the engine."""
        return set(self.engine.docker("images", "--no-trunc", "--quiet").split())

    def tags(self) -> list[str]:
        """The releases whose images are kept."""
        return sorted(self.engine.docker("images", "--format={{.Tag}}", "deployer/blog/blog").split())

    def used(self) -> set[str]:
        """The identifiers of the images that the service's containers run."""
        found = self.containers()
        return set(self.engine.docker("inspect", "--format={{.Image}}", *found).split()) if found else set()

    def planned(self) -> str:
        """What `docker compose up -d` would do now; empty when nothing."""
        said = self.by_hand("docker", "compose", "--ansi=never", "--dry-run", "up", "--detach", "--no-build")
        lines = [line for line in said.splitlines() if "DRY-RUN" in line and not line.rstrip().endswith("Running")]
        return "\n".join(lines)

    def owner(self) -> int | None:
        """The process id of the host's program that holds the lock."""
        for file in self.state.glob("lock/*/owner"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int(file.read_text().split()[0])
        return None

    def kill_host(self) -> None:
        """SIGKILL to the host's program, if one runs."""
        if pid := self.owner():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def is_at_rest(self) -> bool:
        """Whether nothing is left of any deploy: no lock, nothing pending, nothing to undo, no roll."""
        return self.is_unlocked() and not any((self.state / "undo").iterdir()) and not (self.state / "roll").exists()

    def steady(self, version: str, *, replicas: int = 1) -> None:
        """Check that this version serves, alone and wholly, and that nothing is under way or would change by itself."""
        assert wait_until(self.is_at_rest, 60), sorted(self.state.rglob("*"))
        states = [each.split()[1] for each in self.containers().values()]
        assert states == ["running"] * replicas, self.containers()
        if self.proxy:
            text = self.proxy.own.read_text()
            assert '"http://blog"' in text, text
            assert "blog-blog" not in text, text
            assert self.proxy.read() == version
            assert sorted(path.name for path in self.proxy.directory.iterdir()) == [OWN_FILE, "routers.yml"]
        assert self.used() == {self.image()}, "the Compose file's tag does not point at what runs"
        assert (self.checkout / "version").read_text().strip() == version
        assert self.planned() == ""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
