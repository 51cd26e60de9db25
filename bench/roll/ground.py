"""What all contenders stand on: an engine, Traefik in a container with both providers, and the application's files."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.measure import RunFailed
from tests.docker import APPLICATION, Docker

__all__ = ["Application", "Ground", "git"]

NETWORK = "proxy"
READY_SECONDS = 60.0
MAKEFILE = """\
VERSION = $(shell git describe --always --tags)
build:
	docker buildx build --quiet --build-arg VERSION=$(VERSION) --build-arg BEHAVIOUR="{behaviour}" -t app:latest --load .
up:
	docker compose up -d
"""
COMPOSE = """\
name: bench
services:
  app:
    image: app:latest
{build}    restart: always
    networks: [proxy]
{labels}networks:
  proxy: {{name: proxy, external: true}}
"""
BUILD = """\
    build:
      context: .
      args: {{VERSION: "${{VERSION:-0}}", BEHAVIOUR: "{behaviour}"}}
"""
LABELS = """\
    labels:
      traefik.enable: "true"
      traefik.http.routers.app.rule: PathPrefix(`/`)
      traefik.http.services.app.loadbalancer.server.port: "80"
"""
ROUTERS = """\
http:
  routers:
    app: {rule: "PathPrefix(`/`)", service: app}
  services:
    app: {loadBalancer: {servers: [{url: "http://app"}]}}
"""


@dataclass(frozen=True, slots=True)
class Application:
    """One kind of application: what it does, in a table's words, and how tests/application is told to."""

    title: str
    behaviour: str


class Ground:
    """A folder and an engine; ``lay`` begins anew for a contender."""

    def __init__(self, folder: Path, docker: Docker) -> None:
        self.folder, self.docker = folder, docker
        self.address = ""
        self.conf = folder / "conf"
        self.checkout = folder / "checkout"

    def lay(self, application: Application, *, labels: bool) -> None:
        """Empty engine and folder; then Traefik, and the application's files, as a repository unless it has labels."""
        self.docker.clean()
        self.docker.provide("traefik:v3", "python:3-alpine")
        for folder in (self.conf, self.checkout, self.folder / "author", self.folder / "origin.git"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / ".deployer", ignore_errors=True)
        self.conf.mkdir()
        if not labels:
            (self.conf / "routers.yml").write_text(ROUTERS, "utf-8")
        self.docker.docker("network", "create", NETWORK)
        self._start_traefik()
        _write_application(self.checkout if labels else self.folder / "author", application, labels=labels)
        if not labels:
            self._make_repository()

    def publish(self, number: int) -> str:
        """Commit and push another version; the result is what it will answer."""
        author = self.folder / "author"
        (author / "version").write_text(f"{number}\n", "utf-8")
        git(author, "add", "--all")
        git(author, "commit", "--quiet", f"--message=Version {number}")
        git(author, "push", "--quiet", "origin", "main")
        return git(author, "describe", "--always", "--tags")

    def run(self, *command: str, version: str = "") -> str:
        """Run a command in the checkout, with the engine. Raises RunFailed with its words."""
        environment = self.docker.environment | ({"VERSION": version} if version else {})
        done = subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            raise RunFailed(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout.strip()

    def wait_for(self, version: str) -> None:
        """Wait until three answers in a row are this version. Raises RunFailed when they never are."""
        deadline, seen = time.monotonic() + READY_SECONDS, 0
        while seen < 3:
            if time.monotonic() > deadline:
                raise RunFailed(f"version {version} never answers")
            said = self._ask()
            seen = seen + 1 if said == version else 0
            time.sleep(0.05)

    def containers(self) -> list[str]:
        """Id and time of start of each of the application's containers."""
        ids = self.docker.docker("ps", "--quiet", "--filter=label=com.docker.compose.project=bench").split()
        return (
            sorted(self.docker.docker("inspect", "--format={{.Id}} {{.State.StartedAt}}", *ids).splitlines())
            if ids
            else []
        )

    def _ask(self) -> str:
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.read().decode().strip() if answer.status == http.HTTPStatus.OK else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def _start_traefik(self) -> None:
        """The engine's socket gives it the labels; asked by its address, so that no other program carries connections."""
        socket = self.docker.host.removeprefix("unix://")
        mounts = (f"--volume={self.conf}:/conf:ro", f"--volume={socket}:/var/run/docker.sock")
        providers = ("docker=true", "docker.exposedbydefault=false", "file.directory=/conf", "file.watch=true")
        self.docker.docker(
            *("run", "--detach", "--name=traefik", f"--network={NETWORK}", *mounts, "traefik:v3"),
            *("--entrypoints.web.address=:80", "--api.insecure=true", *(f"--providers.{each}" for each in providers)),
        )
        self.address = self.docker.address("traefik")

    def _make_repository(self) -> None:
        author, origin = self.folder / "author", self.folder / "origin.git"
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        git(author, "init", "--quiet", "--initial-branch=main")
        git(author, "remote", "add", "origin", str(origin))
        self.publish(0)
        git(self.folder, "clone", "--quiet", str(origin), self.checkout.name)


def _write_application(folder: Path, application: Application, *, labels: bool) -> None:
    folder.mkdir()
    for name in ("Dockerfile", "server.py"):
        shutil.copy(APPLICATION / name, folder / name)
    behaviour = application.behaviour
    build = BUILD.format(behaviour=behaviour) if labels else ""
    compose = COMPOSE.format(build=build, labels=LABELS if labels else "")
    (folder / "docker-compose.yml").write_text(compose, "utf-8")
    (folder / "Makefile").write_text(MAKEFILE.format(behaviour=behaviour), "utf-8")


def git(folder: Path, *arguments: str) -> str:
    """Run git without the person's own configuration. Raises RunFailed."""
    identity = {f"GIT_{role}_{part}": "bench" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = os.environ | identity | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RunFailed(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
