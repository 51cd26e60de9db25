"""The Docker example on a server of the tests, as a workflow of its author's repository finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.docker.stage import EXAMPLE, IMAGES, PROJECT, Stage, staged
from demo.git import git
from tests.action.workspace import Workspace
from tests.conftest import need
from tests.end_to_end.site import wait_until
from tests.engine import Engine

__all__ = ["Example", "example_on"]

ROOT = Path(__file__).resolve().parents[2]


class Example:
    """The blog of examples/blog-site behind Traefik, deployed once, so that the next deploy rolls."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.url = f"{stage.url}blog/"
        self.checkout = stage.server / "blog"
        self._state = stage.server / ".deployer" / "blog" / "state"
        self._take_over()

    def configure(self, workspace: Workspace) -> None:
        """Have the workspace's repository say what the author's does, and the job what is this server's own."""
        workspace.write("deploy.toml", (EXAMPLE / "blog" / "deploy.toml").read_text("utf-8"))
        traefik = self.stage.settings()
        workspace.environment = {name: traefik[name] for name in traefik if name.startswith("DEPLOYER_TRAEFIK_")}
        workspace.environment["DEPLOYER_DRAIN"] = "1"

    def inputs(self, **more: str) -> dict[str, str]:
        """What the workflow says, its secrets as such."""
        return {
            "host": "${{ secrets.SERVER_DOMAIN }}",
            "port": str(self.stage.sshd.port),
            "username": "${{ secrets.SERVER_USER }}",
            "key": "${{ secrets.SERVER_KEY }}",
            "host-key": "${{ secrets.SERVER_HOST_KEY }}",
            "path": str(self.checkout),
            "url": self.url,
            **more,
        }

    def publish(self, message: str, **posts: str) -> str:
        """Push a commit with these posts (name: text), and a note that differs each time; its full hash."""
        note = {"note": f"{message} {uuid.uuid4()}"}
        self.stage.publish(message, {f"posts/{name}.txt": text for name, text in posts.items()} | note)
        return git(self.stage.author / "blog", "rev-parse", "HEAD")

    def undo(self) -> None:
        """Take back what is not on the server, as an author does whose push was bad."""
        git(self.stage.author / "blog", "reset", "--quiet", "--hard", git(self.checkout, "rev-parse", "HEAD"))
        git(self.stage.author / "blog", "push", "--quiet", "--force", "origin", "main")

    def containers(self) -> dict[str, str]:
        """The image's identifier, as Docker shows it, of each of the blog's containers."""
        found = self.stage.docker.containers(f"label=com.docker.compose.project={PROJECT}blog")
        # One may go, or get its final name, between the two questions.
        form = "--format={{.Name}} {{.Image}}"
        inspected = self.stage.docker.docker("inspect", form, *found, check=False) if found else ""
        pairs = (line.split() for line in inspected.splitlines())
        return {name.removeprefix("/"): image.removeprefix("sha256:")[:12] for name, image in pairs}

    @property
    def image(self) -> str:
        """The image that the blog runs, alone."""
        (image,) = self.containers().values()
        return image

    @property
    def stage_of_roll(self) -> str:
        """How far a roll is: begun, undoing, retiring; empty: there is none."""
        file = self._state / "roll" / "stage"
        try:
            return file.read_text("ascii").strip()
        except FileNotFoundError:
            return ""

    def is_unlocked(self) -> bool:
        """Whether no deploy is under way, and nothing is to undo."""
        return not [*self._state.glob("lock*"), *self._state.glob("pending"), *self._state.glob("roll")]

    def steady(self, text: str) -> None:
        """Check that one container serves, by its service's name, and that visitors get this text."""
        assert wait_until(self.is_unlocked, 60), sorted(self._state.iterdir())
        assert len(self.containers()) == 1
        assert '"http://blog"' in (self.stage.server / "traefik" / "conf" / "deployer-blog.yml").read_text("utf-8")
        assert text in self.stage.read("blog/")

    def deploy(self) -> dict[str, Any]:
        """`deployer run --json` at the author's home."""
        answer: dict[str, Any] = json.loads(self._deployer("run", "--json"))
        return answer

    def _take_over(self) -> None:
        """What its author does once: adopt the hand-written routers.yml, and make what runs the first release."""
        self._deployer("proxy", "adopt", "--yes")
        self.deploy()

    def _deployer(self, *command: str) -> str:
        mine = {name: text for name, text in os.environ.items() if not name.startswith(("DEPLOYER_", "GITHUB_"))}
        done = subprocess.run(
            [sys.executable, "-m", "deployer", *command],
            cwd=self.stage.author / "blog",
            env=mine | self.stage.settings() | {"DEPLOYER_URL": self.url, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def example_on(engine: Engine, folder: Path) -> Iterator[Example]:
    """The example on this engine, which is empty again at the end."""
    for program in ("git", "make", "nginx", "sshd"):
        need(program, "to have the example's server")
    engine.provide(*IMAGES)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", engine.host)
            stage = stack.enter_context(staged(folder))
        yield Example(stage)
    engine.clean()
