"""Ways to replace the containers of a Compose service: deployer, and what people do without it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.measure import RunFailed
from bench.roll.ground import Application, Ground
from tests.relay import Relay
from tests.sshd import Sshd

__all__ = ["DRAIN", "SETTLE", "Contender", "Deployer", "Plain", "ScaleUp"]

DRAIN = 6  # seconds: longer than the slow answer takes
SETTLE = 2
HEALTHY_SECONDS = 60.0
ROLL_SECONDS = 300.0
GOOD_CODES = (0, 6)  # 6: deployed, and its own probe missed answers; wrk counts them all
CONFIG = """\
app = "app"
strategy = "rebuild"
url = "http://{address}/"
[host]
address = "127.0.0.1"
port = {port}
user = "{user}"
key = "{key}"
host_key = '{host_key}'
[rebuild]
path = "{path}"
build = "make build"
up = "make up"
roll = ["app:80"]
drain = {drain}
settle = {settle}
"""
TRAEFIK = """\
[traefik]
directory = "{directory}"
api = "http://{address}:8080"
"""


class Contender(Protocol):
    """One way; the ground is its own from ``prepare`` on."""

    @property
    def name(self) -> str:
        """For a table."""

    def prepare(self, ground: Ground, application: Application) -> None:
        """Bring the first version up."""

    def roll(self, ground: Ground, number: int) -> float:
        """Replace it by another version, and wait until that one answers; the result is the command's own seconds."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What is in everybody's notes."""

    name: str = "`docker compose up -d --build`, labels"

    def prepare(self, ground: Ground, application: Application) -> None:
        """Bring the first version up."""
        ground.lay(application, labels=True)
        self.roll(ground, 0)

    def roll(self, ground: Ground, number: int) -> float:
        """Replace the container."""
        begun = time.monotonic()
        ground.run("docker", "compose", "up", "--detach", "--build", version=f"v{number}")
        seconds = time.monotonic() - begun
        ground.wait_for(f"v{number}")
        return seconds


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Twice the replicas, wait until the new ones are healthy, remove the old ones."""

    name: str = "scale up, then remove, labels"

    def prepare(self, ground: Ground, application: Application) -> None:
        """Bring the first version up."""
        ground.lay(application, labels=True)
        ground.run("docker", "compose", "up", "--detach", "--build", version="v0")
        ground.wait_for("v0")

    def roll(self, ground: Ground, number: int) -> float:
        """Replace the container by one beside it."""
        version, begun = f"v{number}", time.monotonic()
        ground.run("docker", "compose", "build", "--quiet", version=version)
        old = ground.run("docker", "compose", "ps", "--quiet", "app").split()
        scale = ("--no-deps", "--no-recreate", "--scale", f"app={2 * len(old)}")
        ground.run("docker", "compose", "up", "--detach", *scale, version=version)
        new = [each for each in ground.run("docker", "compose", "ps", "--quiet", "app").split() if each not in old]
        wait_until_healthy(ground, new)
        ground.run("docker", "stop", *old)
        ground.run("docker", "rm", *old)
        seconds = time.monotonic() - begun
        ground.wait_for(version)
        return seconds


class Deployer:
    """``deployer run`` from afar, by Traefik's files or by Compose's own names."""

    def __init__(self, server: Sshd, relay: Relay, *, traefik: bool) -> None:
        self.name = "deployer, Traefik's files" if traefik else "deployer, Compose DNS"
        self.last: dict[str, Any] = {}
        self._server, self._relay, self._traefik = server, relay, traefik

    def prepare(self, ground: Ground, application: Application) -> None:
        """As it is done by hand; then deployer takes the service over from the hand-written file."""
        ground.lay(application, labels=False)
        ground.run("make", "build", "up")
        text = CONFIG.format(
            address=ground.address,
            port=self._relay.port,
            user=self._server.user,
            key=self._server.key_file,
            host_key=self._server.pin(port=self._relay.port),
            path=ground.checkout,
            drain=DRAIN,
            settle=SETTLE,
        )
        if self._traefik:
            text += TRAEFIK.format(directory=ground.conf, address=ground.address)
        (ground.folder / "deploy.toml").write_text(text, "utf-8")
        ground.wait_for(ground.run("git", "describe", "--always", "--tags"))
        if self._traefik:
            self._run(ground.folder, "proxy", "adopt", "--yes")

    def roll(self, ground: Ground, number: int) -> float:
        """Push and deploy."""
        version = ground.publish(number)
        seconds = self.deploy(ground)
        ground.wait_for(version)
        return seconds

    def deploy(self, ground: Ground) -> float:
        """``deployer run``; ``last`` is what it said, and the result its seconds."""
        begun = time.monotonic()
        self.last = json.loads(self._run(ground.folder, "run", "--json"))
        return time.monotonic() - begun

    def _run(self, folder: Path, *arguments: str) -> str:
        command = [sys.executable, "-m", "deployer", *arguments, "--config", str(folder / "deploy.toml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ROLL_SECONDS, check=False)
        if done.returncode not in GOOD_CODES:
            raise RunFailed(f"deployer {arguments[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout


def wait_until_healthy(ground: Ground, containers: list[str], pause: float = 0.2) -> None:
    """As the published scripts do: ask until the health checks agree."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while {*ground.run("docker", "inspect", "--format={{.State.Health.Status}}", *containers).split()} != {"healthy"}:
        if time.monotonic() > deadline:
            raise RunFailed("the new containers never become healthy")
        time.sleep(pause)
