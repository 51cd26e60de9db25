"""What `deployer check` finds on the way to a host, and on it: each step of the connection is a finding of its own."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from deployer.checking.here import resolved
from deployer.checking.rooms import look
from deployer.command import quote
from deployer.composition import program_for
from deployer.config import Config, Host, Secrets
from deployer.errors import ConnectionRefused, DeployerError, InvalidInput
from deployer.finding import Finding, failure, fine, warning
from deployer.plan import Reply
from deployer.ports import Session, Transport

__all__ = ["Visit"]

WEAK_BITS = 3072
"""RSA keys below are not for data that must be safe beyond 2030 (NIST SP 800-57, part 1, table 2)."""
OWN_KNOWN_HOSTS = Path("~/.ssh/known_hosts")


@dataclass(slots=True)
class Visit:
    """One host, looked at once. ``reply`` is what its program said, if it did."""

    config: Config
    credentials: Secrets
    host: Host
    transport: Transport
    reply: Reply | None = None

    def findings(self) -> Iterator[Finding]:
        """From the name to what is on the host; where it cannot be reached, one error is the last."""
        if self.host.local:
            yield fine("connection", "this machine")
        else:
            named = self._named()
            yield named
            if named.code:
                return
        try:
            session = self.transport.open(program_for(self.config)) if self.host.local else (yield from self._log_in())
            if session is not None:
                yield from self._look(session)
        except DeployerError as reason:
            # Let in, and yet no answer: a forced command, a login shell that says no, no room for a process.
            yield failure("program", reason, f"{self._by_hand()} sh -c true")

    def _named(self) -> Finding:
        """The server that is dialled from here."""
        if self.host.jump:
            return resolved(self.host.jump[0].address, "host.jump (--jump)")
        return resolved(self.host.address, "host.address (--host)")

    def _log_in(self) -> Generator[Finding, None, Session | None]:
        from deployer.transports.host_keys import HostKeyRefused
        from deployer.transports.ssh import LoginRefused

        reached = self._reached()
        try:
            pinned = self._pinned()
        except InvalidInput as reason:
            yield failure("host_key", reason, "correct host_key or known_hosts")
            return None
        began = time.monotonic()
        try:
            session = self.transport.open(program_for(self.config))
        except HostKeyRefused as reason:
            yield from (reached, failure("host_key", reason, self._by_hand()))
        except (LoginRefused, InvalidInput) as reason:  # InvalidInput: our own key cannot be read
            yield from (
                reached,
                pinned,
                failure("login", reason, f"correct host.key (--key), or try by hand: {self._by_hand()}"),
            )
        except ConnectionRefused as reason:
            yield failure("connection", reason, self._by_hand())
        else:
            yield from (reached, pinned, fine("login", f"{self.transport.host}, in {_short(time.monotonic() - began)}"))
            return session
        return None

    def _by_hand(self) -> str:
        """The command that shows what the other side says, to a person who may look."""
        host = self.host
        login = f"{host.user}@{host.address}" if host.user else host.address
        jumps = ",".join((f"{jump.user}@" if jump.user else "") + f"{jump.address}:{jump.port}" for jump in host.jump)
        return " ".join(["ssh -v", f"-p {host.port}", *([f"-J {quote(jumps)}"] if jumps else []), quote(login)])

    def _reached(self) -> Finding:
        """How long a round trip takes; that the host can be reached is for the connection itself to find out."""
        host = self.host
        if host.jump:
            way = ", ".join(f"{jump.address}:{jump.port}" for jump in host.jump)
            return fine("connection", f"{host.address} port {host.port}, through {way}")
        began = time.monotonic()
        try:
            with socket.create_connection((host.address, host.port), timeout=host.connect_timeout):
                taken = f"answers in {_short(time.monotonic() - began)}"
        except OSError:
            taken = "did not answer at the first try"
        return fine("connection", f"{host.address} port {host.port} {taken}")

    def _pinned(self) -> Finding:
        """What is pinned, and whether it is strong. Raises InvalidInput."""
        from deployer.transports.host_keys import read_pins

        host = self.host
        files = [(Path(host.known_hosts), True)] if host.known_hosts else []
        origin = host.known_hosts or "host_key"
        if not files and not host.host_key:
            files, origin = [(OWN_KNOWN_HOSTS, False)], f"{OWN_KNOWN_HOSTS} of this machine"
        keys = read_pins(host.address, host.port, host.host_key, files).accepted
        found = f"the pinned one ({', '.join(sorted({key.type for key in keys}))}, from {origin})"
        bits = [_rsa_bits(key.type, key.blob) for key in keys]
        if bits and all(0 < size < WEAK_BITS for size in bits):
            return warning(
                "host_key",
                f"{found}, an RSA key of {max(bits)} bits only",
                "pin the server's Ed25519 key, too; on the server: cat /etc/ssh/ssh_host_ed25519_key.pub",
            )
        return fine("host_key", found)

    def _look(self, session: Session) -> Iterator[Finding]:
        try:
            self.reply, findings = look(self.config, self.credentials, session)
        finally:
            session.close(wait=False)
        yield from findings


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _rsa_bits(kind: str, blob: bytes) -> int:
    """The size of an RSA key, whose last field (RFC 4253, section 6.6) is its modulus; 0 for other keys."""
    if kind != "ssh-rsa":
        return 0
    rest = blob
    field = b""
    while rest:
        length = int.from_bytes(rest[:4], "big")
        field, rest = rest[4 : 4 + length], rest[4 + length :]
    return int.from_bytes(field, "big").bit_length()
