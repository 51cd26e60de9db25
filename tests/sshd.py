"""A real OpenSSH server on loopback, in a directory of its own: for tests, and for trying things by hand.

::

    with Sshd(tmp_path) as sshd:
        open_channel(SshSettings("127.0.0.1", sshd.port, sshd.user, key_file=sshd.key_file, host_keys=(sshd.pin(),)))

It runs as root, and as an ordinary user who then can only log in as himself.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import parts

__all__ = ["Sshd", "make_key", "sshd_for_tests"]

LOOPBACK = "127.0.0.1"
HOST_KEY_TYPES = ("ed25519", "ecdsa", "rsa")
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


def make_key(path: Path, kind: str = "ed25519", *, passphrase: str = "", options: Sequence[str] = ()) -> Path:
    """Make a key pair with ssh-keygen; the public half is beside it, in ``.pub``."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"test {kind}", "-f", str(path), *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """One server: it listens from the construction on, and ends, with all its sessions, in ``stop``.

    ``config`` are further lines of sshd_config, which win over the ones here; ``options`` stand before the client's key
    in authorized_keys (``command="…"``, say). ``directory`` must be one that the user alone may write. ``before`` are
    arguments to start it with, a program that becomes sshd at its end: in a mount namespace of its own, say.
    """

    def __init__(
        self,
        directory: Path,
        *,
        config: Sequence[str] = (),
        options: str = "",
        host_key_types: Sequence[str] = HOST_KEY_TYPES,
        before: Sequence[str] = (),
    ) -> None:
        self.directory = directory.resolve() / f"sshd-{time.monotonic_ns()}"
        self.directory.mkdir(mode=0o700)
        self.user = getpass.getuser()
        self.log = self.directory / "log"
        self.host_keys = {
            kind: make_key(self.directory / f"host_{kind}", kind, options=("-b", "2048") if kind == "rsa" else ())
            for kind in host_key_types
        }
        self.key_file = make_key(self.directory / "client")
        self.authorized_keys = self.directory / "authorized_keys"
        self.authorized_keys.touch(mode=0o600)
        self.authorize(self.key_file, options)
        self._config = tuple(config)
        self._before = tuple(before)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def authorize(self, key_file: Path, options: str = "") -> None:
        """Let a further key in."""
        line = f"{options} {key_file.with_suffix('.pub').read_text('ascii')}".lstrip()
        with self.authorized_keys.open("a", encoding="ascii") as file:
            file.write(line)

    def public(self, kind: str = "") -> str:
        """The server's public key of this type (default: its first), bare: ``ssh-ed25519 AAAA…``."""
        return " ".join(
            self.host_keys[kind or next(iter(self.host_keys))].with_suffix(".pub").read_text("ascii").split()[:2]
        )

    def pin(self, kind: str = "", port: int = 0) -> str:
        """The known_hosts line of the server, or of a relay in front of it at ``port``."""
        return f"[{LOOPBACK}]:{port or self.port} {self.public(kind)}"

    def start(self) -> None:
        """Start, or start again after ``stop``, at the same port if there was one."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for _ in range(5):  # another process may take the free port first
            self.port = self.port or _free_port()
            if self._start():
                return
            self.port = 0
        raise RuntimeError(f"sshd did not start:\n{self.log.read_text('utf-8', 'replace')}")

    def stop(self) -> None:
        """End the server and its sessions, by their process ids."""
        if self._process is None:
            return
        sessions = [*self.processes()]
        self._process.terminate()
        for pid in sessions:
            _kill(pid, signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)
        self._process = None

    def sessions(self) -> list[int]:
        """The process ids of sshd's own per-connection processes, oldest first; with root, monitor and worker."""
        return [pid for pid in self.processes() if _name(pid).startswith("sshd")]

    def processes(self) -> Iterator[int]:
        """The process ids of everything that the server started, commands of its sessions included, parents first."""
        assert self._process
        found = [self._process.pid]
        for parent in found:
            for child in _children(parent):
                found.append(child)
                yield child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> bool:
        lines = [
            "MaxStartups 100:30:200",  # of these the last counts, of all others the first
            *self._config,
            f"Port {self.port}",
            f"ListenAddress {LOOPBACK}",
            *(f"HostKey {path}" for path in self.host_keys.values()),
            f"AuthorizedKeysFile {self.authorized_keys}",
            f"PidFile {self.directory / 'pid'}",
            "StrictModes no",  # temporary directories have open parents
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "LogLevel VERBOSE",
        ]
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        server = parts.find("sshd")  # by its absolute path: it re-executes itself
        assert server, "sshd is not installed"
        self._process = subprocess.Popen(
            [*self._before, server, "-D", "-f", str(config), "-E", str(self.log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return True
            time.sleep(0.02)
        self._process.kill()
        self._process.wait()
        return False


def sshd_for_tests(directory: Path, **options: object) -> Sshd:
    """A server for a test, which is skipped where none is installed (and fails in CI)."""
    from tests.conftest import need  # here, so that benchmarks have a server without pytest

    need("sshd", "to log in over SSH")
    need("ssh-keygen", "to make keys")
    return Sshd(directory, **options)  # type: ignore[arg-type]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    """Linux tells them by thread; sshd has one."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
