"""The host key that a server shows, and a person's word that it is the right one."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator, Sequence

from deployer.errors import ConnectionRefused, InvalidInput
from deployer.transports import dial
from deployer.transports.hop import Hop, Jump, place
from deployer.transports.host_keys import Pins, PublicKey

__all__ = ["check_fingerprint", "compare_command", "find_key", "scan"]

# In the order of preference. RSA keys sign by these two; the key's own name would stand for SHA-1 (RFC 8332).
_FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
_SHA256_BYTES = 32


def check_fingerprint(text: str) -> str:
    """A fingerprint as ``ssh-keygen -l`` shows it, ``SHA256:`` and unpadded Base64. Raises InvalidInput."""
    match = re.fullmatch(r"SHA256:([A-Za-z0-9+/]{43})=?", text.strip())
    if not match or len(base64.b64decode(match[1] + "=")) != _SHA256_BYTES:
        hint = "It is the second word that `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the server."
        raise InvalidInput("--accept-fingerprint must be SHA256: and the 43 characters behind it", hint=hint)
    return f"SHA256:{match[1]}"


def compare_command(key: PublicKey) -> str:
    """The command that shows the fingerprint on the server itself."""
    kind = "ecdsa" if key.type.startswith("ecdsa-") else key.type.removeprefix("ssh-")
    return f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"


def find_key(address: str, port: int, fingerprints: Sequence[str], *, timeout: float) -> PublicKey:
    """The first of the server's keys that has one of these fingerprints. Raises ConnectionRefused."""
    seen: list[PublicKey] = []
    for key in _keys(address, port, timeout):
        if key.fingerprint in fingerprints:
            return key
        seen.append(key)
    shown = ", ".join(map(str, seen))
    raise ConnectionRefused(
        f"{place(address, port)} has no host key with the accepted fingerprint {', '.join(fingerprints)}; it shows {shown}",
        hint="Either somebody is in between, or the fingerprint is another server's. Compare on the server, reached\n"
        f"another way (the provider's console): `{compare_command(seen[0])}`",
    )


def _keys(address: str, port: int, timeout: float) -> Iterator[PublicKey]:
    first = scan(address, port, timeout=timeout)
    yield first
    for family in _FAMILIES:
        if not any(first.type == name or (first.type == "ssh-rsa" and name.startswith("rsa-")) for name in family):
            key = _scan(address, port, family, timeout)
            if key:
                yield key


def scan(address: str, port: int, *, timeout: float) -> PublicKey:
    """The key that a server proves to own in a key exchange, an Ed25519 one if it has that; nobody logs in.

    ``timeout``: seconds for reaching the server and then for each step. Raises ConnectionRefused.
    """
    key = _scan(address, port, [name for family in _FAMILIES for name in family], timeout)
    if key is None:
        hint = "Its SSH server is very old or very strict; give its key yourself, by --host-key."
        raise ConnectionRefused(f"{place(address, port)} and deployer have no algorithm in common", hint=hint)
    return key


def _scan(address: str, port: int, algorithms: Sequence[str], timeout: float) -> PublicKey | None:
    """None when the server has no key for any of the algorithms."""
    import paramiko

    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    dialling = dial.Dial(address, port, timeout=timeout, patience=timeout)
    try:
        transport = paramiko.Transport(dialling.socket())
    except OSError as error:
        hop = Hop(Jump(address, port, ""), place(address, port), Pins(address, port))
        refusal = dial.explain(error, hop, timeout)
        raise (refusal.reason if isinstance(refusal, dial.Passing) else refusal) from error
    try:
        transport.get_security_options().key_types = tuple(algorithms)
        transport.banner_timeout = transport.handshake_timeout = timeout
        transport.start_client(timeout=timeout)
        key = transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer:
        return None
    except (paramiko.SSHException, EOFError, OSError) as error:
        reason = str(error) or "it hung up"
        hint = "Is this the port of an SSH server? It may also have too many visitors now: try again."
        raise ConnectionRefused(
            f"{place(address, port)} does not finish an SSH key exchange: {reason}", hint=hint
        ) from error
    finally:
        transport.packetizer.complete_handshake()  # its timer would hold up the end of the program
        transport.close()
    return PublicKey(key.get_name(), key.asbytes())
