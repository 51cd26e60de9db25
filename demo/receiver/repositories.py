"""Two repositories with an author: a static site, and a service that is rebuilt in its checkout on the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.git import git
from demo.site import write_site

__all__ = ["Author", "Commit"]

SITE_MAKEFILE = """\
build:
	sleep $$(cat seconds)
	rm -rf public
	cp -r pages public
"""
SERVICE_MAKEFILE = """\
include .env
build:
	sed "s/VERSION/$$(cat version)/" page.html >built.html
up:
	mkdir -p "$(WWW)"
	cp built.html "$(WWW)/index.html"
"""
PAGE = "<!doctype html>\n<title>Service</title>\n<h1>The service, version VERSION</h1>\n"


@dataclass(frozen=True, slots=True)
class Commit:
    """What was pushed."""

    name: str
    tree: str
    time: str
    message: str
    files: tuple[str, ...]


class Author:
    """Whoever writes one of the two: ``folder`` is the clone to work in, ``origin`` what stands for GitHub."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder, self.origin = folder, origin
        folder.mkdir(parents=True)
        git(folder.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "remote", "add", "origin", str(origin))

    def write_site(self, version: int, *, build_seconds: int = 0) -> None:
        """A new version of the site, whose build takes so long."""
        write_site(self.folder / "pages", version)
        (self.folder / "seconds").write_text(f"{build_seconds}", "ascii")
        (self.folder / "Makefile").write_text(SITE_MAKEFILE, "utf-8")
        (self.folder / ".gitignore").write_text("public/\n", "utf-8")

    def write_service(self, version: int) -> None:
        """A new version of the service."""
        (self.folder / "version").write_text(f"{version}\n", "ascii")
        (self.folder / "page.html").write_text(PAGE, "utf-8")
        (self.folder / "Makefile").write_text(SERVICE_MAKEFILE, "utf-8")
        (self.folder / ".gitignore").write_text(".env\nbuilt.html\n", "utf-8")

    def push(self, message: str) -> Commit:
        """Commit everything, and push it."""
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", f"--message={message}")
        git(self.folder, "push", "--quiet", "origin", "main")
        name, tree, time = git(self.folder, "log", "-1", "--format=%H %T %cI").split()
        files = git(self.folder, "diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "HEAD").splitlines()
        return Commit(name, tree, time, message, tuple(files[:20]))
