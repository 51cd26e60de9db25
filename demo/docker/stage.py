"""The example on the stage: its server in containers, the checkout, the author's own clone, and the ways between them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.docker.engines import borrowed_engine
from demo.git import git
from demo.telling import Unexpected
from tests.docker import Docker
from tests.engine import Engine
from tests.sshd import Sshd

__all__ = ["Stage", "staged"]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "blog-site"
IMAGES = ("python:3-alpine", "nginx:stable-alpine", "traefik:v3")
BUILT = ("main:latest",)
NETWORK = "traefik_proxy"
PROJECT = "deployer-demo-"
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """``author`` has the clones to work in (``blog`` and ``site``), ``server`` what is on the server."""

    author: Path
    server: Path
    docker: Docker
    engine: str
    sshd: Sshd
    port: int
    api_port: int

    @property
    def is_isolated(self) -> bool:
        """Whether the engine is the demo's own, which forwards to no other network."""
        return isinstance(self.docker, Engine)

    @property
    def url(self) -> str:
        """Where visitors find the site; the blog is below it."""
        return f"http://127.0.0.1:{self.port}/"

    def settings(self) -> dict[str, str]:
        """Variables in the place of what deploy.toml says of the server, its addresses and paths."""
        return {
            "DEPLOYER_HOST": f"{self.sshd.user}@127.0.0.1:{self.sshd.port}",
            "DEPLOYER_KEY": str(self.sshd.key_file),
            "DEPLOYER_HOST_KEY": self.sshd.pin(),
            "DEPLOYER_PATH": str(self.server / "blog"),
            "DEPLOYER_TRAEFIK_DIRECTORY": str(self.server / "traefik" / "conf"),
            "DEPLOYER_TRAEFIK_API": f"http://127.0.0.1:{self.api_port}",
            "DEPLOYER_TARGET": str(self.server / "www-files" / "site"),
        }

    def read(self, path: str) -> str:
        """The page at a path below ``url``; empty when it is not a page."""
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url + path, timeout=10) as page:
                body: bytes = page.read()
                return body.decode("utf-8")
        except (OSError, urllib.error.URLError):
            return ""

    def wait_for(self, path: str, text: str) -> None:
        """Wait until the page at a path has this text. Raises Unexpected when it never does."""
        deadline = time.monotonic() + READY_SECONDS
        while text not in self.read(path):
            if time.monotonic() > deadline:
                raise Unexpected(f"{self.url}{path} never says {text!r}")
            time.sleep(0.1)

    def publish(self, message: str, files: dict[str, str]) -> str:
        """Commit these files (name: text) to the blog and push it; the result is the commit's short name."""
        folder = self.author / "blog"
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", f"--message={message}")
        git(folder, "push", "--quiet", "origin", "main")
        return git(folder, "rev-parse", "--short", "HEAD")


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """The whole example in this folder: Traefik, nginx and the blog's first version run, the site is not deployed yet."""
    author, server = folder / "author", folder / "server"
    with borrowed_engine(BUILT, NETWORK, PROJECT) as (docker, engine):
        docker.provide(*IMAGES)
        docker.docker("network", "create", NETWORK)
        variables = (f"SetEnv DOCKER_HOST={docker.host} HOME={server} BUILDX_CONFIG={folder / 'buildx'}",)
        port, api_port = _free_port(), _free_port()
        _lay_out(author, server, port, api_port)
        keys = folder / "keys"
        keys.mkdir(mode=0o700)
        with Sshd(keys, config=variables) as sshd:
            stage = Stage(author, server, docker, engine, sshd, port, api_port)
            _bring_up(stage)
            yield stage


def _lay_out(author: Path, server: Path, port: int, api_port: int) -> None:
    """The example's folders where they belong; the blog's repository is between author and server."""
    for name in ("blog", "site"):
        shutil.copytree(EXAMPLE / name, author / name)
    for name in ("traefik", "www"):
        shutil.copytree(EXAMPLE / name, server / name)
    (server / "www-files").mkdir(mode=0o755)
    origin = author.parent / "blog.git"
    git(author.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    git(author / "blog", "init", "--quiet", "--initial-branch=main")
    git(author / "blog", "remote", "add", "origin", str(origin))
    git(author / "blog", "add", "--all")
    git(author / "blog", "commit", "--quiet", "--message=Begin the blog")
    git(author / "blog", "tag", "v1")
    git(author / "blog", "push", "--quiet", "origin", "main", "v1")
    git(server, "clone", "--quiet", str(origin), "blog")
    variables = {"HTTP_PORT": port, "API_PORT": api_port, "WWW": server / "www-files"}
    for name in ("traefik", "www", "blog"):
        lines = {"COMPOSE_PROJECT_NAME": f"{PROJECT}{name}"} | variables
        (server / name / ".env").write_text("".join(f"{key}={value}\n" for key, value in lines.items()), "utf-8")


def _bring_up(stage: Stage) -> None:
    """As a person does once on the server: traefik and www by Compose, the blog by its Makefile."""
    for name in ("traefik", "www"):
        stage.docker.compose(stage.server / name, "up", "--detach", "--quiet-pull")
    environment = stage.docker.environment | {"BUILDX_CONFIG": str(stage.server.parent / "buildx")}
    command = ["make", "--no-print-directory", "build", "up"]
    done = subprocess.run(
        command, cwd=stage.server / "blog", env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unexpected(f"make build up: {(done.stdout + done.stderr)[-2000:]}")
    stage.wait_for("blog/", "version v1")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
