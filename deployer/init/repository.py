"""What Git knows of a folder: the repository's top, its remote and the branch that is deployed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Remote", "Repository", "look", "parse_remote", "run_git"]

GITHUB = ("github.com", "www.github.com", "ssh.github.com")
_GIT_SECONDS = 10
_DEFAULT_BRANCH = "main"
# git-clone(1), "GIT URLS": with a scheme, or the short form of ssh, whose path begins behind a colon.
_WITH_SCHEME = r"(?:https?|ssh|git)://(?:[^@/]*@)?(?P<host>[^:/@]+)(?::\d+)?/(?P<path>[^?#]+)"
_SHORT = r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?!//)(?P<path>[^?#]+)"


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository on a server: ``owner`` may have several components, or none."""

    host: str
    owner: str
    name: str

    @property
    def is_github(self) -> bool:
        """Whether GitHub runs the workflows of it."""
        return self.host in GITHUB

    @property
    def url(self) -> str:
        """The address from which anybody may clone, if anybody may."""
        host = GITHUB[0] if self.is_github else self.host
        return "/".join(part for part in (f"https://{host}", self.owner, self.name) if part)


@dataclass(frozen=True, slots=True)
class Repository:
    """``top`` is None outside of Git; ``branch`` is the remote's default one, as far as is known here."""

    top: Path | None = None
    remote: Remote | None = None
    branch: str = _DEFAULT_BRANCH


def parse_remote(url: str) -> Remote | None:
    """A remote's URL, in Git's forms for https, ssh and git; None for a path on this machine."""
    match = re.fullmatch(_WITH_SCHEME, url) or re.fullmatch(_SHORT, url)
    if not match:
        return None
    parts = [part for part in match["path"].removesuffix("/").removesuffix(".git").split("/") if part]
    return Remote(match["host"].lower(), "/".join(parts[:-1]), parts[-1]) if parts else None


def look(folder: Path) -> Repository:
    """What Git says of ``folder``; never raises."""
    top = run_git(folder, "rev-parse", "--show-toplevel")
    if not top:
        return Repository()
    name, remote = _remote(folder)
    return Repository(Path(top), remote, _branch(folder, name))


def _remote(folder: Path) -> tuple[str, Remote | None]:
    """GitHub's remote before any other, and ``origin`` before others of a kind."""
    found: list[tuple[str, Remote]] = []
    for line in run_git(folder, "remote", "-v").splitlines():
        name, _, rest = line.partition("\t")
        remote = parse_remote(rest.partition(" ")[0])
        if remote:
            found.append((name, remote))
    found.sort(key=lambda pair: (not pair[1].is_github, pair[0] != "origin"))
    return found[0] if found else ("origin", None)


def _branch(folder: Path, remote: str) -> str:
    default = run_git(folder, "symbolic-ref", "--quiet", "--short", f"refs/remotes/{remote}/HEAD")
    current = run_git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    return default.removeprefix(f"{remote}/") or current or _DEFAULT_BRANCH


def run_git(folder: Path, *arguments: str) -> str:
    """What a command of Git prints, without the newline at its end; the empty text when it fails or is not there."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n") if done.returncode == 0 else ""
