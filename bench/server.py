"""A throw-away OpenSSH server on loopback, as this user, with its own host key and one user key."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Address", "Server"]

CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {home}/host_key
AuthorizedKeysFile {home}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client connects to and what it needs: the port is the server's own or a relay's."""

    user: str
    port: int
    key: Path
    host_key: str
    known_hosts: Path

    def options(self) -> tuple[str, ...]:
        """OpenSSH's options, the port left out: nothing of the person's own configuration and no shared connection."""
        settings = {
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.key),
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "HostKeyAlias": "bench",
            "ControlMaster": "no",
            "BatchMode": "yes",
        }
        pairs = [("-o", f"{name}={value}") for name, value in settings.items()]
        return ("-F", "/dev/null", *(word for pair in pairs for word in pair))

    def ssh(self) -> tuple[str, ...]:
        """The ``ssh`` command up to and without the destination."""
        return ("ssh", *self.options(), "-p", str(self.port))

    @property
    def destination(self) -> str:
        """``user@host``."""
        return f"{self.user}@127.0.0.1"


class Server:
    """A real sshd; it ends with the ``with`` block."""

    def __init__(self, home: Path) -> None:
        """Make keys and configuration in the empty folder ``home`` and start."""
        self._home = home
        for name in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(home / name)]
            subprocess.run(command, check=True)
        self._host_key = " ".join((home / "host_key.pub").read_text().split()[:2])
        (home / "known_hosts").write_text(f"bench {self._host_key}\n")
        self.port = _free_port()
        config = home / "sshd_config"
        config.write_text(CONFIG.format(home=home, port=self.port))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # The server re-executes itself from its root directory: absolute paths only.
        command = ["/usr/sbin/sshd", "-D", "-f", str(config), "-E", str(home / "log")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._wait()

    def address(self, port: int) -> Address:
        """How to get in through ``port``."""
        return Address(getpass.getuser(), port, self._home / "user_key", self._host_key, self._home / "known_hosts")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)

    def _wait(self) -> None:
        for _ in range(100):
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"sshd does not answer: {(self._home / 'log').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
