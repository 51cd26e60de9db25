"""Files that changed a little: rebuilt on the host out of the live release's and what is new in them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployer.plan import Reply, Request
from deployer.static import requests
from deployer.static.changes import Base, Changes
from deployer.static.manifest import Entry, Kind
from deployer.static.matching import Copy, match, record, signature_after
from deployer.static.signatures import LARGEST, SEPARATOR, expected_size, is_text, key
from deployer.static.signing import Signing
from deployer.static.stream import Contents, compressed, read_whole

__all__ = ["NOTHING", "Candidate", "Known", "Mend", "Patch", "Patches", "ask", "candidates", "wire_bytes"]

WORTH_BYTES = 1 << 20
"""What must be to gain before the host is asked: at 100 Mbit/s and 50 ms, two round trips cost as much as 1.2 MB."""
SAMPLE_BYTES = 1 << 21
SPARE_BYTES = 1 << 16
LITERAL_SHARE = 0.7
FIRST_FILES = 100
WAIT_SECONDS = 0.2

Candidate = tuple[str, Entry, Entry]
"""Its name in the upload, the file that is wanted, and the one that the host has there."""


@dataclass(frozen=True, slots=True)
class Known:
    """The signatures that a host sent of its live release, as they are stored; None: it was not asked, or cannot patch.

    ``outgrown``: it stores so many that new ones are to take their place.
    """

    data: bytes | None = None
    outgrown: bool = False


NOTHING = Known()


def candidates(base: Base, changes: Changes) -> list[Candidate]:
    """What could be rebuilt: small files in place of one that the host has; with a mode that its shell's umask gives."""
    if not changes.copying:
        return []
    found = []
    for name, entry in changes.sent.items():
        live = base.entries.get(entry.path)
        if live is None or live.kind != Kind.FILE or not name.startswith("new/"):
            continue
        if entry.mode == "644" and 0 < entry.size <= LARGEST and SEPARATOR.decode() not in entry.path:
            found.append((name, entry, live))
    return found


def wire_bytes(source: Path, files: Sequence[Candidate], codec: str) -> int:
    """About how many bytes they would be on the line, sent whole; by compressing some of them. Zero: not worth a look."""
    total = sum(entry.size for _, entry, _ in files)
    if total < WORTH_BYTES:
        return 0
    read = 0

    def some() -> Iterator[bytes]:
        nonlocal read
        for _, entry, _ in files[len(files) // 4 :]:
            if read >= SAMPLE_BYTES:
                return
            read += entry.size
            yield read_whole(source, entry)

    wire = sum(map(len, compressed(some(), codec)))
    return total * wire // max(1, read)


def ask(perform: Callable[[Request], tuple[Reply, ...]], stored: int, wire: int, sizes: Sequence[int]) -> Known:
    """Fetch what the host has ``stored`` (bytes) if that is little against the ``wire`` bytes to gain.

    ``sizes`` are those of the release's files, from which follows how much is too much to be of use.
    """
    if stored > 2 * expected_size(sizes) + SPARE_BYTES:
        return Known(outgrown=True)
    if not stored or wire < WORTH_BYTES + 2 * stored:
        return NOTHING
    (reply,) = perform(requests.signatures())
    return Known(reply.raw("signatures"))


class Patches:
    """The candidates whose signatures are ``known``; each is matched once for all ``hosts`` that have the same."""

    def __init__(
        self, source: Path, files: Sequence[Candidate], known: dict[bytes, bytes], signing: Signing, *, hosts: int = 1
    ) -> None:
        self._source = source
        self._signing = signing
        self._hosts = hosts
        self._matching = threading.Lock()
        self._copies: dict[str, list[Copy]] = {}
        self._tried = self._matched = self._literal = 0
        self._signatures = {
            name: known[key(live.digest)] for name, _, live in files if known.get(key(live.digest)) is not None
        }
        self.sent = {name: entry for name, entry, _ in files if name in self._signatures}
        self.left_out: set[str] = set()
        """Those that turned out to be no texts any more."""

    def script(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        """The records of all, the first of them the list for ``sha256sum -c``; ``progress`` gets the bytes read so far."""
        yield os.fsencode("".join(f"{entry.digest}  {name}\n" for name, entry in self.sent.items())) + SEPARATOR
        read = 0
        for name, entry in self.sent.items():
            data = read_whole(self._source, entry)
            read += len(data)
            progress(read)
            if is_text(data):
                yield record(os.fsencode(entry.path), data, self._found(name, entry, data))
            else:
                self.left_out.add(name)

    def _found(self, name: str, entry: Entry, data: bytes) -> list[Copy]:
        with self._matching:
            if (known := self._copies.get(name)) is not None:
                return known
            copies = self._match(name, data)
            self._signing.put(entry, signature_after(data, self._signatures[name], copies))
            if self._hosts > 1:
                self._copies[name] = copies
            return copies

    def _match(self, name: str, data: bytes) -> list[Copy]:
        if self._tried >= FIRST_FILES and self._literal > LITERAL_SHARE * self._matched:
            return []  # these are other pages: nothing is gained by looking further
        copies = match(data, self._signatures[name])
        self._tried += 1
        self._matched += len(data)
        self._literal += len(data) - sum(copy.length for copy in copies)
        return copies


@dataclass(frozen=True, slots=True)
class Patch:
    """The script for a host; ``progress`` gets (bytes read, bytes sent) of it."""

    patches: Patches
    codec: str
    progress: Callable[[int, int], None]

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed script in frames."""
        read = 0

        def count(so_far: int) -> None:
            nonlocal read
            read = so_far

        return compressed(self.patches.script(count), self.codec, lambda _script, sent: self.progress(read, sent))


class Mend:
    """A last batch of contents: what a host could not rebuild, as its reply to the patch says."""

    def __init__(
        self,
        patches: Patches,
        contents: Callable[[tuple[tuple[str, Entry], ...]], Contents],
        warn: Callable[[str], None],
    ) -> None:
        self._patches = patches
        self._contents = contents
        self._warn = warn
        self._wrong: tuple[tuple[str, Entry], ...] = ()
        self._heard = threading.Event()

    def hear(self, reply: Reply) -> None:
        """The host's reply to the patch."""
        wrong = set(reply.text("unpatched").split("\n"))
        everything = reply.raw("unpatched_all") is not None
        self._wrong = tuple(item for item in self._patches.sent.items() if everything or item[0] in wrong)
        if count := sum(1 for name, _ in self._wrong if name not in self._patches.left_out):
            self._warn(f"{count} of the changed files could not be rebuilt on the host and were sent whole")
        self._heard.set()

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed archive in frames, once the host has said what has to be in it."""
        while not self._heard.wait(WAIT_SECONDS):
            yield b""  # whoever sends looks whether anybody still listens
        yield from self._contents(self._wrong).chunks()
