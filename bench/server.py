"""How clients get to the bench's OpenSSH server: directly, or through a relay in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.sshd import Sshd

__all__ = ["Address", "address_of", "start_server"]


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


def start_server(folder: Path, before: Sequence[str] = ()) -> Sshd:
    """A throw-away server with its keys in ``folder``; scp needs its file transfer subsystem. For ``before`` see Sshd."""
    config = ("Subsystem sftp internal-sftp", "PrintMotd no")
    return Sshd(folder, config=config, host_key_types=["ed25519"], before=before)


def address_of(server: Sshd, port: int) -> Address:
    """How to get in through ``port``, with the server's key as the only one that is trusted."""
    known_hosts = server.directory / "known_hosts"
    known_hosts.write_text(f"bench {server.public()}\n")
    return Address(server.user, port, server.key_file, server.public(), known_hosts)
