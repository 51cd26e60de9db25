"""A site whose every version is known to the last byte, what the host holds of it, and the command that deploys it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployer.journal import Event, parse
from tests.attempts import wait_until
from tests.sshd import Sshd

__all__ = [
    "MARK",
    "Client",
    "Ended",
    "Running",
    "Site",
    "login_environment",
    "read_release",
    "version",
    "wait_until",
]

ROOT = Path(__file__).resolve().parents[2]
MARK = "DEPLOYED_SITE_TEST"
"""The variable by which all processes of a test are found, orphans too; the host's side gets it from sshd's SetEnv."""
SECONDS = 80.0  # for one command: far more than any needs, and less than a hanging one would take
CONNECT_SECONDS = 60  # twenty logins at once take long where much else goes on
PAGES = 24

Release = dict[str, bytes]


def version(number: int) -> Release:
    """The files of a version by path: pages that all change, files that never do, some that come, go and move."""
    files = {"index.html": f"<h1>version {number}</h1>\n".encode()}
    for index in range(PAGES):
        files[f"pages/{index:02}.html"] = f"<p>page {index} of version {number}</p>\n".encode() * (10 + index)
        files[f"same/deep/{index:02}.css"] = f"p {{ order: {index} }}\n".encode() * 30
    for index in range(number % 5):
        files[f"news/{number}/{index}.txt"] = f"news {index} of version {number}\n".encode()
    files[f"moved/{number % 3}/photo.bin"] = bytes(range(256)) * 16
    return files


def read_release(directory: int) -> Release:
    """Everything below an open directory, by path: it stays this one, whatever its name comes to mean meanwhile."""
    files: Release = {}
    for name in os.listdir(directory):
        opened = os.open(name, os.O_RDONLY, dir_fd=directory)
        try:
            with contextlib.suppress(IsADirectoryError):
                files[name] = _read(opened)
                continue
            files |= {f"{name}/{path}": data for path, data in read_release(opened).items()}
        finally:
            os.close(opened)
    return files


def _read(opened: int) -> bytes:
    pieces = []
    while piece := os.read(opened, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def login_environment(mark: str, home: Path, **more: object) -> str:
    """The line of sshd_config that marks what a login starts and gives it an empty home.

    A kill must never hit the profile of whoever runs the tests, which may hold locks of its own.
    """
    home.mkdir(exist_ok=True)
    variables = {MARK: mark, "HOME": home, **more}
    return "SetEnv " + " ".join(f"{name}={value}" for name, value in variables.items())


class Site:
    """The app ``name`` with its target ``www/name``; sources are written below ``work``."""

    def __init__(self, www: Path, work: Path, name: str) -> None:
        self.www, self.name = www, name
        self.target = www / name
        self.root = www / ".deployer" / name
        self.state = self.root / "state"
        self.lock = self.state / "lock"
        self._work = work / name
        self._versions: dict[int, Release] = {}

    def files(self, number: int) -> Release:
        """The files of a version."""
        if number not in self._versions:
            self._versions[number] = version(number)
        return self._versions[number]

    def add(self, number: int, files: Release) -> None:
        """Let a version have these files instead of the usual ones."""
        self._versions[number] = files

    def source(self, number: int) -> Path:
        """A directory with the files of this version, written when it is asked for first."""
        directory = self._work / str(number)
        if not directory.exists():
            _write(directory, self.files(number))
        return directory

    def forget(self, *numbers: int) -> None:
        """Remove the sources of versions that are done with."""
        for number in numbers:
            shutil.rmtree(self._work / str(number), ignore_errors=True)

    def make_plain(self, number: int) -> None:
        """Put a version there as ``scp`` would: the target is a directory of files."""
        _write(self.target, self.files(number))

    def live(self) -> int | None:
        """The version that is live, wholly; None when nothing is. Raises AssertionError for anything else."""
        try:
            opened = os.open(self.target, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            return self.which(read_release(opened), frozenset(self._versions))
        finally:
            os.close(opened)

    def which(self, files: Release, candidates: frozenset[int]) -> int:
        """The candidate that has exactly these files. Raises AssertionError with the difference when there is none."""
        for number in candidates:
            if self.files(number) == files:
                return number
        nearest = max(candidates, key=lambda number: len(self.files(number).items() & files.items()))
        wanted = self.files(nearest)
        differing = sorted(path for path in wanted.keys() | files.keys() if wanted.get(path) != files.get(path))
        wrong = {path: files.get(path, b"(missing)")[:40] for path in differing[:5]}
        raise AssertionError(
            f"{self.name} is none of {sorted(candidates)}: {len(differing)} differ from {nearest}: {wrong}"
        )

    def events(self) -> tuple[Event, ...]:
        """The journal."""
        file = self.state / "journal"
        return parse(file.read_text("utf-8", "replace")) if file.exists() else ()

    def waits_for_leases(self) -> int:
        """How many times a deploy had to wait for another one's lease to pass, as nothing else told that it is over."""
        return sum((event.step, event.details.get("why")) == ("lock", "silent") for event in self.events())

    def owner(self) -> int | None:
        """The process id of the program that holds the lock."""
        for file in self.lock.glob("*/owner"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int(file.read_text("utf-8", "replace").split()[0])
        return None

    def leftovers(self) -> list[str]:
        """Everything that should not be there when no deploy runs."""
        odd = ("lock", "claim", "broken", "pending", "app.", "version.")
        found = [path.name for path in self.state.iterdir() if path.name.startswith(odd)]
        found += [path.name for path in self.www.iterdir() if path.name.startswith(f".{self.name}.")]
        records, releases, logs = (
            {path.name for path in folder.iterdir()}
            for folder in (self.state / "records", self.root / "releases", self.state / "logs")
        )
        found += [f"release without record: {name}" for name in releases - records]
        found += [f"record without release: {name}" for name in records - releases]
        found += [f"log without release: {name}" for name in logs - releases]
        return found


def _write(directory: Path, files: Release) -> None:
    for path, data in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: exit code (negative: the signal), what it said, seconds."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def waited(self) -> float:
        """Seconds until the lock was taken and the host had told what is live: no matter how busy this machine is."""
        steps: list[dict[str, Any]] = json.loads(self.out)["steps"]
        return float(sum(step["seconds"] for step in steps if step["name"] == "compare"))

    def __str__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.1f} s\n{self.err}{self.out}"


class Running:
    """A command that runs. Its output goes into files, so that it can be paused and killed without filling a pipe."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self.began = time.monotonic()
        self._out, self._err = out, err

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """Its standard error so far."""
        return self._err.read_text("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process."""
        self.process.send_signal(number)

    def ended(self, seconds: float = SECONDS) -> Ended:
        """Its end; one that takes longer than ``seconds`` is killed, and fails the test."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {seconds:g} s more:\n{self.said}") from None
        out = self._out.read_text("utf-8", "replace")
        return Ended(code, out, self.said, time.monotonic() - self.began)


@dataclass(slots=True)
class Client:
    """``deployer run`` for sites, on this machine or over ``sshd``; ``port`` is that of a relay before it."""

    directory: Path
    mark: str
    sshd: Sshd | None = None
    port: int = 0
    flags: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def start(self, site: Site, number: int, *flags: str, lock_wait: int = 30) -> Running:
        """Start to deploy a version."""
        self._count += 1
        out, err = (self.directory / f"{site.name}-{number}-{self._count}.{name}" for name in ("out", "err"))
        command = [sys.executable, "-m", "deployer", "run", "--json", "--app", site.name, "--strategy", "static"]
        command += ["--source", str(site.source(number)), "--target", str(site.target), "--lock-wait", str(lock_wait)]
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                [*command, *self._host(), *self.flags, *flags],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        return Running(process, out, err)

    def run(self, site: Site, number: int, *flags: str, lock_wait: int = 30) -> Ended:
        """Deploy a version, whatever the end."""
        return self.start(site, number, *flags, lock_wait=lock_wait).ended()

    def deploy(self, site: Site, number: int, *flags: str) -> Ended:
        """Deploy a version, which must succeed."""
        ended = self.run(site, number, *flags)
        assert ended.code == 0, str(ended)
        assert site.live() == number
        return ended

    def _host(self) -> list[str]:
        if self.sshd is None:
            return ["--host", "local"]
        port = self.port or self.sshd.port
        login = f"{self.sshd.user}@127.0.0.1:{port}"
        host = ["--host", login, "--host-key", self.sshd.pin(port=port), "--key", str(self.sshd.key_file)]
        return [*host, "--connect-timeout", str(CONNECT_SECONDS)]

    def _environment(self) -> dict[str, str]:
        """Nothing of the tester's own deploys and logins."""
        foreign = ("DEPLOYER_", "GITHUB_", "SSH_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return kept | {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", MARK: self.mark} | self.variables
