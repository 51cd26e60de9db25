"""Files that visitors with an open page still ask for: kept reachable for some days after a release dropped them. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from deployer.static.manifest import Entry, Kind, Manifest, directories
from deployer.static.patterns import matcher

__all__ = ["Retained", "decode", "encode", "retain"]

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Retained:
    """One such file; ``since`` is when it was dropped, in Unix seconds by the host's clock."""

    entry: Entry
    since: int


def retain(
    live: tuple[Entry, ...],
    before: tuple[Retained, ...],
    wanted: Manifest,
    *,
    patterns: tuple[str, ...],
    days: int,
    now: int,
) -> tuple[Retained, ...]:
    """What the new release has beside ``wanted``: dropped now or less than ``days`` ago.

    ``live`` are the live release's own entries, ``before`` what it retained. Nothing stands in the way of a wanted path.
    """
    matches = matcher(patterns)
    dropped = [Retained(entry, now) for entry in live if entry.kind == Kind.FILE]
    young = [each for each in before if now - each.since < days * DAY]
    taken = {entry.path for entry in wanted.entries if entry.kind != Kind.DIRECTORY}
    folders = directories(wanted.entries)
    found: dict[str, Retained] = {}
    for each in (*dropped, *young):
        path = each.entry.path
        if path not in found and matches(path) and path not in folders and not taken & _path_and_parents(path):
            mode = "755" if int(each.entry.mode, 8) & 0o100 else "644"
            found[path] = replace(each, entry=replace(each.entry, mode=mode))
    return tuple(found[path] for path in sorted(found))


def encode(files: tuple[Retained, ...]) -> bytes:
    """Their stored form: gzip (RFC 1952) of NUL-ended entries."""
    body = "".join(
        f"{each.since} {each.entry.mode} {each.entry.size} {each.entry.digest} {each.entry.path}\0" for each in files
    )
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(body.encode("utf-8", "surrogateescape")) + packer.flush()


def decode(data: bytes) -> tuple[Retained, ...]:
    """Read :func:`encode`'s form; what is damaged is not retained."""
    try:
        body = zlib.decompress(data, wbits=31).decode("utf-8", "surrogateescape")
        return tuple(_retained(line) for line in body.split("\0")[:-1])
    except (ValueError, zlib.error):
        return ()


def _retained(line: str) -> Retained:
    since, mode, size, digest, path = line.split(" ", 4)
    return Retained(Entry(path, Kind.FILE, mode, int(size), digest), int(since))


def _path_and_parents(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}
