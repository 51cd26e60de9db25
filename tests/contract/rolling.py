"""A Compose project on a real engine, with Traefik before it, and the host's program that replaces its containers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from deployer.plan import Effect, Reply, Request, Text
from deployer.rebuild import requests
from deployer.rebuild.host import program
from deployer.rebuild.traefik import make_template, own_services
from deployer.rebuild.watched import read_directory
from deployer.transports.conversation import Conversation
from deployer.transports.local import open_channel
from tests.engine import Engine

__all__ = ["RELEASE", "Project", "Rolled"]

RELEASE = "20261123T000000Z-1111111"
THROTTLE = "200ms"  # for how long Traefik is deaf after it has read something
FILE = """\
services:
  blog:
    image: main:latest
    restart: {restart}
    deploy: {{replicas: {replicas}}}
    environment: {{BEHAVIOUR: "{behaviour}"}}
    stop_signal: {stop_signal}
    stop_grace_period: 3s
    networks: [proxy]
  beside:
    image: busybox
    command: sleep 100000
    container_name: beside
    stop_grace_period: 0s
networks:
  proxy: {{external: true}}
"""
ROUTERS = "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: blog\n"
OWN = 'http:\n  services:\n    blog:\n      loadBalancer:\n        servers:\n          - url: "http://blog"\n'
# The checkout is not what these tests are about.
STUBS = """
checkout_facts() { :; }
restore_checkout() { :; }
keep_commit() { :; }
forget_commit() { :; }
"""


def _program() -> str:
    before, loop, after = program().partition("\nfinish() {\n")
    assert loop
    return before + STUBS + loop + after


@dataclass(frozen=True)
class Rolled:
    """How a service is to be replaced: the arguments of ``start``."""

    drain: float = 1
    batch: int = 0
    settle: float = 0.5
    path: str = "/"
    host: str = "blog.test"
    patience: float = 60
    replicas: int = 1
    name: str = "blog"
    port: int = 80

    def text(self) -> str:
        settings = (self.name, self.port, self.batch, self.settle, self.path, self.host, self.patience, self.replicas)
        return "".join(f"{line}\n" for line in (self.drain, 1, *settings))


@dataclass
class Project:
    """The project ``site`` with its service ``blog``, in a folder of its own. DOCKER_HOST has to be the engine's."""

    engine: Engine
    folder: Path
    proxied: bool = True
    sessions: list[Conversation] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    api_port: int = 0

    @property
    def checkout(self) -> Path:
        return self.folder / "site"

    @property
    def watched(self) -> Path:
        return self.folder / "conf"

    @property
    def own_file(self) -> Path:
        return self.watched / "deployer-blog.yml"

    @property
    def state(self) -> Path:
        return self.folder / ".deployer" / "site" / "state"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def url(self) -> str:
        """Where visitors come in: not by docker-proxy, which is slow."""
        return f"http://{self.engine.address('traefik')}:80/"

    def prepare(self, *, replicas: int = 1, **about: str) -> None:
        """Have the first version up, the proxy at rest, and nothing of earlier deploys."""
        if not self.checkout.exists():
            self._make()
        shutil.rmtree(self.folder / ".deployer", ignore_errors=True)
        saved = self.folder / "saved"
        saved.write_text(OWN)
        saved.replace(self.own_file)  # Traefik must not read half of it
        self.write(replicas=replicas, **about)
        self.build("app:1")
        self.engine.compose(self.checkout, "up", "--detach")
        self.heard.clear()
        self.wait("1")

    def _make(self) -> None:
        self.engine.provide("busybox", "traefik:v3")
        for each in ("1", "2"):
            for kind in ("app", "checked"):
                self.engine.application(f"{kind}:{each}", version=each, checked=kind == "checked", kept=True)
        self.engine.docker("network", "create", "proxy")
        self.checkout.mkdir()
        self._start_proxy()

    def write(self, *, replicas: int = 1, **about: str) -> None:
        """The Compose file, with this behaviour, restart policy and stop_signal."""
        usual = {"behaviour": "", "restart": "always", "stop_signal": "SIGTERM"}
        (self.checkout / "docker-compose.yml").write_text(FILE.format(replicas=replicas, **usual | about))

    def build(self, image: str) -> None:
        """What a build does in the end: the tag that the Compose file names moves."""
        self.engine.docker("tag", image, "main:latest")

    def _start_proxy(self) -> None:
        self.watched.mkdir()
        (self.watched / "routers.yml").write_text(ROUTERS)
        self.own_file.write_text(OWN)
        self.api_port = _free_port()
        published = f"--publish=127.0.0.1:{self.api_port}:8080"
        mount = f"--volume={self.watched}:/conf:ro"
        options = ["--entrypoints.web.address=:80", "--providers.file.directory=/conf", "--api.insecure=true"]
        run = ("run", "--detach", "--name=traefik", "--restart=always", "--network=proxy", published, mount)
        # Its default is 2 s, for which nearly no test needs to wait: bench.roll does, and a test of the proxy alone.
        options += [f"--providers.providersthrottleduration={THROTTLE}", "--global.checknewversion=false"]
        self.engine.docker(*run, "traefik:v3", *options)

    def wait(self, version: str = "", seconds: float = 60) -> None:
        """Wait until visitors get their answers, and always those of this version."""
        deadline, good = time.monotonic() + seconds, 0
        while good < 3:
            assert time.monotonic() < deadline, "the site does not answer"
            with contextlib.suppress(OSError), urlopen(self.url, timeout=10) as answer:
                good = good + 1 if answer.read().decode().strip() in {version, *([] if version else "12")} else 0
                continue
            time.sleep(0.05)

    # --- conversations -----------------------------------------------------------------------------------------------

    def open(self) -> Conversation:
        """A new session that holds the lock."""
        session = Conversation(open_channel(60), _program(), "local", self.heard.append)
        self.sessions.append(session)
        nonce = os.urandom(6).hex()
        session.perform(requests.site("blog", str(self.checkout), nonce, "test"), requests.lock(30, "test"))
        return session

    def facts(self, session: Conversation) -> Reply:
        directory = str(self.watched) if self.proxied else ""
        return session.perform(requests.facts("", directory, self.api if self.proxied else ""))[0]

    def begin(self, image: str, *, release: str = RELEASE, patience: float = 30) -> Conversation:
        """Lock, look, begin and build; Traefik may take so many seconds to follow."""
        session = self.open()
        reply = self.facts(session)
        session.perform(requests.begin(release, "", Text(lambda: "commit 1\n")))
        session.perform(requests.command("build", 60, Text(lambda: f"docker tag {image} main:latest")))
        if self.proxied:
            found = read_directory(reply)
            assert found is not None
            template = make_template(found, "blog", (("blog", 80),), own_services(found, "blog"))
            session.perform(requests.proxy("deployer-blog.yml", self.api, "", patience, Text(lambda: template)))
        return session

    def start(self, session: Conversation, how: Rolled) -> Reply:
        return session.perform(requests.start(Text(how.text)))[0]

    def roll(self, image: str, how: Rolled, *, release: str = RELEASE) -> float:
        """A whole roll; the result is how long it took from ``start`` to the end of ``retire``, in seconds."""
        session = self.begin(image, release=release)
        begun = time.monotonic()
        self.start(session, how)
        session.perform(requests.cut())
        session.perform(requests.accept(), requests.retire(how.drain))
        took = time.monotonic() - begun
        session.perform(requests.finish(3))
        session.close()
        return took

    def kill(self) -> None:
        """SIGKILL to the program of the last session, and nothing else of it."""
        (owner,) = self.state.glob("lock/*/owner")
        os.kill(int(owner.read_text().split()[0]), signal.SIGKILL)

    def heal(self) -> Reply:
        """What the next run does first."""
        session = Conversation(open_channel(60), _program(), "local", self.heard.append)
        self.sessions.append(session)
        site = requests.site("blog", str(self.checkout), os.urandom(6).hex(), "test")
        reply = session.perform(site, requests.lock(30, "test"))[1]
        session.perform(Request("conclude", Effect.WRITE, ("always",)))
        session.close()
        return reply

    def close(self) -> None:
        """End all sessions."""
        for session in self.sessions:
            with contextlib.suppress(Exception):
                session.close(wait=False)
        self.sessions.clear()

    # --- what there is ------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The containers of the service, running or not."""
        return self.engine.containers("label=com.docker.compose.project=site", "label=com.docker.compose.service=blog")

    def versions(self) -> list[str]:
        """The versions that run."""
        found = []
        for name in self.names():
            form = "{{.State.Status}}{{range .Config.Env}} {{.}}{{end}}"
            words = self.engine.docker("inspect", f"--format={form}", name).split()
            if words[0] == "running":
                found += [word.removeprefix("VERSION=") for word in words if word.startswith("VERSION=")]
        return sorted(found)

    def planned(self) -> str:
        """What a dry run of `up` would do to the service; empty when nothing."""
        command = ("docker", "compose", "--dry-run", "up", "--detach", "--no-build")
        done = subprocess.run(
            command, cwd=self.checkout, env=self.engine.environment, capture_output=True, text=True, check=True
        )
        lines = (done.stdout + done.stderr).splitlines()
        return "\n".join(line for line in lines if "site-blog" in line and not line.rstrip().endswith("Running"))

    def steady(self) -> bool:
        """True when the proxy's file names the service again, and nothing of a roll is left."""
        text = self.own_file.read_text()
        return '"http://blog"' in text and "site-blog" not in text and not (self.state / "roll").exists()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
