"""What a release consists of: its entries, their text form on the host, and the digest that names the whole."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from deployer.errors import DeployFailed

__all__ = ["Entry", "Kind", "Manifest", "decode", "directories", "encode"]

FORMAT = b"deployer-manifest 1\n"


class Kind:
    """The one-letter kinds of an entry."""

    FILE = "f"
    LINK = "l"
    DIRECTORY = "d"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, symbolic link or empty directory of a release.

    ``path`` is relative, with ``/`` between components; names that are not UTF-8 hold surrogates (PEP 383). ``mode`` is
    the octal text ``644`` or ``755``. ``digest`` is the SHA-256 in hex of a file's contents or a link's target.
    """

    path: str
    kind: str
    mode: str
    size: int
    digest: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All entries of a release, sorted by path."""

    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over all entries in hex: equal exactly when two releases serve the same."""
        return hashlib.sha256(_body(self.entries)).hexdigest()

    @property
    def files(self) -> tuple[Entry, ...]:
        """The regular files."""
        return tuple(entry for entry in self.entries if entry.kind == Kind.FILE)

    @property
    def bytes_total(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.entries if entry.kind == Kind.FILE)


def directories(entries: Iterable[Entry]) -> set[str]:
    """The paths of all directories that hold the entries, and of the empty ones among them."""
    found: set[str] = set()
    for entry in entries:
        path = entry.path if entry.kind == Kind.DIRECTORY else entry.path.rpartition("/")[0]
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _body(entries: Iterable[Entry]) -> bytes:
    text = "".join(f"{e.kind} {e.mode} {e.size} {e.digest} {e.path}\0" for e in entries)
    return text.encode("utf-8", "surrogateescape")


def encode(manifest: Manifest) -> bytes:
    """The manifest's stored form: gzip (RFC 1952) of a format line, the digest and NUL-ended entries."""
    body = _body(manifest.entries)
    packer = zlib.compressobj(level=1, wbits=31)
    head = FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n"
    return packer.compress(head + body) + packer.flush()


def decode(data: bytes) -> Manifest:
    """Read :func:`encode`'s form. Raises DeployFailed when it is damaged or of a version that we do not know."""
    try:
        text = zlib.decompress(data, wbits=31)
        if not text.startswith(FORMAT):
            raise ValueError
        digest, _, body = text[len(FORMAT) :].partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError
        return Manifest(tuple(_entry(line) for line in body.decode("utf-8", "surrogateescape").split("\0")[:-1]))
    except (ValueError, zlib.error) as error:
        message = "the manifest of the live release is damaged or of a newer version"
        raise DeployFailed(message) from error


def _entry(line: str) -> Entry:
    kind, mode, size, digest, path = line.split(" ", 4)
    return Entry(path, kind, mode, int(size), digest)
