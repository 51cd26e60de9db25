"""The checkout's part of the host's program, and a repository with its clones, for the tests of both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import pytest

from deployer.config import Secrets
from deployer.host import assemble
from deployer.plan import Reply, Text
from deployer.rebuild import requests
from deployer.rebuild.credential import Credential
from deployer.transports.conversation import Conversation
from deployer.transports.local import open_channel
from tests.conftest import need

__all__ = ["CheckoutHost", "Repository", "git", "isolate", "page"]

PARTS = (
    "site.sh",
    "ahead.sh",
    "command.sh",
    "checkout.sh",
    "remote.sh",
    "update.sh",
    "move.sh",
    "restore.sh",
    "recover.sh",
    "releases.sh",
)

# Containers and images are other tests' matter; the conversation's loop is the program's own.
_STUBS = """
compose_file='' composer='' compose_files='' compose_directory='' compose_environment='' compose_home='' project=''
compose_facts() { :; }
compose_ahead() { :; }
find_proxy_directory() { :; }
proxy_facts() { :; }
forget_plans() { :; }
remember_images() { :; }
restore_images() { :; }
forget_images() { :; }
roll_back() { :; }
roll_finish() { :; }
find_composer() { :; }
load_compose() { :; }
save_compose() { :; }
"""

_IDENTITY = {"NAME": "Anna", "EMAIL": "anna@example.org", "DATE": "1700000000 +0000"}


def program() -> str:
    """The checkout's part of the host's program, ready to talk."""
    main = resources.files("deployer.rebuild.host").joinpath("main.sh").read_text("utf-8")
    return assemble("deployer.rebuild.host", PARTS) + _STUBS + main


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a login without an identity, and with nothing of this machine's own configuration."""
    need("git", "to have a checkout")
    home = folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text('[protocol "file"]\n\tallow = always\n[init]\n\tdefaultBranch = trunk\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


def git(directory: Path, *arguments: str, **variables: str) -> str:
    """What git prints, without the line break at the end."""
    identity = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in _IDENTITY.items()}
    given = os.environ | identity | variables
    ended = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        env=given,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, f"git {arguments}: {ended.stdout}{ended.stderr}"
    return ended.stdout.rstrip("\n")


class Repository:
    """What is pushed to: a bare repository, and the work tree of somebody who pushes to it."""

    def __init__(self, folder: Path, name: str = "blog") -> None:
        self.bare = folder / f"{name}.git"
        self.work = folder / f"{name}-work"
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(folder, "init", "--quiet", "--initial-branch=main", str(self.work))
        git(self.work, "remote", "add", "origin", str(self.bare))
        self.url = f"file://{self.bare}"

    def commit(self, files: Mapping[str, str | None] | None = None, *, push: bool = True) -> str:
        """Write (None: remove) the files, commit and push the branch; the new commit."""
        for name, text in (files or {}).items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        git(self.work, "add", "--all", "--force")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", f"change {' '.join(files or {})}".strip())
        if push:
            git(self.work, "push", "--quiet", "--force", "origin", "HEAD")
        return self.head()

    def head(self) -> str:
        return git(self.work, "rev-parse", "HEAD")

    def clone(self, path: Path, *options: str) -> None:
        git(path.parent, "clone", "--quiet", *options, self.url, str(path))


@dataclass
class CheckoutHost:
    """The host as a deploy sees it. Each deploy has a session, a lock and a release of its own."""

    path: Path
    secrets: Secrets = field(default_factory=Secrets)
    repository: str = ""
    printed: list[str] = field(default_factory=list)
    count: int = 0
    session: Conversation | None = None

    def open(self) -> Conversation:
        """A session with the program that knows its place."""
        self.close()
        self.count += 1
        self.session = Conversation(open_channel(60), program(), "local", output=self.printed.append)
        self.session.perform(requests.site("blog", str(self.path), f"nonce{self.count}", "test"))
        return self.session

    def begin(self) -> Conversation:
        """A session that has the lock and an unfinished release."""
        session = self.open()
        session.perform(requests.lock(30, "test"))
        session.perform(requests.begin(self.release, "", Text(lambda: "app blog\n")))
        return session

    @property
    def release(self) -> str:
        return f"20261122T1903{self.count:02}Z-7f247f9"

    def resolve(self, ref: str = "", session: Conversation | None = None) -> Reply:
        credential = Credential(self.secrets, self.repository)
        return (session or self.open()).perform(requests.resolve(ref, self.repository, credential))[0]

    def facts(self) -> Reply:
        return self.open().perform(requests.facts("", "", ""))[0]

    def update(
        self, commit: str = "", refname: str = "refs/heads/main", *, mode: str = "exact", stash: bool = False
    ) -> Reply:
        """One whole deploy: the update, and the end of a good one."""
        session, reply = self.update_only(commit, refname, mode=mode, stash=stash)
        session.perform(requests.accept(), requests.finish(5))
        return reply

    def update_only(
        self, commit: str = "", refname: str = "refs/heads/main", *, mode: str = "exact", stash: bool = False
    ) -> tuple[Conversation, Reply]:
        """The deploy up to its update."""
        session = self.begin()
        if not commit:
            found = self.resolve("", session)
            commit, refname = found.text("commit"), found.text("refname")
        credential = Credential(self.secrets, self.repository)
        request = requests.update(self.release, commit, refname, mode, self.repository, credential, stash=stash)
        return session, session.perform(request)[0]

    def head(self) -> str:
        return git(self.path, "rev-parse", "HEAD")

    def branch(self) -> str:
        return git(self.path, "branch", "--show-current")

    def status(self) -> str:
        return git(self.path, "status", "--short")

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None


def page(host: CheckoutHost) -> str:
    """What is in the file that every test changes."""
    return (host.path / "page").read_text()
