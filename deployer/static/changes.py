"""What differs between the live release and the wanted one, and where each file's contents come from. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deployer.plan import Change
from deployer.static.manifest import Entry, Kind, Manifest, directories
from deployer.static.retain import Retained

__all__ = ["Base", "Changes", "compare"]

LINKS_PER_FILE = 1000
"""How many names one uploaded file may get: ext4 allows 65,000 hard links over all releases."""
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Base:
    """What the host has live: entries by path, of which the files can be linked from ``old/``.

    ``copying``: the host makes a copy out of links already, for the new release to begin with. ``recorded``: a manifest
    says so, and the release is as it was built. Without ``linking``, files are copied instead, for them to get a new time.
    ``retained`` are those of the entries that no longer belong to the site itself. ``arrived`` are names below ``arrived/``
    with ``MODE/DIGEST``: contents that came before an earlier upload broke off, and belong to no release yet.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    copying: bool = False
    recorded: bool = False
    linking: bool = True
    retained: tuple[Retained, ...] = ()
    arrived: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """How to make the new release out of the old one; names are relative to the deploy's work directory on the host.

    ``sent`` maps names to the entries whose contents travel: right to their place ``new/PATH``, or to ``b/KEY`` where
    PATH could not stand in a list of hash sums. ``resumed`` are those that an earlier upload has brought. ``copied`` maps
    ``MODE/KEY`` to the live path that the host copies to ``cMODE/KEY``. ``links`` says for every other file which name to
    link: ``old/PATH`` (unchanged), a copy, one sent or ``arrived/NAME``. ``directories`` are to be made, and ``forgotten``
    the names below ``arrived/`` that nobody wants.

    Where the release begins as a copy of the live one (``copying``), ``kept`` are the files and links that stand in it
    already, and ``gone`` what has to be removed from it first.
    """

    listing: tuple[Change, ...]
    links: dict[str, str]
    sent: dict[str, Entry]
    copied: dict[str, str]
    bytes_needed: int
    """Disk space for the contents that are new on the host, sent, resumed or copied, in whole blocks."""
    directories: tuple[str, ...] = ()
    copying: bool = False
    kept: frozenset[str] = frozenset()
    gone: tuple[str, ...] = ()
    resumed: tuple[Entry, ...] = ()
    forgotten: tuple[str, ...] = ()

    @property
    def deleted(self) -> int:
        """How many paths the new release does not have any more, moved ones included."""
        return sum(1 for change in self.listing if change.action in ("remove", "move"))


def compare(base: Base, wanted: Manifest) -> Changes:
    """Decide for each file of ``wanted`` whether it is linked, copied on the host or sent.

    A file is linked only where contents and mode agree at the same path: a path whose contents change must get a new
    modification time, or nginx would answer 304 from its size and time.
    """
    kept = _kept(base, wanted)
    sources = _Sources(base)
    for entry in wanted.files:
        if entry.path not in kept:
            sources.find(entry)
    before, after = directories(base.entries.values()) if base.copying else set(), directories(wanted.entries)
    return Changes(
        tuple(_listing(base, wanted)),
        sources.links,
        sources.sent,
        sources.copied,
        sources.bytes_needed,
        directories=tuple(sorted(after - before)),
        copying=base.copying,
        kept=kept,
        gone=_gone(base, kept, before - after),
        resumed=tuple(sources.resumed),
        forgotten=tuple(sorted(base.arrived.keys() - sources.taken)),
    )


class _Sources:
    """Where each file's contents come from."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._by_digest = {entry.digest: path for path, entry in base.entries.items() if entry.kind == Kind.FILE}
        self._places: dict[str, str] = {}
        self._arrived = {about: name for name, about in base.arrived.items()}
        self._uses: Counter[str] = Counter()
        self.links: dict[str, str] = {}
        self.sent: dict[str, Entry] = {}
        self.copied: dict[str, str] = {}
        self.resumed: list[Entry] = []
        self.taken: set[str] = set()

    @property
    def bytes_needed(self) -> int:
        made = [*self.sent.values(), *self.resumed, *(self._base.entries[origin] for origin in self.copied.values())]
        return sum(-(-entry.size // BLOCK) * BLOCK + BLOCK // 8 for entry in made)

    def find(self, entry: Entry) -> None:
        live = self._base.entries.get(entry.path) if self._base.linking else None
        if live is not None and _same(live, entry):
            self.links[entry.path] = f"old/{entry.path}"
            return
        key = _key(entry, self._uses)
        if (origin := self._by_digest.get(entry.digest)) is not None:
            self.copied[f"{entry.mode}/{key}"] = origin
            self.links[entry.path] = f"c{entry.mode}/{key}"
        elif (place := self._places.get(f"{entry.mode}/{key}")) is not None:
            self.links[entry.path] = place
        elif (name := self._arrived.get(f"{entry.mode}/{key}")) is not None:
            self._places[f"{entry.mode}/{key}"] = self.links[entry.path] = f"arrived/{name}"
            self.resumed.append(entry)
            self.taken.add(name)
        elif _can_be_listed(entry.path):
            self._places[f"{entry.mode}/{key}"] = f"new/{entry.path}"
            self.sent[f"new/{entry.path}"] = entry
        else:
            place = self._places[f"{entry.mode}/{key}"] = f"b/{key}.{entry.mode}"
            self.sent[place] = entry
            self.links[entry.path] = place


def _kept(base: Base, wanted: Manifest) -> frozenset[str]:
    if not base.copying:
        return frozenset()
    return frozenset(
        entry.path
        for entry in wanted.entries
        if entry.kind != Kind.DIRECTORY and (live := base.entries.get(entry.path)) is not None and _same(live, entry)
    )


def _gone(base: Base, kept: frozenset[str], folders: set[str]) -> tuple[str, ...]:
    """What has to go from the copy; not what goes with the directory that it is in."""
    if not base.copying:
        return ()
    stale = {path for path, entry in base.entries.items() if entry.kind != Kind.DIRECTORY and path not in kept}
    return tuple(sorted(path for path in stale | folders if path.rpartition("/")[0] not in folders))


def _can_be_listed(path: str) -> bool:
    # `sha256sum -c` of GNU escapes backslashes and line breaks in names, BusyBox's does not.
    return not any(character in path for character in "\\\n\r")


def _same(one: Entry, other: Entry) -> bool:
    return (one.kind, one.mode, one.digest) == (other.kind, other.mode, other.digest)


def _key(entry: Entry, uses: Counter[str]) -> str:
    name = f"{entry.digest}{entry.mode}"
    uses[name] += 1
    part = (uses[name] - 1) // LINKS_PER_FILE
    return f"{entry.digest}.{part}" if part else entry.digest


def _listing(base: Base, wanted: Manifest) -> Iterator[Change]:
    paths = {entry.path for entry in wanted.entries if entry.kind != Kind.DIRECTORY}
    gone = {path: entry for path, entry in base.entries.items() if path not in paths and entry.kind != Kind.DIRECTORY}
    origins = {entry.digest: path for path, entry in gone.items() if entry.kind == Kind.FILE}
    moved = set()
    for entry in wanted.entries:
        live = base.entries.get(entry.path)
        if entry.kind == Kind.DIRECTORY or (live is not None and _same(live, entry)):
            continue
        if live is not None:
            yield Change("change", entry.path, entry.size)
        elif entry.kind == Kind.FILE and (origin := origins.pop(entry.digest, None)) is not None:
            moved.add(origin)
            yield Change("move", entry.path, entry.size, origin)
        else:
            yield Change("add", entry.path, entry.size)
    for path in sorted(set(gone) - moved):
        yield Change("remove", path, gone[path].size)
