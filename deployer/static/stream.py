"""The two archives of a deploy, made while they are sent: the contents, then the tree that links them into place."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from deployer.errors import DeployFailed
from deployer.static import tar
from deployer.static.changes import Changes
from deployer.static.manifest import Entry, Kind, Manifest, directories

__all__ = ["Contents", "Names", "Text", "Tree", "batches", "compressed", "read_whole"]

READ_SIZE = 1 << 19
FRAME_SIZE = 1 << 17
"""Bytes on the wire that make a frame, at least: the host unpacks it while the next travels."""
FRAME_SOURCE = 1 << 24
"""Bytes read after which a frame goes out in any case."""
BATCH_SIZE = 1 << 24
NAMES_PER_FRAME = 10_000
WINDOW_LOG = 24
"""The zstd window, 16 MiB: larger ones cost more memory than the client may take (2^27: 155 MB, measured)."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A batch of contents: hash sums, links to what the host has and copies, and the files that it does not have.

    ``sent`` are names in the archive with their entries. ``progress`` gets (bytes read, bytes sent) of this batch, and
    ``seen`` each file that is read in one piece.
    """

    source: Path
    sent: tuple[tuple[str, Entry], ...]
    copied: dict[str, str]
    time: int
    codec: str
    progress: Callable[[int, int], None]
    seen: Callable[[Entry, bytes], None] = lambda _entry, _data: None

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed archive in frames."""
        return compressed(self._archive(), self.codec, self.progress)

    def _archive(self) -> Iterator[bytes]:
        sums = "".join(f"{entry.digest}  {name}\n" for name, entry in self.sent)
        sums += "".join(f"{PurePosixPath(key).name.partition('.')[0]}  c{key}\n" for key in self.copied)
        yield _member(b"sums", os.fsencode(sums), self.time)
        for directory in ("b", "new", *(("k644", "k755") if self.copied else ())):
            yield tar.directory(directory.encode(), self.time)
        for key, origin in self.copied.items():
            yield tar.hard_link(b"k" + key.encode(), b"old/" + os.fsencode(origin), self.time)
        for name, entry in self.sent:
            yield from self._file(name, entry)
        yield tar.END

    def _file(self, name: str, entry: Entry) -> Iterator[bytes]:
        yield tar.file(os.fsencode(name), int(entry.mode, 8), entry.size, self.time)
        descriptor = _open(self.source, entry)
        try:
            left = entry.size
            while left:
                data = _read(descriptor, min(left, READ_SIZE), entry)
                if not data:
                    raise _changed(entry)
                left -= len(data)
                if len(data) == entry.size:
                    self.seen(entry, data)
                yield data
        finally:
            os.close(descriptor)
        yield tar.padding(entry.size)


@dataclass(frozen=True, slots=True)
class Tree:
    """The archive of the tree: directories, symbolic links, and each file as a link to its contents.

    Without what stands there already, in a release that began as a copy. ``record`` gives the files of its record when
    the contents have been sent.
    """

    wanted: Manifest
    changes: Changes
    record: Callable[[], dict[str, bytes]]
    time: int
    codec: str

    @property
    def count(self) -> int:
        """How many entries ``find`` must see in the new release, itself included."""
        files = sum(1 for entry in self.wanted.entries if entry.kind != Kind.DIRECTORY)
        return 1 + files + len(directories(self.wanted.entries))

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed archive in frames."""
        return compressed(self._archive(), self.codec)

    def _archive(self) -> Iterator[bytes]:
        yield tar.directory(b"record", self.time)
        for item, data in self.record().items():
            yield _member(b"record/" + item.encode(), data, self.time)
        yield tar.directory(b"new", self.time)
        for path in self.changes.directories:
            yield tar.directory(b"new/" + os.fsencode(path), self.time)
        for entry in self.wanted.entries:
            name = b"new/" + os.fsencode(entry.path)
            if (source := self.changes.links.get(entry.path)) is not None:
                yield tar.hard_link(name, os.fsencode(source), self.time)
            elif entry.kind == Kind.LINK and entry.path not in self.changes.kept:
                yield tar.symbolic_link(name, os.fsencode(entry.target), self.time)
        yield tar.END


@dataclass(frozen=True, slots=True)
class Names:
    """Paths in the new release."""

    paths: tuple[str, ...]

    def chunks(self) -> Iterator[bytes]:
        """Yield the paths, each ended by NUL and none to be taken for an option, as gzip (RFC 1952)."""
        packer = zlib.compressobj(level=6, wbits=31)
        for start in range(0, len(self.paths), NAMES_PER_FRAME):
            some = self.paths[start : start + NAMES_PER_FRAME]
            yield packer.compress(b"".join(b"./" + os.fsencode(path) + b"\0" for path in some))
        yield packer.flush()


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is read only when it is sent, such as the log of the deploy so far."""

    read: Callable[[], str]

    def chunks(self) -> Iterator[bytes]:
        """Yield the text as UTF-8, in one frame."""
        yield self.read().encode("utf-8", "replace")


def read_whole(source: Path, entry: Entry) -> bytes:
    """The contents of a small file. Raises DeployFailed when it has changed meanwhile or cannot be read."""
    descriptor = _open(source, entry)
    try:
        data = _read(descriptor, entry.size + 1, entry)
    finally:
        os.close(descriptor)
    if len(data) != entry.size:
        raise _changed(entry)
    return data


def batches(changes: Changes) -> list[tuple[tuple[str, Entry], ...]]:
    """What is sent, in batches: the host checks one while the next travels. At least one, which may be empty.

    Files of a kind stand behind one another: what they share is found inside the compressor's window. And each batch
    gets its share of every kind: thousands of small pages in a row keep the disk busy and the line idle, large pictures
    the line and not the disk.
    """
    count = max(1, round(sum(map(_weight, changes.sent.values())) / BATCH_SIZE))
    made: list[list[tuple[str, Entry]]] = [[] for _ in range(count)]
    for _, same in itertools.groupby(sorted(changes.sent.items(), key=_by_kind), key=lambda item: _by_kind(item)[0]):
        items = tuple(same)
        whole = sum(_weight(entry) for _, entry in items)
        before = 0
        for name, entry in items:
            made[before * count // whole].append((name, entry))
            before += _weight(entry)
    return [tuple(batch) for batch in made if batch] or [()]


def _weight(entry: Entry) -> int:
    return entry.size + tar.BLOCK


def _by_kind(item: tuple[str, Entry]) -> tuple[str, str]:
    path = item[1].path
    return os.path.splitext(path)[1], path


def _open(source: Path, entry: Entry) -> int:
    try:
        return os.open(os.path.join(source, entry.path), os.O_RDONLY)
    except OSError as error:
        raise _unreadable(entry, error) from error


def _read(descriptor: int, size: int, entry: Entry) -> bytes:
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise _unreadable(entry, error) from error


def _unreadable(entry: Entry, error: OSError) -> DeployFailed:
    if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
        return _changed(entry)
    return DeployFailed(f"cannot read {entry.path!r}: {error.strerror}; nothing was switched")


def _changed(entry: Entry) -> DeployFailed:
    return DeployFailed(
        f"{entry.path!r} changed while it was uploaded; nothing was switched", hint="Run again when the build is done."
    )


def _member(name: bytes, data: bytes, time: int) -> bytes:
    return tar.file(name, 0o644, len(data), time) + data + tar.padding(len(data))


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor(codec: str) -> _Compressor:
    if codec != "zstd":
        return zlib.compressobj(level=6, wbits=31)
    import zstandard  # 18 ms that only uploads pay

    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=WINDOW_LOG, enable_ldm=True)
    compressor: _Compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor


def compressed(
    pieces: Iterator[bytes], codec: str, progress: Callable[[int, int], None] = lambda _read, _sent: None
) -> Iterator[bytes]:
    """The pieces as one stream of ``codec``, in frames; ``progress`` gets (bytes read, bytes sent) so far."""
    compressor = _compressor(codec)
    read = sent = framed = 0
    waiting = bytearray()
    for block in _blocks(pieces):
        waiting += compressor.compress(block)
        read += len(block)
        # A frame renews the lease, so one goes out now and then however well the contents compress.
        if len(waiting) >= FRAME_SIZE or (waiting and read - framed >= FRAME_SOURCE):
            sent += len(waiting)
            framed = read
            progress(read, sent)
            yield bytes(waiting)
            waiting.clear()
    waiting += compressor.flush()
    progress(read, sent + len(waiting))
    yield bytes(waiting)


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined: calling the compressor costs more than compressing a tar header."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= READ_SIZE:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)
