"""A site, its target and the command line that deploys it, used from outside as a person would: one process a command."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sshd import Sshd

__all__ = ["Deployment", "Ran", "listing", "tree"]

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 110  # for one command: far more than any needs, and less than a hanging one would take


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command ended: its exit code and what it said on each stream."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    @property
    def errors(self) -> list[str]:
        """The lines that say what went wrong, their hints left out."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    def failed(self, code: int, *words: str) -> str:
        """Check the end: this exit code, one message that holds all ``words``, no traceback. Returns all that was said."""
        assert self.code == code, f"exit code {self.code} instead of {code}:\n{self.err}{self.out}"
        assert "Traceback" not in self.err, self.err
        assert "This is a bug" not in self.err, self.err
        assert len(self.errors) == 1, self.err
        for word in words:
            assert word in self.err, f"{word!r} is not in:\n{self.err}"
        return self.err


class Deployment:
    """The app ``site`` in ``directory``: source ``public``, target ``www/site`` on this machine, or on it over ``sshd``.

    ``settings``, ``host`` and ``static`` become deploy.toml, unless ``configured`` is false. ``variables`` are added to
    the environment of each command; for a deploy on this machine, the host's program sees them too.
    """

    def __init__(self, directory: Path, *, sshd: Sshd | None = None, url: str = "") -> None:
        self.directory = directory
        self.source = directory / "public"
        self.parent = directory / "www"
        self.target = self.parent / "site"
        self.root = self.parent / ".deployer" / "site"
        self.state = self.root / "state"
        self.home = directory / "home"
        self.working_directory = directory
        self.configured = True
        self.variables: dict[str, str] = {}
        self.settings: dict[str, Any] = {"app": "site", "strategy": "static", "url": url, "lock_wait": 30}
        self.static: dict[str, Any] = {"source": "public", "target": str(self.target)}
        self.host: dict[str, Any] = {"address": "local"}
        if sshd:
            self.host = {"address": "127.0.0.1", "port": sshd.port, "user": sshd.user, "key": str(sshd.key_file)}
            self.host |= {"host_key": [sshd.pin()], "connect_timeout": 30}
        for made in (self.source, self.parent, self.home):
            made.mkdir(parents=True, exist_ok=True)

    # --- the source ------------------------------------------------------------------------------------------------------

    def write(self, name: str | bytes, contents: str | bytes = "", mode: int = 0o644) -> Path:
        """Write one file of the source, and return its path."""
        path = self.source / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        path.chmod(mode)
        return path

    def files(self, **contents: str | bytes) -> None:
        """Make the source hold exactly these files, ``name="text"`` becoming ``name.html``."""
        shutil.rmtree(self.source)
        self.source.mkdir()
        for name, text in contents.items():
            self.write(f"{name}.html", text)

    # --- commands --------------------------------------------------------------------------------------------------------

    def command(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ran:
        """Run one command to its end."""
        if self.configured:
            self.configure()
        ended = subprocess.run(
            [sys.executable, "-m", "deployer", *arguments],
            cwd=self.working_directory,
            env=self.environment() | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace"))

    def run(self, *flags: str, **variables: str) -> Ran:
        """``deployer run --json``, whatever its end."""
        return self.command("run", "--json", *flags, variables=variables)

    def deploy(self, *flags: str) -> dict[str, Any]:
        """``deployer run --json`` that must succeed; its answer."""
        return self.answer("run", *flags)

    def answer(self, *arguments: str) -> dict[str, Any]:
        """The answer of any command that must succeed."""
        ended = self.command(*arguments, "--json")
        assert ended.code == 0, ended.err
        return ended.json

    def environment(self) -> dict[str, str]:
        """What commands see: nothing of the tester's own deploys and logins."""
        foreign = ("DEPLOYER_", "GITHUB_", "SSH_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return kept | {"PYTHONPATH": str(ROOT), "HOME": str(self.home), "LANG": "C.UTF-8"} | self.variables

    def configure(self) -> None:
        """Write deploy.toml as the attributes say. JSON's texts, numbers and lists are also TOML's."""
        tables = {"": self.settings, "host": self.host, "static": self.static}
        lines: list[str] = []
        for name, table in tables.items():
            lines += [f"[{name}]"] * bool(name)
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
        for name, table in self.settings.items():
            if isinstance(table, dict):
                lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        (self.directory / "deploy.toml").write_text("\n".join(lines) + "\n", "utf-8")

    # --- the host --------------------------------------------------------------------------------------------------------

    def served(self) -> dict[bytes, tuple[str, bytes]]:
        """What visitors get: see :func:`tree`; empty when nothing is live."""
        return tree(self.target) if self.target.exists() else {}

    def text(self, name: str) -> str:
        """The contents of one live file."""
        return (self.target / name).read_text()

    @property
    def live(self) -> str:
        """The identifier of the live release, which is the link's and no other's."""
        return self.target.readlink().name.partition(".")[0]

    def releases(self) -> list[str]:
        """The identifiers of the release directories on the host, oldest first."""
        return sorted(path.name.partition(".")[0] for path in (self.root / "releases").iterdir())

    def record(self) -> Path:
        """The live release's record."""
        return self.state / "records" / self.target.readlink().name

    def is_unlocked(self) -> bool:
        """Whether nothing is left of a deploy that ended."""
        left = [
            path.name for path in self.state.iterdir() if path.name.startswith(("lock", "claim", "broken", "pending"))
        ]
        return left == []


def tree(directory: Path) -> dict[bytes, tuple[str, bytes]]:
    """Everything below ``directory`` by path: a directory's ``("755", b"")``, a file's mode and contents, a link's text."""
    top = directory.resolve()
    return {os.fsencode(path.relative_to(top)): _contents(path) for path in _below(top)}


def _contents(path: Path) -> tuple[str, bytes]:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return "link", os.fsencode(path.readlink())
    data = b"" if stat.S_ISDIR(about.st_mode) else path.read_bytes()
    return f"{stat.S_IMODE(about.st_mode):o}", data


def _below(top: Path) -> Iterator[Path]:
    for folder, directories, files in os.walk(top):
        for name in (*directories, *files):
            yield Path(folder, name)


def listing(directory: Path) -> dict[Path, tuple[int, ...]]:
    """Every name at and below ``directory`` with what changes when anybody writes: inode, mode, size and both times."""
    found: dict[Path, tuple[int, ...]] = {}
    for path in (directory, *_below(directory)):
        about = path.lstat()
        found[path] = (about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    return found
