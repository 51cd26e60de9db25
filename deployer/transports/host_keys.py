"""Pinned host keys: reading known_hosts lines, and judging the key that a server shows.

Values in, verdicts out: no network and no SSH library. Formats: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; RFC 4253,
section 6.6, and RFC 5656 and 8709 for the keys themselves.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.errors import ConnectionRefused, InvalidInput

__all__ = ["HostKeyRefused", "Pin", "Pins", "PublicKey", "place", "read_pins"]

# Key types that we can verify, with the number of fields that their public key has.
_FIELDS = {
    "ssh-ed25519": 2,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "ssh-rsa": 3,
}
# An RSA key signs by either of these; its own name stands for SHA-1 signatures (RFC 8332).
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+", re.ASCII)
_FORM = "Give a known_hosts line (`host ssh-ed25519 AAAA…`) or a bare key (`ssh-ed25519 AAAA…`)"
_SSH_PORT = 22


class HostKeyRefused(ConnectionRefused):
    """The host shows another key than the pinned one, or none is pinned. `deployer check` tells it from the rest."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its type and its bytes on the wire."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -lf`` shows it: ``SHA256:`` and unpadded Base64."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")

    @property
    def line(self) -> str:
        """Type and Base64, as in known_hosts behind the names."""
        return f"{self.type} {base64.b64encode(self.blob).decode('ascii')}"

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Pin:
    """One line: for which hosts it speaks (no patterns: for the one host) and what it says of the key."""

    key: PublicKey
    patterns: tuple[str, ...] = ()
    marker: str = ""

    def speaks_for(self, name: str) -> bool:
        """Whether the line counts for a host of this name."""
        if not self.patterns:
            return True
        if any(_matches(pattern[1:], name) for pattern in self.patterns if pattern.startswith("!")):
            return False
        return any(_matches(pattern, name) for pattern in self.patterns if not pattern.startswith("!"))


@dataclass(frozen=True, slots=True)
class Pins:
    """What is known of one host's keys. ``role`` and ``way`` stand around its name in messages: see :func:`read_pins`."""

    address: str
    port: int
    role: str = ""
    way: str = ""
    accepted: tuple[PublicKey, ...] = ()
    revoked: tuple[PublicKey, ...] = ()
    has_authority: bool = False

    @property
    def name(self) -> str:
        """The host's name in known_hosts."""
        return _names(self.address, self.port)[0]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Host key algorithms to ask the server for before any other, so that it shows a key that we can compare."""
        found = [name for key in self.accepted for name in _ALGORITHMS.get(key.type, (key.type,))]
        return tuple(dict.fromkeys(found))

    def check(self, seen: PublicKey) -> None:
        """Return when the key is a pinned one. Raises HostKeyRefused, which tells how to go on safely, otherwise."""
        host = f"{self.role}{place(self.address, self.port)}{self.way}"
        if seen in self.revoked:
            raise HostKeyRefused(
                f"{host} shows a revoked host key: {seen}",
                hint="Do not connect: whoever answers may hold a stolen key. Give the server a new one and pin that.",
            )
        if seen in self.accepted:
            return
        if self.accepted:
            pinned = ", ".join(str(key) for key in self.accepted)
            raise HostKeyRefused(
                f"the host key of {host} is not the pinned one: it shows {seen}, pinned: {pinned}",
                hint="Either somebody is in between, or the server has a new key. " + self._advice(seen),
            )
        authority = "; a @cert-authority line speaks for it, but certificates are not supported: pin its own key"
        raise HostKeyRefused(
            f"the host key of {host} is not known: it shows {seen}{authority * self.has_authority}",
            hint=self._advice(seen),
        )

    def _advice(self, seen: PublicKey) -> str:
        kind = "ecdsa" if seen.type.startswith("ecdsa-") else seen.type.removeprefix("ssh-")
        return (
            "Check it on the server, reached another way (the provider's console): "
            f"`ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub`\n"
            "must show the same fingerprint. Only then pin it (host_key, --host-key or DEPLOYER_HOST_KEY):\n"
            f"{self.name} {seen.line}"
        )


def read_pins(
    address: str,
    port: int,
    texts: Sequence[str],
    files: Sequence[tuple[Path, bool]] = (),
    *,
    bare: bool = True,
    role: str = "",
    way: str = "",
) -> Pins:
    """The keys pinned for one host, from known_hosts lines or bare keys in ``texts`` and from ``files``.

    A text may hold several lines. Each file comes with whether it was named by the user: then it must exist and be
    free of mistakes; else it may be missing, and lines that nobody can read are passed over, as OpenSSH does.
    Without ``bare``, every line of the texts must say for whom it speaks: there is more than one host that it could be.
    ``role`` ("jump host ") and ``way`` (" through jump:22") tell people which of them a message is about.
    Raises InvalidInput that says which line is wrong.
    """
    pins = [pin for number, text in enumerate(texts, 1) for pin in _pins_of_text(text, number, bare=bare)]
    for path, named in files:
        pins.extend(_pins_of_file(path, strict=named, bare=bare))
    names = _names(address, port)
    # As OpenSSH: a line for the plain name counts for another port too, where no line names that port.
    name = next((name for name in names if any(pin.patterns and pin.speaks_for(name) for pin in pins)), names[0])
    mine = [pin for pin in pins if pin.speaks_for(name)]
    return Pins(
        address,
        port,
        role,
        way,
        accepted=tuple(dict.fromkeys(pin.key for pin in mine if not pin.marker)),
        revoked=tuple(pin.key for pin in pins if pin.marker == "@revoked" and any(map(pin.speaks_for, names))),
        has_authority=any(pin.marker == "@cert-authority" for pin in mine),
    )


def place(address: str, port: int) -> str:
    """``example.org:22`` or ``[2001:db8::1]:22``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _names(address: str, port: int) -> tuple[str, ...]:
    plain = address.lower()
    return (plain,) if port == _SSH_PORT else (f"[{plain}]:{port}", plain)


def _pins_of_text(text: str, number: int, *, bare: bool) -> Iterator[Pin]:
    # Secrets that were pasted through JSON or YAML carry newlines as backslash and n.
    for line_number, line in enumerate(text.replace("\\n", "\n").splitlines(), 1):
        where = f"host key {number}, line {line_number}"  # never the line itself: it may be a misplaced private key
        pin = _parse(line, where, strict=True)
        if pin and pin.marker == "@cert-authority":
            raise InvalidInput(
                f"{where} is a @cert-authority line, and host certificates are not supported",
                hint="Pin the server's own key: the contents of its /etc/ssh/ssh_host_ed25519_key.pub",
            )
        if pin:
            yield pin if bare else _named(pin, where)


def _named(pin: Pin, where: str) -> Pin:
    if not pin.patterns:
        raise InvalidInput(
            f"{where} is a bare key, which does not say whether it is the host's or a jump host's",
            hint="Put the address in front of it: `example.org ssh-ed25519 AAAA…`, `[example.org]:2222 ssh-ed25519 …`",
        )
    return pin


def _pins_of_file(path: Path, *, strict: bool, bare: bool) -> Iterator[Pin]:
    try:
        lines = path.expanduser().read_text("utf-8", "replace").splitlines()
    except OSError as error:
        if strict:
            raise InvalidInput(f"cannot read the known_hosts file {path}: {error.strerror}") from error
        return
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        pin = _parse(line, where, strict=strict)
        if pin and strict:
            yield pin if bare else _named(pin, where)
        elif pin and pin.patterns:
            yield pin


def _parse(line: str, where: str, *, strict: bool) -> Pin | None:
    """One line; None where it is empty or a comment, or nobody can read it and that is no mistake of the user's."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    patterns = () if not fields or _TYPE.fullmatch(fields[0]) else tuple(fields.pop(0).split(","))
    try:
        return Pin(_public_key(fields), patterns, _known_marker(marker))
    except ValueError as error:
        if strict:
            raise InvalidInput(f"{where}: {error}", hint=_FORM) from None
        return None


def _known_marker(marker: str) -> str:
    if marker not in {"", "@revoked", "@cert-authority"}:
        raise ValueError(f"it starts with the unknown marker {marker}")
    return marker


def _public_key(fields: Sequence[str]) -> PublicKey:
    if not fields or not _TYPE.fullmatch(fields[0]):
        raise ValueError("it has no key type")
    if len(fields) < 2:
        raise ValueError("the key behind its type is missing")
    kind, text = fields[:2]
    if kind not in _FIELDS:
        raise ValueError(f"keys of type {kind} are not supported; use one of {', '.join(_FIELDS)}")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not Base64; was it cut off?") from None
    parts = list(_wire_fields(blob))
    if not parts or parts[0] != kind.encode("ascii"):
        raise ValueError(f"the key is not of the type {kind} that the line names")
    if len(parts) != _FIELDS[kind] or (kind == "ssh-ed25519" and len(parts[1]) != 32):
        raise ValueError("the key is incomplete; was it cut off?")
    return PublicKey(kind, blob)


def _wire_fields(blob: bytes) -> Iterator[bytes]:
    """The length-prefixed strings (RFC 4251, section 5) that make up the key."""
    position = 0
    while position < len(blob):
        end = position + 4 + int.from_bytes(blob[position : position + 4], "big")
        if end > len(blob):
            raise ValueError("the key is incomplete; was it cut off?")
        yield blob[position + 4 : end]
        position = end


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _matches_hash(pattern, name)
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern.lower())
    return re.fullmatch(expression, name) is not None


def _matches_hash(pattern: str, name: str) -> bool:
    """A hashed name: ``|1|salt|HMAC-SHA1(salt, name)``, both in Base64."""
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in pattern.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode("utf-8"), "sha1"), expected)
