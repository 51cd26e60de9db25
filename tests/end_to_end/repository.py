"""A project whose server rebuilds it: a repository, the server's checkout, and what its Makefile puts in view."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.end_to_end.deployment import Deployment
from tests.sshd import Sshd

__all__ = ["Project", "git"]

_MAKEFILE = """\
build:
\tsh build.sh
up:
\tsh up.sh
"""


def git(directory: Path, *arguments: str) -> str:
    """What git says to these arguments, which must succeed."""
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    done = subprocess.run(("git", *identity, *arguments), cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Project(Deployment):
    """The app ``blog``: ``work`` is where somebody writes, ``origin.git`` the repository, ``server/blog`` the checkout.

    Its build copies ``version`` to ``built``, and ``up`` copies that to ``served``, which counts as what visitors get.
    """

    def __init__(self, directory: Path, *, sshd: Sshd | None = None, url: str = "") -> None:
        super().__init__(directory, sshd=sshd, url=url)
        self.work, self.origin = directory / "work", directory / "origin.git"
        self.checkout = directory / "server" / "blog"
        self.state = directory / "server" / ".deployer" / "blog" / "state"
        self.visible = directory / "served"
        self.settings |= {"app": "blog", "strategy": "rebuild", "rebuild": {"path": str(self.checkout)}}
        self.static = {}
        self.work.mkdir()
        git(self.work, "init", "--quiet", "--initial-branch=main")
        (self.work / "Makefile").write_text(_MAKEFILE)
        (self.work / "build.sh").write_text("echo building $(cat version)\ncp version built\n")
        (self.work / "up.sh").write_text(f"cp built '{self.visible}'\n")
        (self.work / ".gitignore").write_text("built\n")
        self.commit("one", push=False)
        git(directory, "clone", "--quiet", "--bare", "work", "origin.git")
        git(self.work, "remote", "add", "origin", str(self.origin))
        self.checkout.parent.mkdir()
        git(self.checkout.parent, "clone", "--quiet", str(self.origin), "blog")

    @property
    def rebuild(self) -> dict[str, object]:
        """The table of that name in deploy.toml."""
        table: dict[str, object] = self.settings["rebuild"]
        return table

    def commit(self, version: str, *, push: bool = True, build: str = "", up: str = "") -> str:
        """Commit this version, with another script to build or bring it up; the result is its full hash."""
        (self.work / "version").write_text(f"{version}\n")
        for name, text in (("build", build), ("up", up)):
            if text:
                (self.work / f"{name}.sh").write_text(f"{text}\n")
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", version)
        if push:
            git(self.work, "push", "--quiet", "origin", "main")
        return git(self.work, "rev-parse", "HEAD")

    @property
    def served_version(self) -> str:
        """What visitors get; empty before the first deploy."""
        return self.visible.read_text().strip() if self.visible.exists() else ""

    @property
    def head(self) -> str:
        """The commit that the server's checkout is at."""
        return git(self.checkout, "rev-parse", "HEAD")

    def is_at_rest(self) -> bool:
        """Whether nothing is left of any deploy: no lock, nothing pending, nothing to undo."""
        return self.is_unlocked() and not any((self.state / "undo").iterdir()) and not (self.state / "roll").exists()
