"""What differs between the live release and the wanted one, and where each file's contents come from. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from deployer.plan import Change
from deployer.static.manifest import Entry, Kind, Manifest

__all__ = ["Base", "Changes", "compare"]

LINKS_PER_FILE = 1000
"""How many names one uploaded file may get: ext4 allows 65,000 hard links over all releases."""
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Base:
    """What the host has live: entries by path, of which the files can be linked from ``old/``."""

    entries: dict[str, Entry] = field(default_factory=dict)
    names: frozenset[str] | None = None
    """All names in the live release when they are known better than by ``entries``."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How to make the new release out of the old one.

    ``sources`` says for every file which name to link: ``old/PATH`` (unchanged), ``b/KEY`` (sent) or ``cMODE/KEY``
    (a copy that the host makes of ``copied[KEY]``). ``sent`` maps each key to the entry whose contents travel.
    """

    listing: tuple[Change, ...]
    sources: dict[str, str]
    sent: dict[str, Entry]
    copied: dict[str, str]

    @property
    def deleted(self) -> int:
        """How many paths the new release does not have any more, moved ones included."""
        return sum(1 for change in self.listing if change.action in ("remove", "move"))

    @property
    def bytes_needed(self) -> int:
        """Disk space for the contents that are new on the host, in whole blocks."""
        return sum(-(-entry.size // BLOCK) * BLOCK + BLOCK // 8 for entry in self.sent.values())


def compare(base: Base, wanted: Manifest) -> Changes:
    """Decide for each file of ``wanted`` whether it is linked, copied on the host or sent.

    A file is linked only where contents and mode agree at the same path: a path whose contents change must get a new
    modification time, or nginx would answer 304 from its size and time.
    """
    by_digest = {entry.digest: path for path, entry in base.entries.items() if entry.kind == Kind.FILE}
    sources: dict[str, str] = {}
    sent: dict[str, Entry] = {}
    copied: dict[str, str] = {}
    uses: Counter[str] = Counter()
    for entry in wanted.entries:
        if entry.kind != Kind.FILE:
            continue
        live = base.entries.get(entry.path)
        if live is not None and _same(live, entry):
            sources[entry.path] = f"old/{entry.path}"
            continue
        key = _key(entry, uses)
        if (origin := by_digest.get(entry.digest)) is not None:
            directory = f"{entry.mode}/{key}"
            copied[directory] = origin
            sources[entry.path] = f"c{directory}"
        else:
            key = key if entry.mode == "644" else f"{key}.x"
            sent.setdefault(key, entry)
            sources[entry.path] = f"b/{key}"
    return Changes(tuple(_listing(base, wanted)), sources, sent, copied)


def _same(one: Entry, other: Entry) -> bool:
    return (one.kind, one.mode, one.digest) == (other.kind, other.mode, other.digest)


def _key(entry: Entry, uses: Counter[str]) -> str:
    name = f"{entry.digest}{entry.mode}"
    uses[name] += 1
    part = (uses[name] - 1) // LINKS_PER_FILE
    return f"{entry.digest}.{part}" if part else entry.digest


def _listing(base: Base, wanted: Manifest) -> Iterator[Change]:
    paths = {entry.path for entry in wanted.entries}
    gone = {path: entry for path, entry in base.entries.items() if path not in paths and entry.kind != Kind.DIRECTORY}
    origins = {entry.digest: path for path, entry in gone.items()}
    moved = set()
    for entry in wanted.entries:
        live = base.entries.get(entry.path)
        if entry.kind == Kind.DIRECTORY or (live is not None and _same(live, entry)):
            continue
        if live is not None:
            yield Change("change", entry.path, entry.size)
        elif (origin := origins.pop(entry.digest, None)) is not None:
            moved.add(origin)
            yield Change("move", entry.path, entry.size, origin)
        else:
            yield Change("add", entry.path, entry.size)
    known = base.names or frozenset()
    for path in sorted((set(gone) | {name for name in known if name not in paths}) - moved):
        yield Change("remove", path, gone[path].size if path in gone else 0)
